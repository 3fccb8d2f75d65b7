"""``anobench check`` from the command line: a pack as the baseline, files it writes, its exit statuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

SUITE = 'datasets = ["toy"]\nmethods = ["brightness", "constant"]\n'


def test_a_change_against_a_pack(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    path = suite(SUITE)
    assert anobench("run", path, "--bench", toy, "--results", "a").code == 0
    assert anobench("pack", "trial", "-o", "base.anobench", "--results", "a").code == 0
    for baseline in ("base.anobench", "a", "a/records"):
        ended = anobench("check", "trial", "--against", baseline, "--results", "a")
        assert (ended.code, ended.out.endswith("Verdict: fine.\n")) == (0, True)
    adapter = toy / "methods" / "brightness.py"
    adapter.write_text(adapter.read_text().replace(".mean(1)", ".mean(1) * -1"))
    assert anobench("run", path, "--bench", toy, "--results", "b").code == 0
    written = ("--markdown", "check.md", "--junit", "check.xml")
    ended = anobench("check", path, "--against", "base.anobench", "--results", "b", "--json", *written)
    assert ended.code == 1
    assert json.loads(ended.out)["verdict"] == "regression"
    assert (here / "check.md").read_text().startswith("### Regression: trial against base.anobench\n")
    assert "<failure" in (here / "check.xml").read_text()
    ended = anobench(
        "check", "trial", "--against", "base.anobench", "--results", "b", "--means", "--slower", "2"
    )
    assert (ended.code, "no reference workload" in ended.out) == (1, True)


@pytest.mark.parametrize("side", ["a", "b"])
def test_scores_that_cannot_be_read_are_not_fine(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path, side: str
) -> None:
    """A gate takes nobody's word: without its scores a record's numbers are only what its text says."""
    anobench("run", suite(SUITE), "--bench", toy, "--results", "a")
    shutil.copytree("a", "b")
    assert anobench("check", "trial", "--against", "a", "--results", "b").code == 0
    (torn, *_) = sorted((here / side).glob("records/??/*.npz"))
    torn.write_bytes(torn.read_bytes()[:100])
    ended = anobench("check", "trial", "--against", "a", "--results", "b")
    where = "the baseline" if side == "a" else "this run"
    assert (ended.code, f"scores of {where} cannot be read" in ended.out) == (3, True), ended.out


def test_mistakes_and_what_is_not_there(toy: Path, suite: Callable[..., Path], anobench: Invoke) -> None:
    path = suite(SUITE)
    assert anobench("check", "trial", "--against", "a").code == 2
    anobench("run", path, "--bench", toy, "--results", "a")
    ended = anobench("check", "trial", "--against", "nowhere", "--results", "a")
    assert (ended.code, "expected a results folder" in ended.err) == (2, True)
    assert anobench("check", "trial", "--results", "a").code == 2
    suite(SUITE.replace('"brightness", ', ""))
    anobench("run", path, "--bench", toy, "--results", "b")
    ended = anobench("check", "trial", "--against", "a", "--results", "b")
    assert (ended.code, "the suite no longer has this method" in ended.out) == (1, True)
    suite(SUITE.replace('"toy"', '"toy[task=a]"'))
    anobench("run", path, "--bench", toy, "--results", "c")
    ended = anobench("check", "trial", "--against", "a", "--results", "c")
    assert ended.code == 3
