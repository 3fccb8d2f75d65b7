"""``anobench pack`` from the command line, and the commands that read what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bench
from tests.cli.conftest import Invoke

SUITE = 'datasets = ["toy"]\nmethods = ["brightness", "constant"]\n'


def test_a_pack_is_read_like_a_results_folder(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite(SUITE)
    assert anobench("run", path, "--bench", toy, "--results", "a").code == 0
    ended = anobench("pack", "trial", "-o", "b.anobench", "--results", "a")
    assert (ended.code, ended.out.startswith("b.anobench: 4 cells of trial")) == (0, True)
    assert anobench("report", "b.anobench", "--results", "r").code == 0
    assert (here / "r" / "trial.csv").read_bytes() == (here / "a" / "trial.csv").read_bytes()
    assert not (here / "r" / "records").exists()
    assert anobench("export", "b.anobench").out == (here / "a" / "trial.csv").read_text()
    assert anobench("table", "b.anobench").code == 0
    assert "0 worse, 0 better" in anobench("diff", "b.anobench", "a").out
    assert anobench("merge", "b.anobench", "--into", "c").code == 0
    assert "4 of 4 cells" in anobench("report", "trial", "--results", "c").out
    assert bench.load("b.anobench", "trial").frame().equals(bench.load("a", "trial").frame())
    assert anobench("pack", "trial", "--results", "a").code == 0
    assert (here / "trial.anobench").read_bytes() == (here / "b.anobench").read_bytes()


def test_mistakes(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    assert anobench("pack", "trial", "--results", "a").code == 2
    path = suite('datasets = ["toy"]\nmethods = ["brightness", "crashes"]\n')
    anobench("run", path, "--bench", toy, "--results", "a")
    ended = anobench("pack", "trial", "-o", "b.anobench", "--results", "a")
    assert (ended.code, "2 failed" in ended.out) == (1, True)
    (here / "c.anobench").write_text("nothing")
    ended = anobench("report", "c.anobench")
    assert (ended.code, "not a pack" in ended.err) == (2, True)
