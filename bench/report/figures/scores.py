"""Data of the figures made of per-image scores: histograms, and ROC curves of one task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cell import Record
from bench.errors import FigureError
from bench.metrics.image import auroc
from bench.report.board import Board, seed_of
from bench.report.columns import hole, rate_name
from bench.report.figures.common import HIGHLIGHTED, Choice, clean, named, shown_rows, the_rate, the_task
from bench.report.markdown import points
from bench.report.numbers import mean

#: Gives the labels and the scores of a record's test images, two arrays (n_test,).
Scored = Callable[[Record], tuple[NDArray[np.uint8], NDArray[np.float32]]]

#: Bars of a histogram at most.
MOST_BINS = 60
#: A spread of so many times the middle half of the scores is a long tail.
LONG_TAIL = 30
#: Resampled test sets behind a band.
RESAMPLES = 200


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


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """ROC curve of one method, the mean over its seeds at equal false positive rates.

    Attributes
    ----------
    label : str
    style : int or None
    tpr, low, high : ndarray, shape (m,)
        At the figure's false positive rates; the band is `low` to `high`.
    auroc : float
        Mean over seeds.
    """

    label: str
    style: int | None
    tpr: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    auroc: float


@dataclass(frozen=True, slots=True, eq=False)
class RocCurves:
    """The figure: ROC curves of several methods on one task.

    Attributes
    ----------
    fpr : ndarray, shape (m,)
        From 0 to 1.
    """

    kind: ClassVar[str] = "roc"
    suite: str
    where: str
    fpr: NDArray[np.float64]
    curves: tuple[Roc, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: ROC curves, {self.where}"

    @property
    def description(self) -> str:
        told = [f"{curve.label} {points(curve.auroc)}" for curve in self.curves]
        return f"ROC curves on {self.where}. AUROC in points: {'; '.join(told)}."


def score_histogram(board: Board, scored: Scored, choice: Choice = Choice()) -> ScoreHistogram:  # noqa: B008
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
        labels = ", ".join(board.plan.rows[row].label for row in rows)
        raise FigureError(f"this figure shows one method; choose it with --method; available: {labels}")
    records = _records(board, rows[0], column, rate)
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
        where=_where(board, column, rate) + ("" if found is None else f", seed {found}"),
        edges=edges,
        logarithmic=logarithmic,
        normal=np.histogram(normal, edges)[0] / len(normal),
        anomalous=np.histogram(anomalous, edges)[0] / len(anomalous),
        images=(len(normal), len(anomalous)),
        outside=(int((scores < edges[0]).sum()), int((scores > edges[-1]).sum())),
        auroc=auroc(labels_of, scores),
    )


def roc_curves(board: Board, scored: Scored, choice: Choice = Choice()) -> RocCurves:  # noqa: B008
    """Return the ROC curves of the best methods, or of those chosen, on one task at one rate.

    Raises
    ------
    FigureError
        Several tasks and none chosen, or a method chosen has no scores there.
    ArchiveError
        Scores or labels cannot be read.
    """
    rate, column = the_rate(board, choice), the_task(board, choice)
    rows = shown_rows(board, choice, [column], [rate])
    fpr = np.linspace(0, 1, 201)
    held: dict[int, list[tuple[NDArray[np.uint8], NDArray[np.float32]]]] = {}
    for row in rows:
        if choice.methods or not _incomplete(board, row, column, rate):
            records = _records(board, row, column, rate)
            wanted = [seed for seed in records if choice.seed in (None, seed) or seed is None]
            held[row] = [scored(records[seed]) for seed in wanted]
    curves = []
    for method in named(board, [row for row in rows if held.get(row)][:HIGHLIGHTED]):
        tpr, low, high = roc_band(held[method.row], fpr)
        area = mean(auroc(labels, scores) for labels, scores in held[method.row])
        curves.append(Roc(method.label, method.style, tpr, low, high, area))
    if not curves:
        raise FigureError(f"no method has scores on {_where(board, column, rate)}")
    left = len(rows) - len(curves)
    note = f"Band: 95 % of {RESAMPLES} resamples of the test images, at each false positive rate."
    return RocCurves(
        suite=clean(board.plan.title),
        where=_where(board, column, rate),
        fpr=fpr,
        curves=tuple(curves),
        note=note + (f" {left} other methods are not shown." if left else ""),
    )


def roc_band(
    runs: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]], fpr: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean ROC curve over runs, and the band in which it lies for 95 % of resampled test sets.

    Normal and anomalous images are drawn anew apart from each other, the same ones for all runs on one test
    set; the band is pointwise (Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27,
    2006, section 9.1: vertical averaging).

    Parameters
    ----------
    runs : sequence of (labels, scores)
        One for each seed, arrays (n,).
    fpr : ndarray, shape (m,)

    Returns
    -------
    tpr, low, high : ndarray, shape (m,)
    """
    whole = np.mean([roc_steps(labels, scores, fpr) for labels, scores in runs], axis=0)
    drawn = np.zeros((RESAMPLES, len(fpr)))
    for labels, scores in runs:
        draw = np.random.default_rng(0)
        weights = np.zeros((RESAMPLES, len(labels)))
        for each in (0, 1):
            of = np.flatnonzero(labels == each)
            weights[:, of] = draw.multinomial(len(of), np.full(len(of), 1 / len(of)), RESAMPLES)
        drawn += [roc_steps(labels, scores, fpr, weight) for weight in weights]
    low, high = np.quantile(drawn / len(runs), [0.025, 0.975], axis=0)
    return whole, low, high


def roc_steps(
    labels: NDArray[np.uint8],
    scores: NDArray[np.float32],
    fpr: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the true positive rates at given false positive rates; straight between thresholds.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        1 = anomalous; both classes are there.
    scores : ndarray, shape (n,)
        Higher = more anomalous; equal scores form one threshold.
    fpr : ndarray, shape (m,)
        In [0, 1].
    weights : ndarray, shape (n,), optional
        How often each image counts.

    Returns
    -------
    ndarray, shape (m,)
        Where the curve rises straight up its upper end.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ordered, anomalous = scores[order], labels[order] == 1
    counted = np.ones(len(order)) if weights is None else weights[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    true = np.concatenate(([0.0], np.cumsum(counted * anomalous)[ends]))
    false = np.concatenate(([0.0], np.cumsum(counted * ~anomalous)[ends]))
    # Of the points with one false positive rate the highest.
    last = np.append(false[1:] != false[:-1], True)
    rates: NDArray[np.float64] = np.interp(fpr, false[last] / false[-1], true[last] / true[-1])
    return rates


def _records(board: Board, row: int, column: int, rate: float) -> dict[int | None, Record]:
    """Return the records of one place by seed.

    Raises
    ------
    FigureError
        A cell failed or is missing.
    """
    group = board.group(row, column, rate)
    held = {
        seed_of(cell): record
        for cell, record in zip(group.cells, group.records, strict=True)
        if record is not None and record.status == "ok"
    }
    if not held:
        label = board.plan.rows[row].label
        where = _where(board, column, rate)
        raise FigureError(f"{label} has no scores on {where}: {hole(group)}")
    return held


def _incomplete(board: Board, row: int, column: int, rate: float) -> bool:
    """Return whether a cell of one place has no AUROC."""
    return board.group(row, column, rate).mean("auroc") is None


def _where(board: Board, column: int, rate: float) -> str:
    place = board.plan.columns[column]
    return f"{clean(place.dataset)}/{clean(place.task)}, {rate_name(rate)}"


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
