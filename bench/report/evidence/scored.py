"""From the archive's scores to what the test images of a data set say: DeLong by task, one bootstrap for all.

Scores are read one task at a time and let go: what is kept are AUROCs, variances and replicates. Two test
images are one where their truths say so (`bench.core.truth`), whatever task or draw they are tested in.

Where the draws of anomalies leave a different test set to each seed, a method's AUROC is the mean over them;
an image then counts by its part in that mean. With one test set for all seeds this is DeLong's variance of
placements averaged over seeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.core.truth import Truth
from bench.report.board import Board
from bench.stats import Floats
from bench.stats.bootstrap import TestSet, bootstrap_aurocs, resample
from bench.stats.delong import Placements, delong_pairs, placements

#: Resamples of the images, and how many counts are kept at most: large data sets get fewer resamples.
DRAWS, MOST_COUNTS = 1000, 20_000_000
#: A resampled AUROC is computed as such in test sets of up to so many images. In larger ones it is the sum of
#: the placements drawn, which differs from it by a share of about 1 / images and costs a fraction.
EXACT_IMAGES = 500


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """One task at one rate, by DeLong; m methods.

    Attributes
    ----------
    rows : tuple of int
        Of the board: those whose cells are all there.
    auroc, variance : ndarray, shape (m,)
        Mean over seeds, and its variance over images.
    difference, se : ndarray, shape (m, m)
        Row minus column, and its standard error over images.
    anomalous, normal : int
        Numbers of test images.
    """

    rows: tuple[int, ...]
    auroc: Floats
    variance: Floats
    difference: Floats
    se: Floats
    anomalous: int
    normal: int


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """One data set at one rate, under resamples of its images that are the same for all tasks and methods.

    Attributes
    ----------
    rows : tuple of int
        Those whose cells are all there, on every task.
    mean : ndarray, shape (m, draws)
        Mean AUROC over tasks and seeds in each resample.
    ranked : tuple of int
        The rows that are ranked.
    ranks : ndarray, shape (ranked, draws)
        Their mean rank over tasks.
    tasks : dict of int to Tested
        By column.
    """

    rows: tuple[int, ...]
    mean: Floats
    ranked: tuple[int, ...]
    ranks: Floats
    tasks: Mapping[int, Tested]


@dataclass(frozen=True, slots=True, eq=False)
class _TestImages:
    """The test images of a data set: a number for each image, and how often each resample drew it."""

    of_truth: Mapping[str, TestSet]
    of_column: Mapping[int, TestSet]
    counts: NDArray[np.uint16]
    weights: NDArray[np.float32]


def read_dataset(
    board: Board, archive: Archive, name: str, ranked: Mapping[float, Sequence[int]]
) -> dict[float, Resampled]:
    """Return what the images of a data set say at each rate.

    Parameters
    ----------
    board : Board
    archive : Archive
        Where the scores of the board's records are.
    name : str
        Of the data set.
    ranked : mapping of float to sequence of int
        At each rate the rows to rank; complete on all data sets.

    Raises
    ------
    ArchiveError
        Scores or labels are not there or cannot be read, or methods were tested on different images.
    """
    columns = board.datasets[name]
    complete = {rate: _complete_rows(board, columns, rate) for rate in board.rates}
    images = _test_images(board, archive, columns, complete, seed=zlib.crc32(name.encode()))
    return {
        rate: _at_rate(board, archive, columns, rate, rows, ranked[rate], images)
        for rate, rows in complete.items()
        if rows
    }


def _complete_rows(board: Board, columns: Sequence[int], rate: float) -> tuple[int, ...]:
    """Return the rows whose cells are all there on all columns."""
    return tuple(
        row
        for row in range(len(board.plan.rows))
        if all(board.group(row, column, rate).mean("auroc") is not None for column in columns)
    )


def _test_images(
    board: Board,
    archive: Archive,
    columns: Sequence[int],
    complete: Mapping[float, Sequence[int]],
    *,
    seed: int,
) -> _TestImages:
    names: dict[int, dict[str, None]] = {column: {} for column in columns}
    truths: dict[str, Truth] = {}
    for column in columns:
        for rate, rows in complete.items():
            sets = set()
            for row in rows:
                held = [record for record in board.group(row, column, rate).records if record is not None]
                for record in held:
                    if record.truth not in names[column]:
                        truths[record.truth] = archive.truth(record)
                        names[column][record.truth] = None
                sets.add(frozenset(record.truth for record in held))
            if len(sets) > 1:
                task = board.plan.columns[column].task
                raise ArchiveError(f"methods were tested on different images of {task}")
    if not truths:
        raise ArchiveError("no method is complete")
    sources = sorted({source for truth in truths.values() for source in truth.sources})
    # A row in a source as one number.
    numbers = {name: [sources.index(each) for each in truth.sources] for name, truth in truths.items()}
    keys = {
        name: np.array(numbers[name], np.int64)[truth.which] << 40 | truth.rows
        for name, truth in truths.items()
    }
    every = np.unique(np.concatenate(list(keys.values())))
    tests = {name: TestSet(truths[name].labels, np.searchsorted(every, key)) for name, key in keys.items()}
    of_column = {column: _union([tests[name] for name in names[column]]) for column in columns}
    draws = max(200, min(DRAWS, MOST_COUNTS // len(every)))
    counts = resample(list(of_column.values()), draws=draws, seed=seed)
    return _TestImages(tests, of_column, counts, counts.astype(np.float32))


def _union(tests: Sequence[TestSet]) -> TestSet:
    """Return all images of a task's test sets."""
    images, first = np.unique(np.concatenate([test.images for test in tests]), return_index=True)
    return TestSet(np.concatenate([test.labels for test in tests])[first], images)


