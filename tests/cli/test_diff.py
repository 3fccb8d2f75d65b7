"""``anobench diff`` from the command line: two real runs, and its exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Invoke

SUITE = 'datasets = ["toy"]\nmethods = ["brightness", "constant"]\n'


def test_two_archives(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    path = suite(SUITE)
    assert anobench("run", path, "--bench", toy, "--results", "a").code == 0
    adapter = toy / "methods" / "brightness.py"
    adapter.write_text(adapter.read_text().replace(".mean(1)", ".mean(1) * -1"))
    assert anobench("run", path, "--bench", toy, "--results", "b").code == 0
    ended = anobench("diff", "a", "b")
    assert ended.code == 1
    assert "2 worse" in ended.out
    assert "method's code" in ended.out
    assert "DeLong" in ended.out
    assert anobench("diff", "b", "a").code == 0
    assert anobench("diff", "a/trial.csv", "b", "--tolerance", "100").code == 0
    assert anobench("diff", "a", "a", "--suite", "trial", "--metric", "ap").code == 0
    assert not list(here.rglob("*.tmp"))


def test_mistakes(anobench: Invoke, here: Path) -> None:
    ended = anobench("diff", "nothing", "neither")
    assert ended.code == 2
    assert "there is no nothing: expected a results folder" in ended.err
    (here / "empty").mkdir()
    ended = anobench("diff", "empty", "empty")
    assert ended.code == 2
    assert "empty holds no results" in ended.err
    assert anobench("diff", "empty", "empty", "--metric", "beauty").code == 2
