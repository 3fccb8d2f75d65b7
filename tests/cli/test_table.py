"""``anobench table`` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_paper_table_from_the_archive(suite: Callable[..., Path], anobench: Any, here: Path) -> None:
    folder = suite(
        'title = "Mine"\ndatasets = ["toy"]\nmethods = ["brightness", "constant"]\n', "mine"
    ).parents[1]
    assert anobench("run", "mine", "--bench", folder).code == 0
    ended = anobench("table", "mine")
    assert ended.code == 0
    assert ended.out.startswith("| Method ")
    assert "best in bold" in ended.out
    written = anobench(
        "table", "mine", "-f", "latex", "--by", "task", "-m", "bright*", "--no-sd", "--decimals", "2",
        "--caption", "Mine", "--label", "tab:x", "--out", "t.tex",
    )  # fmt: skip
    assert (written.code, written.out) == (0, "")
    text = (here / "t.tex").read_text(encoding="utf-8")
    assert r"\label{tab:x}" in text
    assert "constant" not in text


def test_mistakes_end_with_2_and_say_what_is_there(suite: Callable[..., Path], anobench: Any) -> None:
    folder = suite('title = "Mine"\ndatasets = ["toy"]\nmethods = ["brightness"]\n', "mine").parents[1]
    anobench("run", "mine", "--bench", folder)
    for wrong, said in (
        (("-m", "darkness"), "no method 'darkness'"),
        (("--rate", "0.3"), "no contamination rate 0.3"),
        (("--metric", "pro"), "no record has the metric 'pro'"),
    ):
        ended = anobench("table", "mine", *wrong)
        assert ended.code == 2
        assert said in ended.err
        assert "Traceback" not in ended.err
