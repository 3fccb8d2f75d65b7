"""Evidence of small archives: p values and intervals against references, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from bench.core.cell import Record
from bench.core.plan import Column, Entry, Plan, Row
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.claims import one_draw
from bench.stats.interval import perfect_interval
from tests.report.evidence.scored_factory import above, balanced, noisy, truth_of, write_archive
from tests.report.report_factory import columns, make_plan, make_records, row
from tests.stats.cases import by_definition, delong_test, joined, welch

A, B, C = row("a"), row("b"), row("c")
FIRST, SECOND = row("first", stochastic=True), row("second", stochastic=True)
ONE = columns(mvtec=["cable"])


def tasks(n: int) -> tuple[Column, ...]:
    return columns(mvtec=[f"task{at}" for at in range(n)])


def random(entry: Entry, truth: Truth) -> object:
    return noisy(entry, truth, 0.5 + entry.row)


def hits(*of: int) -> object:
    """Return what scores each row so that its AUROC is a number of the anomalies."""
    return lambda entry, truth: above(truth, of[entry.row])


def evidence(
    folder: Path,
    rows: tuple[Row, ...],
    cols: tuple[Column, ...] = ONE,
    score: object = random,
    truth: object = lambda entry: balanced(entry, 80),
    **how: object,
) -> tuple[Evidence, list[Record]]:
    """Return the evidence of a plan and its records, in the plan's order."""
    plan = make_plan(rows, cols, **how)  # type: ignore[arg-type]
    archive, records = write_archive(folder, plan, score, truth)  # type: ignore[arg-type]
    return Evidence(Board(plan, records), archive), [records[entry.cell.key] for entry in plan.entries]


def test_without_seeds_a_tasks_p_value_is_delongs(tmp_path: Path) -> None:
    plan = make_plan((A, B), ONE)
    archive, records = write_archive(tmp_path, plan, random, lambda entry: balanced(entry, 80))
    first, second = (archive.scores(records[entry.cell.key]) for entry in plan.entries)
    difference, p = delong_test(balanced(plan.entries[0], 80).labels, first, second)
    for compared in (
        Evidence(Board(plan, records), archive).within("mvtec", 0.0),
        Evidence(Board(plan, records), archive).overall(0.0),
    ):
        assert compared is not None
        assert 0.001 < p < 0.5
        assert compared.difference[0, 1] == pytest.approx(difference, abs=1e-9)
        assert compared.adjusted[0, 1] == pytest.approx(p, rel=1e-6)
        assert compared.adjusted[1, 0] == compared.adjusted[0, 1]


def test_a_tasks_p_value_has_the_variance_over_paired_seeds(tmp_path: Path) -> None:
    found, records = evidence(tmp_path, (FIRST, SECOND), seeds=range(5))
    auroc = np.array([record.metrics["auroc"] for record in records]).reshape(2, 5)
    archive, labels = found.archive, balanced(found.board.plan.entries[0], 80).labels
    assert archive is not None
    scores = np.stack([archive.scores(record) for record in records])
    # The covariance of the ten runs' AUROCs; of the difference of their means with these weights.
    weights = np.repeat([1 / 5, -1 / 5], 5)
    _, anomalous, normal = by_definition(labels, scores)
    images = [float(weights @ each @ weights) for each in (anomalous, normal)]
    of_seeds = np.var(auroc[0] - auroc[1], ddof=1) / 5
    value, freedom = joined(welch(images, [39, 39]), (of_seeds, 4))
    statistic = abs(auroc.mean(axis=1) @ [1, -1]) / np.sqrt(value)
    compared = found.within("mvtec", 0.0)
    assert compared is not None
    assert compared.adjusted[0, 1] == pytest.approx(2 * student.sf(statistic, freedom), rel=1e-5)


def untold(folder: Path, seeds: int, n: int, rows: tuple[Row, ...] = (FIRST, A)) -> list[int]:
    found, _ = evidence(folder, rows, tasks(n), seeds=range(seeds))
    columns = list(found.board.columns)
    assert found.overall(0.0) is not None
    assert found.overall(0.0).told.tolist() == [  # type: ignore[union-attr]
        found.untold(at, columns, [0.0]) == 0 for at in range(len(rows))
    ]
    return [found.untold(at, columns, [0.0]) for at in range(len(rows))]


@pytest.mark.parametrize(
    ("seeds", "n", "needed"),
    [(1, 1, 5), (4, 1, 5), (5, 1, 0), (1, 10, 2), (2, 10, 0), (2, 2, 3), (3, 2, 0), (2, 3, 0), (1, 3, 2)],
)
def test_how_many_seeds_it_takes(tmp_path: Path, seeds: int, n: int, needed: int) -> None:
    """The deterministic method beside it can be told with any."""
    assert untold(tmp_path, seeds, n) == [needed, 0]


