"""``anobench merge``: two machines' runs through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.core.archive import Archive
from tests.cli.conftest import Invoke


def test_two_machines_and_a_changed_score(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness", "constant"]\n')
    anobench("run", path, "--bench", toy, "-m", "brightness", "--results", "a")
    anobench("run", path, "--bench", toy, "--results", "b")
    ended = anobench("merge", "a", "b", "--into", "c")
    assert ended.code == 0
    assert "4 cells copied into c, 0 were there, 0 conflicts" in ended.out
    assert anobench("report", "trial", "--results", "c").code == 0
    b = Archive(here / "b")
    changed = next(r for r in b.load_all(b.keys()).values() if r.cell.method == "brightness")
    b.write(changed, b.scores(changed) * np.float32(2))
    ended = anobench("merge", "a", "b", "--into", "d")
    assert ended.code == 1
    assert f"conflict: {changed.cell} [{changed.cell.key}]: scores differ: {here / 'a'} (AUROC" in ended.err
    assert f"/ {here / 'b'} (AUROC" in ended.err
    assert Archive(here / "d").load(changed.cell.key) is None
    assert anobench("merge", "a", "nowhere", "--into", "e").code == 2
