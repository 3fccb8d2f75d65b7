"""What the images of a data set say: DeLong over seeds and test sets, and one resample for all."""

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
from bench.report.evidence import scored
from bench.report.evidence.scored import Resampled, read_dataset
from bench.stats.delong import placements
from tests.report.evidence.scored_factory import balanced, noisy, truth_of, write_archive
from tests.report.report_factory import columns, failure, make_plan, row
from tests.stats.cases import delong_test

A, B, STOCHASTIC = row("a"), row("b"), row("s", stochastic=True)
CIFAR = columns(cifar=["cat", "dog", "ship"])


def shared(entry: Entry, n: int = 90) -> Truth:
    """Return the one-vs-rest test set of a task: all tasks share the images."""
    return truth_of(np.arange(n) % 3 != entry.column)


def read(archive: Archive, plan: Plan, records: dict[str, Record], name: str = "cifar") -> Resampled:
    board = Board(plan, records)
    return read_dataset(board, archive, name, {0.0: board.ranked})[0.0]


def test_one_test_set_is_delong(tmp_path: Path) -> None:
    plan = make_plan((A, B), columns(mvtec=["bottle"]))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1 + e.row), balanced)
    tested = read(archive, plan, dict(records), "mvtec").tasks[0]
    held = [archive.scores(records[entry.cell.key]) for entry in plan.entries]
    labels = balanced(plan.entries[0]).labels
    expected = delong_test(labels, held[0], held[1])
    assert tested.difference[0, 1] == pytest.approx(expected.estimate, abs=1e-12)
    assert tested.se[0, 1] == pytest.approx(expected.se, rel=1e-9)
    assert tested.variance == pytest.approx(np.diag(placements(labels, np.stack(held)).covariance), rel=1e-9)
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
    assert tested.variance[0] == pytest.approx(sum(part.var(ddof=1) / len(part) for part in parts), rel=1e-9)


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
    assert tested.variance[0] == pytest.approx(expected, rel=1e-9)
    assert (tested.anomalous, tested.normal) == (12, 10)


@pytest.mark.parametrize("exact", [0, 500])
def test_one_resample_for_all_tasks_and_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    monkeypatch.setattr(scored, "EXACT_IMAGES", exact)
    plan = make_plan((A, B), CIFAR)
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1 + e.row), shared)
    found = read(archive, plan, dict(records))
    # Obuchowski's variance of the mean over tasks: what an image adds to all of them is summed first.
    part = np.zeros((2, 90))
    for entry in plan.entries:
        labels = shared(entry).labels == 1
        one = placements(labels, archive.scores(records[entry.cell.key]))
        part[entry.row, labels] += (one.anomalous[0] - one.auroc[0]) / labels.sum() / 3
        part[entry.row, ~labels] += (one.normal[0] - one.auroc[0]) / (~labels).sum() / 3
    assert found.mean.var(axis=1) == pytest.approx((part**2).sum(axis=1), rel=0.2)
    difference = found.mean[1] - found.mean[0]
    assert difference.var() == pytest.approx(((part[1] - part[0]) ** 2).sum(), rel=0.2)
    tested = np.mean([found.tasks[column].auroc for column in range(3)], axis=0)
    assert found.mean.mean(axis=1) == pytest.approx(tested, abs=0.01)
    assert found.ranks.sum(axis=0) == pytest.approx(np.full(found.ranks.shape[1], 3.0))
    assert found.ranks[1].mean() < 1.1, "the better method's rank is the lower one"


def test_the_sum_of_placements_is_near_the_resampled_auroc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan((A,), columns(mvtec=["bottle"]))
    archive, records = write_archive(
        tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda e: balanced(e, 400)
    )
    exact = read(archive, plan, dict(records), "mvtec").mean
    monkeypatch.setattr(scored, "EXACT_IMAGES", 0)
    near = read(archive, plan, dict(records), "mvtec").mean
    assert near.std() == pytest.approx(exact.std(), rel=0.02)
    assert np.sqrt(((near - exact) ** 2).mean()) < 0.1 * exact.std()
    monkeypatch.setattr(scored, "EXACT_IMAGES", 400)
    assert np.array_equal(read(archive, plan, dict(records), "mvtec").mean, exact), "up to so many images"


def test_tasks_of_which_no_image_is_shared_are_independent(tmp_path: Path) -> None:
    plan = make_plan((A,), columns(mvtec=["bottle", "cable"]))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda e: balanced(e, 60))
    found = read(archive, plan, dict(records), "mvtec")
    apart = sum(found.tasks[column].variance[0] for column in (0, 1)) / 4
    assert found.mean[0].var() == pytest.approx(apart, rel=0.2)


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
    found = read_dataset(board, archive, "cifar", {0.0: [0]})[0.0]
    assert found.rows == (0,)
    assert found.mean.shape == (1, scored.DRAWS)


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


def test_a_resample_without_a_seeds_only_anomaly_leaves_that_seed_as_it_was(tmp_path: Path) -> None:
    plan = make_plan((STOCHASTIC,), columns(mvtec=["bottle"]), seeds=(0, 1))
    rows = {0: [*range(10), 10], 1: [*range(10), 11, 12, 13]}

    def truth(entry: Entry) -> Truth:
        at = rows[entry.cell.seed or 0]
        return truth_of(np.array(at) >= 10, at)

    def right(_: Entry, of: Truth) -> object:
        return of.labels

    archive, records = write_archive(tmp_path, plan, right, truth)
    assert np.array_equal(read(archive, plan, dict(records), "mvtec").mean, np.ones((1, scored.DRAWS)))


def test_large_data_sets_get_fewer_resamples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan((A,), columns(mvtec=["bottle"]))
    archive, records = write_archive(tmp_path, plan, lambda e, t: noisy(e, t, 1.0), lambda e: balanced(e, 40))
    for most, draws in ((20_000, 500), (4_000, 200), (4_000_000, scored.DRAWS)):
        monkeypatch.setattr(scored, "MOST_COUNTS", most)
        assert read(archive, plan, dict(records), "mvtec").mean.shape == (1, draws)
