"""``anobench new``: what it writes works as it stands, by the commands that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Invoke


def test_a_method_from_nothing_to_a_row(anobench: Invoke, here: Path) -> None:
    ended = anobench("new", "method", "my_method")
    assert (ended.code, "anobench try my_method" in ended.out) == (0, True)
    assert anobench("try", "my_method").code == 0
    ran = anobench(
        "run", "-d", "digits[task=3]", "-m", "my_method[backbone=hog]", "-m", "random", "--name", "one"
    )
    assert ran.code == 0
    assert "my_method" in (here / "results" / "one.md").read_text()


def test_a_data_set_from_nothing_to_a_column(anobench: Invoke, here: Path) -> None:
    assert anobench("new", "dataset", "tiles").code == 0
    words = ("-m", "dn2", "-m", "random", "--backbone", "pixels[size=16]", "--name", "tiles")
    assert anobench("run", "-d", "tiles", *words).code == 0
    assert "squares" in (here / "results" / "tiles.csv").read_text()


def test_a_bench_from_nothing_to_a_gate(
    anobench: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anobench("new", "bench", "ours").code == 0
    monkeypatch.chdir(here / "ours")
    assert anobench("try", "mine").code == 0
    assert anobench("run", "first").code == 0
    assert anobench("pack", "first", "-o", "baseline.anobench").code == 0
    assert anobench("check", "first", "--against", "baseline.anobench").code == 0
    adapter = Path("methods/mine.py")
    adapter.write_text(adapter.read_text().replace("mean(1))", "mean(1) * -1)"))
    assert anobench("run", "first").code == 0
    assert anobench("check", "first", "--against", "baseline.anobench").code == 1
    assert [path.name for path in Path("methods").glob("*.*")] == ["mine.py"]


def test_mistakes(anobench: Invoke, here: Path) -> None:
    for name in ("My", "../evil", "1st", "class", "a-b", ""):
        ended = anobench("new", "method", name)
        assert (ended.code, "is no name" in ended.err) == (2, True), name
    assert anobench("new", "method", "mine").code == 0
    ended = anobench("new", "method", "mine")
    assert (ended.code, "exists already" in ended.err) == (2, True)
    ended = anobench("new", "bench", "methods")
    assert (ended.code, "is not empty" in ended.err) == (2, True)
    assert sorted(path.name for path in here.iterdir()) == ["methods"]