def _at_rate(
    board: Board,
    archive: Archive,
    columns: Sequence[int],
    rate: float,
    rows: tuple[int, ...],
    ranked: Sequence[int],
    images: _TestImages,
) -> Resampled:
    among = np.array([rows.index(row) for row in ranked], np.int64)
    draws = images.counts.shape[1]
    mean, ranks, tasks = np.zeros((len(rows), draws)), np.zeros((len(among), draws)), {}
    for column in columns:
        tasks[column], drawn = _task(board, archive, column, rate, rows, images)
        mean += drawn / len(columns)
        if len(among):
            ranks += rankdata(-drawn[among], axis=0) / len(columns)
    return Resampled(rows, mean, tuple(ranked), ranks, tasks)


def _task(
    board: Board, archive: Archive, column: int, rate: float, rows: tuple[int, ...], images: _TestImages
) -> tuple[Tested, Floats]:
    """Return a task's tests, and each method's AUROC in each resample, shape (m, draws)."""
    test = images.of_column[column]
    exact = len(test.labels) <= EXACT_IMAGES
    auroc, drawn = np.zeros(len(rows)), np.zeros((len(rows), images.counts.shape[1]))
    #: What each image adds to the mean AUROC over seeds, so that the sum over all images is 0.
    part = np.zeros((len(rows), len(test.labels)))
    by_truth: dict[str, list[tuple[int, float, NDArray[Any]]]] = {}
    for at, row in enumerate(rows):
        records = [record for record in board.group(row, column, rate).records if record is not None]
        for record in records:
            scores = archive.scores(record)
            by_truth.setdefault(record.truth, []).append((at, 1 / len(records), scores))
    for name, held in by_truth.items():
        of = images.of_truth[name]
        found = placements(of.labels, np.stack([scores for *_, scores in held]))
        where = np.searchsorted(test.images, of.images)
        anomalous = of.labels == 1
        for (at, share, scores), one, other, value in zip(
            held, found.anomalous, found.normal, found.auroc, strict=True
        ):
            auroc[at] += share * value
            part[at, where[anomalous]] += share * (one - value) / len(one)
            part[at, where[~anomalous]] += share * (other - value) / len(other)
            if exact:
                again = bootstrap_aurocs(of, scores, images.counts)
                # A resample may hold no image of a class that is rare in the test set of one seed.
                drawn[at] += share * np.where(np.isnan(again), value, again)
    if not exact:
        drawn = auroc[:, None] + part.astype(np.float32) @ images.weights[test.images]
    anomalous = test.labels == 1
    both = (part[:, here] * here.sum() + auroc[:, None] for here in (anomalous, ~anomalous))
    pooled = Placements(*both)
    pairs = delong_pairs(pooled)
    return (
        Tested(
            rows=rows,
            auroc=auroc,
            variance=np.diag(pooled.covariance).copy(),
            difference=pairs.difference,
            se=pairs.se,
            anomalous=int(anomalous.sum()),
            normal=int((~anomalous).sum()),
        ),
        drawn,
    )
