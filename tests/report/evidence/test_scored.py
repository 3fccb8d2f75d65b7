"""What the images of a data set say: DeLong over seeds and test sets, task by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.scored import DatasetImages, TestImages, read_dataset, truths_of
from bench.stats.delong import variance_over_images
from bench.stats.placements import placements
from tests.report.evidence.scored_factory import balanced, noisy, truth_of, write_archive
from tests.report.report_factory import columns, failure, make_plan, row
from tests.stats.cases import by_definition

A, B, STOCHASTIC = row("a"), row("b"), row("s", stochastic=True)
CIFAR = columns(cifar=["cat", "dog", "ship"])


def shared(entry: Entry, n: int = 90) -> Truth:
    """Return the one-vs-rest test set of a task: all tasks share the images."""
    return truth_of(np.arange(n) % 3 != entry.column)


def images_of(board: Board, archive: Archive) -> TestImages:
    found = truths_of(board, archive, board.columns)
    every = {name: truth for held in found.values() for name, truth in held.items()}
    return TestImages(every, {column: list(held) for column, held in found.items()})


def read(archive: Archive, plan: Plan, records: dict[str, Record], name: str = "cifar") -> DatasetImages:
    board = Board(plan, records)
    return read_dataset(board, archive, name, images_of(board, archive))[0.0]


def test_one_test_set_is_delong(tmp_path: Path) -> None:
    plan = make_plan((A, B), columns(mvtec=["bottle"]))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1 + e.row), balanced)
    tested = read(archive, plan, dict(records), "mvtec").tasks[0]
    held = np.stack([archive.scores(records[entry.cell.key]) for entry in plan.entries])
    theta, anomalous, normal = by_definition(balanced(plan.entries[0]).labels, held)
    covariance = anomalous + normal
    assert tested.auroc == pytest.approx(theta, abs=1e-12)
    assert tested.own.value == pytest.approx(np.diag(covariance), rel=1e-9)
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert tested.pairs.value[0, 1] == pytest.approx(expected, rel=1e-9)
    assert (tested.anomalous, tested.normal) == (10, 10)


def test_seeds_on_one_test_set_are_averaged_placements(tmp_path: Path) -> None:
    plan = make_plan((STOCHASTIC,), columns(mvtec=["bottle"]), seeds=(0, 1, 2))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), balanced)
    tested = read(archive, plan, dict(records), "mvtec").tasks[0]
    held = placements(
        balanced(plan.entries[0]).labels, np.stack([archive.scores(each) for each in records.values()])
    )
    parts = (held.anomalous.mean(axis=0), held.normal.mean(axis=0))
    assert tested.auroc[0] == pytest.approx(held.auroc.mean(), abs=1e-12)
    assert tested.own.value[0] == pytest.approx(sum(part.var(ddof=1) / len(part) for part in parts), rel=1e-9)


def test_an_image_counts_by_its_part_in_the_mean_over_different_test_sets(tmp_path: Path) -> None:
    plan = make_plan((STOCHASTIC,), columns(mvtec=["bottle"]), seeds=(0, 1))
    # Each seed has taken other anomalies out of the test set: 10 normal, 8 of 12 anomalous images.
    rows = {0: [*range(10), *range(10, 18)], 1: [*range(10), *range(14, 22)]}

    def truth(entry: Entry) -> Truth:
        at = rows[entry.cell.seed or 0]
        return truth_of(np.array(at) >= 10, at)

    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), truth)
    tested = read(archive, plan, dict(records), "mvtec").tasks[0]
    part = np.zeros(22)
    for entry in plan.entries:
        scores, at = archive.scores(records[entry.cell.key]), np.array(rows[entry.cell.seed or 0])
        wins = (scores[10:, None] > scores[None, :10]).astype(float)
        part[at[10:]] += (wins.mean(axis=1) - wins.mean()) / 8 / 2
        part[at[:10]] += (wins.mean(axis=0) - wins.mean()) / 10 / 2
    expected = (part[:10] ** 2).sum() * 10 / 9 + (part[10:] ** 2).sum() * 12 / 11
    assert tested.own.value[0] == pytest.approx(expected, rel=1e-9)
    assert (tested.anomalous, tested.normal) == (12, 10)


def test_what_an_image_adds_to_all_tasks_is_summed(tmp_path: Path) -> None:
    """Obuchowski's variance of the mean over tasks, within the classes."""
    plan = make_plan((A, B), CIFAR)
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1 + e.row), shared)
    found = read(archive, plan, dict(records))
    part = np.zeros((2, 90))
    for entry in plan.entries:
        labels = shared(entry).labels == 1
        one = placements(labels, archive.scores(records[entry.cell.key]))
        part[entry.row, labels] += (one.anomalous[0] - one.auroc[0]) / labels.sum() / 3
        part[entry.row, ~labels] += (one.normal[0] - one.auroc[0]) / (~labels).sum() / 3
    np.testing.assert_allclose(found.parts, part, atol=1e-12)
    strata = images_of(Board(plan, records), archive).strata([0, 1, 2])
    assert sorted(np.bincount(strata).tolist()) == [30, 30, 30]
    classes = [part[:, np.arange(90) % 3 == at] for at in range(3)]
    expected = sum(30 * held.var(axis=1, ddof=1) for held in classes)
    assert variance_over_images(found.parts, strata).value == pytest.approx(expected, rel=1e-9)


