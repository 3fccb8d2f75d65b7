"""What reports cost: metrics of one task, and leaderboard, export and archive of 10,000 cells."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from bench.core import archive as archive_module
from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.metrics.image import IMAGE_METRICS, image_metrics
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.export import export_csv
from bench.report.leaderboard.leaderboard import leaderboard
from bench.report.verify import load_verified
from tests.report.evidence.scored_factory import noisy, truth_of, write_archive
from tests.report.report_factory import columns, make_plan, make_records, row

#: A suite with scores: plan, records, archive.
Scored = tuple[Plan, dict[str, Record], Archive]


@pytest.fixture(scope="module")
def suite() -> tuple[Plan, dict[str, Record]]:
    """Return 20 methods × 50 tasks × 2 rates × 5 seeds."""
    rows = [row(f"method_{at}[k={at},backbone=pixels]", stochastic=True) for at in range(20)]
    tasks = columns(**{f"dataset_{at}": [str(task) for task in range(10)] for at in range(5)})
    plan = make_plan(rows, tasks, rates=(0.0, 0.1), seeds=range(5))
    return plan, make_records(plan)


@pytest.fixture(scope="module")
def archive(suite: tuple[Plan, dict[str, Record]], tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Return an archive of these records, written without waiting for the disk."""
    kept = Archive(tmp_path_factory.mktemp("results"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_module.os, "fsync", lambda _: None)
        for record in suite[1].values():
            kept.write(record, None)
    return kept


def fastest(benchmark: Any) -> float:
    """Return the seconds of the fastest round; 0 where benchmarks are run as tests, without measuring."""
    return float(benchmark.stats.stats.min) if benchmark.stats else 0.0


def test_metrics_of_ten_thousand_images(benchmark: Any) -> None:
    """Aim: < 5 ms."""
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 10_000), rng.normal(size=10_000)
    benchmark(image_metrics, labels, scores)
    assert fastest(benchmark) < 0.005


def test_leaderboard_of_ten_thousand_records(benchmark: Any, suite: tuple[Plan, dict[str, Record]]) -> None:
    """Aim: < 10 s."""
    plan, records = suite
    text = benchmark.pedantic(leaderboard, (plan, records), rounds=3)
    assert "10,000 of 10,000 cells" in text
    assert fastest(benchmark) < 10


def test_export_of_ten_thousand_records(benchmark: Any, suite: tuple[Plan, dict[str, Record]]) -> None:
    plan, records = suite
    text = benchmark.pedantic(export_csv, (plan, records), rounds=3)
    assert text.count("\n") == 10_000 * len(IMAGE_METRICS) + 1


def test_loading_ten_thousand_records(
    benchmark: Any, suite: tuple[Plan, dict[str, Record]], archive: Archive
) -> None:
    """Aim: < 2 s."""
    keys = list(suite[1])
    found = benchmark.pedantic(lambda: Archive(archive.results).load_all(keys), rounds=3)
    assert len(found) == 10_000
    assert fastest(benchmark) < 2


def test_reading_a_plan_of_ten_thousand_cells(benchmark: Any, suite: tuple[Plan, dict[str, Record]]) -> None:
    text = suite[0].to_json()
    assert len(benchmark.pedantic(Plan.from_json, (text,), rounds=3).entries) == 10_000


def report(plan: Plan, records: dict[str, Record], archive: Archive) -> str:
    return leaderboard(plan, records, evidence=Evidence(Board(plan, records), archive))


@pytest.fixture(scope="module")
def scored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int, int], Scored]:
    """Return what writes methods × data sets of 10 tasks × 3 seeds with scores; few of them as a test."""
    small = request.config.getoption("benchmark_disable")

    def shared(entry: Entry) -> Truth:
        return truth_of(
            np.arange(60 if small else 1000) % 10 != int(entry.cell.task), source=entry.cell.dataset
        )

    def make(methods: int, datasets: int) -> Scored:
        rows = [row(f"method_{at}[k={at},backbone=pixels]", stochastic=True) for at in range(methods)]
        tasks = columns(**{f"dataset_{at}": [str(task) for task in range(10)] for at in range(datasets)})
        plan = make_plan(rows, tasks, seeds=range(3))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archive_module.os, "fsync", lambda _: None)
            folder = tmp_path_factory.mktemp("scored")
            archive, records = write_archive(folder, plan, lambda e, t: noisy(e, t, 1 + e.row / 50), shared)
        return plan, dict(records), archive

    return (lambda *_: make(3, 2)) if small else make


@pytest.mark.benchmark(timer=time.process_time)
def test_full_report_of_nine_thousand_cells(benchmark: Any, scored: Callable[[int, int], Scored]) -> None:
    """30 methods × 100 tasks × 3 seeds with intervals, groups and all pairs; aim: < 60 s of CPU."""
    text = benchmark.pedantic(report, scored(30, 10), rounds=1)
    assert "Which differences are real" in text
    assert fastest(benchmark) < 60


@pytest.mark.benchmark(timer=time.process_time)
def test_the_report_grows_no_faster_than_the_cells(
    benchmark: Any, scored: Callable[[int, int], Scored]
) -> None:
    """Four times the tasks, at most 4.8 times the CPU seconds."""
    few, many = scored(10, 2), scored(10, 8)
    start = time.process_time()
    report(*few)
    before = time.process_time() - start
    benchmark.pedantic(report, many, rounds=1)
    assert fastest(benchmark) < 4.8 * before


def test_checking_nine_thousand_records(
    benchmark: Any, scored: Callable[[int, int], Scored], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics again from 1,000 scores each; aim: < 60 s, and half of that at most the next time."""
    _, records, archive = scored(30, 10)

    def checked() -> dict[str, Record]:
        return load_verified(Archive(archive.results), records)

    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path))
    found = benchmark.pedantic(checked, rounds=1)
    assert {record.metrics["auroc"] for record in found.values()}
    start = time.perf_counter()
    checked()
    again = time.perf_counter() - start
    print(f"\n{len(found)} records: {fastest(benchmark):.1f} s once, {again:.1f} s the next time")
    assert fastest(benchmark) < 60
    assert again < max(1.0, fastest(benchmark) / 2)