def test_a_stochastic_method_with_one_seed_has_no_letter_and_no_mark(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, (A, FIRST, B, C), score=hits(36, 30, 35, 10), seeds=(0,))
    compared = found.overall(0.0)
    assert compared is not None
    assert compared.letters == ("a", "", "a", "b")
    assert compared.seeds_needed == 5
    assert found.task_marks([0, 1, 2, 3], 0, 0.0) == ["possible", "untold", "possible", "worse"]
    assert found.interval(1, (0,), 0.0) is None
    assert found.overall_interval(1, 0.0) is None
    assert found.untold_on_task(1, 0, 0.0) == 5


def test_methods_with_other_seeds_cannot_be_told(tmp_path: Path) -> None:
    """One of them lacks the last seed: there is nothing to pair it with."""
    plan = make_plan((FIRST, SECOND, A), tasks(3), seeds=range(3))
    entries = tuple(entry for entry in plan.entries if not (entry.row == 1 and entry.cell.seed == 2))
    plan = replace(plan, entries=entries)
    archive, records = write_archive(tmp_path, plan, random, lambda entry: balanced(entry, 80))
    compared = Evidence(Board(plan, records), archive).overall(0.0)
    assert compared is not None
    assert compared.told.tolist() == [True, False, True]
    assert compared.letters[1] == ""
    assert np.isnan(compared.adjusted[1, [0, 2]]).all()


def drawn(folder: Path, seeds: tuple[int, ...], n: int = 1) -> Evidence:
    return evidence(folder, (A, B), tasks(n), rates=(0.0, 0.1), seeds=seeds)[0]


def test_one_draw_of_anomalies_is_a_condition_and_no_seed(tmp_path: Path) -> None:
    found = drawn(tmp_path, (3,))
    assert one_draw(found.board, 0.1)
    assert one_draw(found.board, 0.0, 0.1)
    assert not one_draw(found.board, 0.0)
    compared = found.overall(0.1)
    assert compared is not None
    assert compared.told.all()


def test_several_draws_are_seeds(tmp_path: Path) -> None:
    found = drawn(tmp_path, (0, 1))
    assert not one_draw(found.board, 0.1)
    compared = found.overall(0.1)
    assert compared is not None
    assert not compared.told.any(), "two draws on one task say too little"


def test_marks_of_a_task(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, (A, B, C), score=hits(36, 35, 5))
    assert found.task_marks([0, 1, 2], 0, 0.0) == ["possible", "possible", "worse"]
    # Holm's correction is for the rows asked for, and a row alone is compared with nobody.
    assert found.task_marks([2, 0], 0, 0.0) == ["worse", "possible"]
    assert found.task_marks([0], 0, 0.0) == [None]
    bare = Evidence(found.board)
    assert bare.task_marks([0, 1, 2], 0, 0.0) == [None] * 3
    assert bare.why == {"mvtec": "the scores are not at hand"}


def test_perfect_on_few_images_is_not_proved_better(tmp_path: Path) -> None:
    """Two images of each class: no p value below 2 / C(4, 2)."""
    few = {"score": hits(2, 0, 2), "truth": lambda entry: balanced(entry, 4)}
    found, _ = evidence(tmp_path, (A, B, C), **few)
    compared = found.overall(0.0)
    assert compared is not None
    assert compared.adjusted[0, 1] == pytest.approx(1.0)
    assert compared.adjusted[0, 2] == 1
    assert compared.letters == ("a", "a", "a")
    assert found.task_marks([0, 1, 2], 0, 0.0) == ["possible"] * 3
    interval = perfect_interval(anomalous=2, normal=2)
    assert found.task_interval(0, 0, 0.0) == pytest.approx(interval)
    assert found.task_interval(1, 0, 0.0) == pytest.approx((0.0, 1 - interval[0]))
    assert found.overall_interval(0, 0.0) == pytest.approx(interval)


@pytest.mark.parametrize("rows", [(A, B), (FIRST, SECOND)])
@pytest.mark.parametrize("score", [random, hits(40, 0)])
def test_one_number_never_has_two_intervals(tmp_path: Path, rows: tuple[Row, ...], score: object) -> None:
    """Of a suite of one task: overall, of the data set, and of the task."""
    found, _ = evidence(tmp_path, rows, score=score, seeds=range(5))
    for at in (0, 1):
        compared = found.within("mvtec", 0.0)
        assert compared is not None
        held = [
            found.overall_interval(at, 0.0),
            found.interval(at, (0,), 0.0),
            found.task_interval(at, 0, 0.0),
        ]
        held += [tuple(compared.on_images[at].tolist())]
        assert None not in held
        for each in held[1:]:
            assert each == pytest.approx(held[0], rel=1e-12)


