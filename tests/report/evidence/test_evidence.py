"""Evidence: p values, intervals and ranks of small archives against scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from bench.core.cell import Record
from bench.core.plan import Column, Entry, Row
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence import scored
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.robustness import curves
from tests.report.evidence.scored_factory import above, balanced, noisy, write_archive
from tests.report.report_factory import columns, make_plan, row
from tests.stats.cases import delong_test

A, B, C = row("a"), row("b"), row("c")
FIRST, SECOND = row("first", stochastic=True), row("second", stochastic=True)
ONE = columns(mvtec=["cable"])


def random(entry: Entry, truth: Truth) -> object:
    return noisy(entry, truth, 0.5 + entry.row)


def hits(*of: int) -> object:
    """Return what scores each row so that its AUROC is a number of 40 anomalies."""
    return lambda entry, truth: above(truth, of[entry.row])


def evidence(
    folder: Path, rows: tuple[Row, ...], cols: tuple[Column, ...] = ONE, score: object = random, **how: object
) -> tuple[Evidence, list[Record]]:
    """Return the evidence of a plan and its records, in the plan's order."""
    plan = make_plan(rows, cols, **how)  # type: ignore[arg-type]
    archive, records = write_archive(folder, plan, score, lambda entry: balanced(entry, 80))  # type: ignore[arg-type]
    return Evidence(Board(plan, records), archive), [records[entry.cell.key] for entry in plan.entries]


def test_without_seeds_a_tasks_p_value_is_delongs(tmp_path: Path) -> None:
    plan = make_plan((A, B), ONE)
    archive, records = write_archive(tmp_path, plan, random, lambda entry: balanced(entry, 80))
    first, second = (archive.scores(records[entry.cell.key]) for entry in plan.entries)
    expected = delong_test(balanced(plan.entries[0], 80).labels, first, second)
    found = Evidence(Board(plan, records), archive)
    assert 0.001 < expected.p < 0.5
    assert found.task_p(0, 1, 0, 0.0) == pytest.approx(expected.p)
    assert found.task_p(1, 0, 0, 0.0) == pytest.approx(expected.p)


def test_a_tasks_p_value_has_the_variance_over_paired_seeds(tmp_path: Path) -> None:
    """Student's t; the degrees of freedom are Satterthwaite's, where only the seeds' variance has some."""
    found, records = evidence(tmp_path, (FIRST, SECOND), seeds=(0, 1, 2))
    auroc = np.array([record.metrics["auroc"] for record in records]).reshape(2, 3)
    tested = found.task(0, 0.0)
    assert tested is not None
    of_seeds = np.var(auroc[0] - auroc[1], ddof=1) / 3
    variance = tested.se[0, 1] ** 2 + of_seeds
    freedom = variance**2 / (of_seeds**2 / 2)
    statistic = abs(auroc.mean(axis=1) @ [1, -1]) / np.sqrt(variance)
    assert found.task_p(0, 1, 0, 0.0) == pytest.approx(2 * student.sf(statistic, freedom))


def test_a_difference_without_variance_is_certain_and_none_is_none(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, (A, B, C), score=hits(40, 0, 40))
    assert (found.task_p(0, 1, 0, 0.0), found.task_p(0, 2, 0, 0.0)) == (0.0, 1.0)


def test_the_interval_of_a_mean_ends_where_auroc_does(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, (A, B), columns(mvtec=["cable", "tile"]), hits(39, 1))
    high, low = (found.interval(each, (0, 1), 0.0) or (-1, -1) for each in (0, 1))
    assert 0.9 < high[0] < high[1] == 1
    assert 0 == low[0] < low[1] < 0.1


def test_the_interval_of_a_mean_rank_counts_every_task_once(tmp_path: Path) -> None:
    several = columns(digits=[str(at) for at in range(9)], mvtec=["cable"])
    found, _ = evidence(tmp_path, (A, B, C), several, lambda entry, truth: noisy(entry, truth, 1.0))
    digits, mvtec = (found.images[name][0.0].ranks for name in ("digits", "mvtec"))
    expected = np.quantile((9 * digits + mvtec) / 10, [0.025, 0.975], axis=1).T
    assert list(found.rank_interval(0.0)) == [0, 1, 2]
    np.testing.assert_allclose(list(found.rank_interval(0.0).values()), expected)


def test_data_sets_with_unlike_numbers_of_resamples_have_the_fewer_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored, "MOST_COUNTS", 48_000)
    found, _ = evidence(tmp_path, (A, B), columns(digits=["0"], mvtec=["a", "b"]), rates=(0.0, 0.1))
    assert [found.images[name][0.0].mean.shape[1] for name in ("digits", "mvtec")] == [600, 300]
    drawn = found.samples(("digits", "mvtec"), (0, 1), 0.0).replicates or ()
    assert [each.shape for each in drawn] == [(2, 300)] * 2
    held = curves(found, ("digits", "mvtec"))
    assert held is not None
    assert [each.shape for each in held.replicates or ()] == [(2, 300, 2)] * 2
    assert list(found.rank_interval(0.0)) == [0, 1]