def test_tasks_of_which_no_image_is_shared_are_independent(tmp_path: Path) -> None:
    plan = make_plan((A,), columns(mvtec=["bottle", "cable"]))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda e: balanced(e, 60))
    found = read(archive, plan, dict(records), "mvtec")
    strata = images_of(Board(plan, records), archive).strata([0, 1])
    assert found.parts.shape == (1, 120)
    apart = sum(found.tasks[column].own.value[0] for column in (0, 1)) / 4
    assert variance_over_images(found.parts, strata).value[0] == pytest.approx(apart, rel=1e-9)


@pytest.mark.parametrize("label", [0, 1])
def test_with_a_single_image_of_a_class_nothing_is_known_of_it(tmp_path: Path, label: int) -> None:
    plan = make_plan((A, B), columns(mvtec=["bottle"]))
    few = [label] + [1 - label] * 9
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda _: truth_of(few))
    tested = read(archive, plan, dict(records), "mvtec").tasks[0]
    assert np.isnan(tested.own.value).all()
    assert np.isnan(tested.pairs.value).all()
    assert np.isfinite(tested.auroc).all()


def test_scores_are_read_once_and_task_by_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan((A, STOCHASTIC), CIFAR)
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), shared)
    seen: list[tuple[str, str]] = []
    scores = archive.scores
    monkeypatch.setattr(
        archive, "scores", lambda record: seen.append((record.cell.task, record.cell.key)) or scores(record)
    )
    read(archive, plan, dict(records))
    assert len(seen) == len(set(seen)) == len(records)
    assert [task for task, _ in seen] == ["cat"] * 3 + ["dog"] * 3 + ["ship"] * 3


def test_incomplete_methods_are_left_out(tmp_path: Path) -> None:
    plan = make_plan((A, B), CIFAR)
    archive, made = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), shared)
    records = dict(made)
    cell = plan.entries[-1].cell
    records[cell.key] = failure(cell)
    board = Board(plan, records)
    found = read_dataset(board, archive, "cifar", images_of(board, archive))[0.0]
    assert found.rows == (0,)
    assert found.parts.shape == (1, 90)


def test_methods_tested_on_different_images_are_not_compared(tmp_path: Path) -> None:
    plan = make_plan((A, B), CIFAR)
    archive, records = write_archive(
        tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda e: shared(e, 90 - 3 * e.row)
    )
    with pytest.raises(ArchiveError, match="tested on different images of cat"):
        read(archive, plan, dict(records))


def test_damaged_scores_are_reported(tmp_path: Path) -> None:
    plan = make_plan((A, B), CIFAR)
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), shared)
    key = plan.entries[0].cell.key
    (tmp_path / "records" / key[:2] / f"{key}.npz").write_bytes(b"torn")
    with pytest.raises(ArchiveError, match="checksum"):
        read(archive, plan, dict(records))
