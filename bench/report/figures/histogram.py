"""Data of the score histograms: how one method scores the normal and the anomalous images of one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import FigureError
from bench.metrics.image import auroc
from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    Choice,
    ScoresOf,
    clean,
    finished,
    named,
    place,
    shown_rows,
    the_rate,
    the_task,
)
from bench.report.numbers import points

#: Bars of a histogram at most.
MOST_BINS = 60
#: A spread of so many times the middle half of the scores is a long tail.
LONG_TAIL = 30


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """The figure: how one method scores the normal and the anomalous test images of one task.

    Attributes
    ----------
    where : str
        ``"digits/3, clean, seed 0"``.
    edges : ndarray, shape (bins + 1,)
    logarithmic : bool
        The bins are equally wide in the logarithm of the score.
    normal, anomalous : ndarray, shape (bins,)
        Share of the class in each bin.
    images : tuple of int
        How many normal and anomalous images there are.
    outside : tuple of int
        How many scores are below and above all bins, infinite ones among them.
    auroc : float
    """

    kind: ClassVar[str] = "histogram"
    suite: str
    method: str
    where: str
    edges: NDArray[np.float64]
    logarithmic: bool
    normal: NDArray[np.float64]
    anomalous: NDArray[np.float64]
    images: tuple[int, int]
    outside: tuple[int, int]
    auroc: float

    @property
    def title(self) -> str:
        return f"{self.suite}: scores of {self.method} on {self.where}"

    @property
    def description(self) -> str:
        peaks = [
            f"{self.edges[at]:.3g} to {self.edges[at + 1]:.3g}"
            for at in (int(np.argmax(self.normal)), int(np.argmax(self.anomalous)))
        ]
        return (
            f"Histogram of the scores of {self.method} for {self.images[0]:,} normal and "
            f"{self.images[1]:,} anomalous test images of {self.where}. The fullest bin of the normal ones "
            f"is {peaks[0]}, of the anomalous ones {peaks[1]}. AUROC {points(self.auroc)}."
        )


def score_histogram(board: Board, scored: ScoresOf, choice: Choice = ALL) -> ScoreHistogram:
    """Return the histogram of one cell: of a method, a task, a rate and a seed.

    Raises
    ------
    FigureError
        Several methods or tasks and none chosen, or the cell has no scores.
    ArchiveError
        Scores or labels cannot be read.
    """
    rate, column = the_rate(board, choice), the_task(board, choice)
    rows = shown_rows(board, choice, [column], [rate])
    if len(rows) > 1:
        labels = ", ".join(board.label(row) for row in rows)
        raise FigureError(f"this figure shows one method; choose it with --method; available: {labels}")
    records = finished(board, rows[0], column, rate)
    seed = choice.seed if choice.seed is not None else next(iter(records))
    if seed not in records and list(records) != [None]:
        there = ", ".join(str(each) for each in records)
        raise FigureError(f"--seed {seed}: this cell has the seeds {there}")
    found = seed if seed in records else None
    labels_of, scores = scored(records[found])
    finite = scores[np.isfinite(scores)].astype(np.float64)
    edges, logarithmic = histogram_edges(finite)
    normal, anomalous = scores[labels_of == 0], scores[labels_of == 1]
    if not len(normal) or not len(anomalous):
        raise FigureError("the test set of this task has images of one class only")
    method = named(board, rows)[0]
    return ScoreHistogram(
        suite=clean(board.plan.title),
        method=method.label,
        where=place(board, column, rate) + ("" if found is None else f", seed {found}"),
        edges=edges,
        logarithmic=logarithmic,
        normal=np.histogram(normal, edges)[0] / len(normal),
        anomalous=np.histogram(anomalous, edges)[0] / len(anomalous),
        images=(len(normal), len(anomalous)),
        outside=(int((scores < edges[0]).sum()), int((scores > edges[-1]).sum())),
        auroc=auroc(labels_of, scores),
    )


def histogram_edges(finite: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Return the edges of a histogram's bins, and whether they are equally wide in the logarithm.

    The bins follow Freedman and Diaconis' rule, between 10 and `MOST_BINS` of them. Where the scores spread
    over more than `LONG_TAIL` times their middle half, one bin would hold nearly all of them: positive scores
    are then shown by their logarithm (AUROC is the same), others without their outermost hundredths.

    Parameters
    ----------
    finite : ndarray, shape (n,)
        No infinite scores.
    """
    if not len(finite) or finite.min() == finite.max():
        middle = float(finite[0]) if len(finite) else 0.0
        half = max(abs(middle), 1.0) / 2
        return np.linspace(middle - half, middle + half, 12), False
    low, high = float(finite.min()), float(finite.max())
    quarter, three = np.quantile(finite, [0.25, 0.75])
    tail = high - low > LONG_TAIL * (three - quarter)
    if tail and low > 0:
        edges = np.exp(_even(np.log(finite)))
        # Rounding must not put the extremes outside.
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
        return edges, True
    if tail and three > quarter:
        inner = np.quantile(finite, [0.01, 0.99])
        finite = finite[(finite >= inner[0]) & (finite <= inner[1])]
    return _even(finite), False


def _even(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    quarter, three = np.quantile(values, [0.25, 0.75])
    width = 2 * (three - quarter) / len(values) ** (1 / 3)
    bins = MOST_BINS if width <= 0 else int(np.clip(np.ceil((high - low) / width), 10, MOST_BINS))
    return np.linspace(low, high, bins + 1)
