"""What the engine itself costs: per cell, and to plan and resume a large suite that is done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.plan import Plan
from bench.run.prepare import compare
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite
from tests.factory import make_record, make_timing, run_cells

NULL = '''
"""Null: does nothing, at once."""
from bench import Method, Scores

class Null(Method):
    def __init__(self, level: int = 0) -> None:
        pass
    def fit(self, train):
        pass
    def score(self, test):
        return Scores([0.0] * len(test))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "null.py").write_text(NULL)
    return tmp_path


def plan_of(folder: Path, text: str) -> tuple[Plan, Registry]:
    path = folder / "trial.toml"
    path.write_text(text)
    found = Registry([folder])
    return make_plan(load_suite(path), found), found


def test_overhead_per_cell(benchmark: Any, folder: Path) -> None:
    """Aim: at most 1.5 ms a cell over the null method's own time (which is none)."""
    levels = list(range(20))
    text = f'datasets = ["digits"]\nmethods = [{{ name = "null", level = {levels} }}]\n'
    plan, found = plan_of(folder, text)
    todo = [entry.cell for entry in plan.entries]
    rounds = iter(range(1000))

    def run_all() -> None:
        records = run_cells(todo, Archive(folder / f"results{next(rounds)}"), found)
        assert {record.status for record in records} == {"ok"}

    benchmark.pedantic(run_all, rounds=3)
    if benchmark.stats:
        benchmark.extra_info["ms_per_cell"] = 1000 * benchmark.stats.stats.median / len(todo)
        print(f"\n{1000 * benchmark.stats.stats.median / len(todo):.2f} ms per cell (aim <= 1.5)")


def test_planning_and_resuming_10000_finished_cells(benchmark: Any, folder: Path) -> None:
    """Aim: below 5 s from the suite file to "nothing left to do"."""
    levels = list(range(90 if benchmark.enabled else 2))
    text = (
        'datasets = ["digits"]\n'
        f'methods = [{{ name = "random" }}, {{ name = "null", level = {levels} }}]\n'
        f"contamination = [0.0, 0.05, 0.1]\nseeds = {list(range(5))}\n"
    )
    plan, _ = plan_of(folder, text)
    cells = {entry.cell.key: entry.cell for entry in plan.entries}
    assert len(cells) >= (10_000 if benchmark.enabled else 300)
    archive = Archive(folder / "results")
    scores = np.zeros(10, np.float32)
    environment = {"packages": {f"package{i}": "1.2.3" for i in range(20)}, "cpu": {"name": "x" * 40}}
    for cell in cells.values():
        metrics = {"auroc": 0.5, "ap": 0.5, "fpr95": 0.5}
        record = make_record(cell, metrics=metrics, timing=make_timing(0.1, 0.1), environment=environment)
        archive.write(record, scores)

    def resume() -> None:
        again, _ = plan_of(folder, text)
        assert not compare(again, Archive(folder / "results"))[1]

    start = time.perf_counter()
    benchmark.pedantic(resume, rounds=1)
    took = time.perf_counter() - start
    print(f"\n{len(cells)} finished cells planned and resumed in {took:.2f} s (aim < 5)")