def test_nor_has_the_mean_over_the_tasks_of_a_single_data_set(tmp_path: Path) -> None:
    found, _ = evidence(tmp_path, (A, FIRST), tasks(3), seeds=range(3))
    for at in (0, 1):
        assert found.interval(at, (0, 1, 2), 0.0) == pytest.approx(found.overall_interval(at, 0.0))
    assert found.interval(0, (0, 1), 0.0) is None, "some but not all of several tasks"


def one_image(label: int, of: str) -> object:
    """Return what gives the task a single image of a class."""
    few = [label] + [1 - label] * 9
    return lambda entry: truth_of(few, source="one") if entry.cell.task == of else balanced(entry, 20)


@pytest.mark.parametrize(("label", "what"), [(1, "anomalous"), (0, "normal")])
@pytest.mark.parametrize("n", [1, 3])
def test_a_single_image_of_a_class_cannot_be_told(tmp_path: Path, label: int, what: str, n: int) -> None:
    rows = (A, B)
    found, _ = evidence(tmp_path, rows, tasks(n), truth=one_image(label, "task0"))
    compared = found.overall(0.0)
    assert compared is not None
    assert (compared.scope, compared.letters, compared.interval_scope) == ("", (), "")
    assert compared.why == f"task0 has a single {what} test image"
    assert found.task_marks([0, 1], 0, 0.0) == ["untold", "untold"]
    assert found.task_interval(0, 0, 0.0) is None
    assert found.overall_interval(0, 0.0) is None
    assert found.interval(0, tuple(range(n)), 0.0) is None
    if n > 1:
        assert "untold" not in found.task_marks([0, 1], 1, 0.0)
        assert found.task_interval(0, 1, 0.0) is not None


def protocol(plan: Plan, version: int) -> Plan:
    """Return the plan with cells of the second method on the first data set of another protocol."""
    first = plan.columns[0].dataset
    entries = tuple(
        replace(entry, cell=replace(entry.cell, protocol=version))
        if entry.row == 1 and entry.cell.dataset == first
        else entry
        for entry in plan.entries
    )
    return replace(plan, entries=entries)


def test_what_was_not_measured_alike_is_not_compared(tmp_path: Path) -> None:
    plan = protocol(make_plan((A, B), columns(mvtec=["cable"], visa=["pcb"])), 0)
    archive, records = write_archive(tmp_path, plan, random, lambda entry: balanced(entry, 80))
    found = Evidence(Board(plan, records), archive)
    assert found.mixed == {"mvtec": "protocol version"}
    overall, other = found.overall(0.0), found.within("visa", 0.0)
    assert overall is not None
    assert other is not None
    assert (overall.scope, overall.letters) == ("", ())
    assert "differ in protocol version" in overall.why
    assert other.scope == "images"


def test_samples_of_both_scopes(tmp_path: Path) -> None:
    names = {f"set{at}": ["x", "y"][: 1 + at % 2] for at in range(7)}
    found, records = evidence(tmp_path, (A, FIRST), columns(**names), seeds=(0, 1))
    held = found.samples(list(names), (0, 1), 0.0)
    assert [value.shape for value in held.values] == [(2, 1 + at % 2, 2) for at in range(7)]
    assert held.blocks == tuple(range(7))
    assert (held.values[0][0, 0] == held.values[0][0, 0, 0]).all(), "deterministic: repeated"
    assert held.weights == pytest.approx([1 / 7 / (1 + at % 2) for at in range(7) for _ in range(1 + at % 2)])
    assert held.weights.sum() == pytest.approx(1)
    assert held.images is not None
    assert len(held.images) == 7
    assert found.overall(0.0).scope == "data sets"  # type: ignore[union-attr]
    assert found.within("set1", 0.0).scope == "images"  # type: ignore[union-attr]
    bare = Evidence(Board(found.board.plan, {each.cell.key: each for each in records}))
    assert bare.samples(list(names), (0, 1), 0.0).images is None
    assert bare.overall(0.0).scope == "data sets"  # type: ignore[union-attr]
    assert bare.within("set1", 0.0).scope == ""  # type: ignore[union-attr]


def test_nobody_is_complete() -> None:
    plan = make_plan((A, B), ONE)
    assert Evidence(Board(plan, {})).overall(0.0) is None
    records = make_records(plan)
    records.pop(plan.entries[0].cell.key)
    compared = Evidence(Board(plan, records)).overall(0.0)
    assert compared is not None
    assert compared.rows == (1,)
