"""From the archive's scores to what test images say: what each adds to the methods' AUROCs, task by task.

Scores are read one task at a time and let go: what is kept are AUROCs, variances, and what each image adds to
the mean over a data set's tasks. Two test images are one where their truths say so (`bench.core.truth`),
whatever task, draw or data set they are tested in.

Where the draws of anomalies leave a different test set to each seed, a method's AUROC is the mean over them;
an image then counts by its part in that mean. With one test set for all seeds this is DeLong's variance of
placements averaged over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.core.truth import Truth
from bench.report.board import Board
from bench.stats import Floats
from bench.stats.delong import image_parts, strata_of, variance_of_pairs, variance_over_images
from bench.stats.placements import placements
from bench.stats.variance import Variance

#: The label of an image that a task does not have.
ABSENT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """One task at one rate; m methods.

    Attributes
    ----------
    rows : tuple of int
        Of the board: those whose cells are all there.
    auroc : ndarray, shape (m,)
        Mean over seeds.
    own : Variance, shape (m,)
        Of the AUROC, over images; NaN with a single image of a class.
    pairs : Variance, shape (m, m)
        Of the differences, over images.
    anomalous, normal : int
        Numbers of test images.
    """

    rows: tuple[int, ...]
    auroc: Floats
    own: Variance
    pairs: Variance
    anomalous: int
    normal: int


@dataclass(frozen=True, slots=True, eq=False)
class DatasetImages:
    """One data set at one rate.

    Attributes
    ----------
    rows : tuple of int
        Those whose cells are all there, on every task.
    parts : ndarray, shape (m, images)
        What each image of the block adds to a method's mean AUROC over the tasks.
    tasks : dict of int to Tested
        By column.
    """

    rows: tuple[int, ...]
    parts: Floats
    tasks: Mapping[int, Tested]


class TestImages:
    """The test images of a block of data sets, each with a number.

    Parameters
    ----------
    truths : dict of str to Truth
        By name.
    of_columns : dict of int to sequence of str
        The truths of each column.
    """

    #: pytest would take the name for a test.
    __test__ = False

    def __init__(self, truths: Mapping[str, Truth], of_columns: Mapping[int, Sequence[str]]) -> None:
        self._labels = {name: truth.labels for name, truth in truths.items()}
        keys = image_keys(truths.values())
        every = np.unique(np.concatenate(keys))
        self.of_truth = {name: np.searchsorted(every, key) for name, key in zip(truths, keys, strict=True)}
        self.n = len(every)
        self._of_columns = of_columns

    def labels(self, column: int) -> NDArray[np.uint8]:
        """Return the label of each image in a task, shape (n,); `ABSENT` where the task does not have it."""
        found = np.full(self.n, ABSENT, np.uint8)
        for name in self._of_columns[column]:
            found[self.of_truth[name]] = self._labels[name]
        return found

    def strata(self, columns: Sequence[int]) -> NDArray[np.int64]:
        return strata_of(np.stack([self.labels(column) for column in columns]))


def image_keys(truths: Iterable[Truth]) -> list[NDArray[np.uint64]]:
    """Return for each truth a number of each of its images: the same for the same image.

    By content where all truths know it, else by source and row.
    """
    held = list(truths)
    if all(truth.images is not None for truth in held):
        return [np.asarray(truth.images, np.uint64) for truth in held]
    sources = sorted({source for truth in held for source in truth.sources})
    found = []
    for truth in held:
        numbers = np.array([sources.index(each) for each in truth.sources], np.uint64)
        found.append(numbers[truth.which] << np.uint64(40) | truth.rows.astype(np.uint64))
    return found


def truths_of(board: Board, archive: Archive, columns: Sequence[int]) -> dict[int, dict[str, Truth]]:
    """Return the truths of each column's complete methods, by name.

    Raises
    ------
    ArchiveError
        Labels are not there or cannot be read, methods were tested on different images, or none is complete.
    """
    found: dict[int, dict[str, Truth]] = {column: {} for column in columns}
    for rate in board.rates:
        rows = complete_rows(board, columns, rate)
        for column in columns:
            sets = set()
            for row in rows:
                held = [record for record in board.group(row, column, rate).records if record is not None]
                for record in held:
                    if record.truth not in found[column]:
                        found[column][record.truth] = archive.truth(record)
                sets.add(frozenset(record.truth for record in held))
            if len(sets) > 1:
                task = board.plan.columns[column].task
                raise ArchiveError(f"methods were tested on different images of {task}")
    if not any(found.values()):
        raise ArchiveError("no method is complete")
    return found


def complete_rows(board: Board, columns: Sequence[int], rate: float) -> tuple[int, ...]:
    """Return the rows whose cells are all there on all columns."""
    return tuple(
        row
        for row in range(len(board.plan.rows))
        if all(board.group(row, column, rate).mean("auroc") is not None for column in columns)
    )


def read_dataset(board: Board, archive: Archive, name: str, images: TestImages) -> dict[float, DatasetImages]:
    """Return what the images of a data set say at each rate.

    Parameters
    ----------
    board : Board
    archive : Archive
        Where the scores of the board's records are.
    name : str
        Of the data set.
    images : TestImages
        Of the data sets that share images with this one, and of this one.

    Raises
    ------
    ArchiveError
        Scores are not there or cannot be read.
    """
    columns = board.datasets[name]
    found = {}
    for rate in board.rates:
        if rows := complete_rows(board, columns, rate):
            parts, tasks = np.zeros((len(rows), images.n)), {}
            for column in columns:
                tasks[column], of_task = _task(board, archive, column, rate, rows, images)
                parts += of_task / len(columns)
            found[rate] = DatasetImages(rows, parts, tasks)
    return found


def _task(
    board: Board, archive: Archive, column: int, rate: float, rows: tuple[int, ...], images: TestImages
) -> tuple[Tested, Floats]:
    """Return a task's numbers, and what each image adds to each method's AUROC, shape (m, images)."""
    auroc, parts = np.zeros(len(rows)), np.zeros((len(rows), images.n))
    by_truth: dict[str, list[tuple[int, float, NDArray[Any]]]] = {}
    for at, row in enumerate(rows):
        records = [record for record in board.group(row, column, rate).records if record is not None]
        for record in records:
            scores = archive.scores(record)
            by_truth.setdefault(record.truth, []).append((at, 1 / len(records), scores))
    labels = images.labels(column)
    for name, held in by_truth.items():
        where = images.of_truth[name]
        of = labels[where]
        placed = placements(of, np.stack([scores for *_, scores in held]))
        each = image_parts(placed, of)
        for (at, share, _), part, value in zip(held, each, placed.auroc, strict=True):
            auroc[at] += share * value
            np.add.at(parts[at], where, share * part)
    here = labels != ABSENT
    strata = labels[here].astype(np.int64)
    counts = {"anomalous": int(strata.sum()), "normal": int((strata == 0).sum())}
    own, pairs = variance_over_images(parts[:, here], strata), variance_of_pairs(parts[:, here], strata)
    if min(counts.values()) < 2:
        own, pairs = (Variance(np.full_like(held.value, np.nan), held.freedom) for held in (own, pairs))
    return Tested(rows, auroc, own, pairs, **counts), parts
