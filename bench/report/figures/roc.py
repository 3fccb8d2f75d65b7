"""Data of the ROC curves of several methods on one task, with bands over resampled test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.metrics.image import auroc
from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    HIGHLIGHTED,
    Choice,
    Run,
    ScoresOf,
    clean,
    finished,
    incomplete,
    named,
    place,
    shown_rows,
    the_rate,
    the_task,
)
from bench.report.numbers import count, mean, points
from bench.stats import Floats

#: So many methods are shown unless others are chosen: more bands hide each other.
MOST_CURVES = 5
#: Resampled test sets behind a band.
RESAMPLES = 200


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
    tpr: Floats
    low: Floats
    high: Floats
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
    fpr: Floats
    curves: tuple[Roc, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: ROC curves, {self.where}"

    @property
    def description(self) -> str:
        areas = [f"{curve.label} {points(curve.auroc)}" for curve in self.curves]
        return f"ROC curves on {self.where}. AUROC in points: {'; '.join(areas)}."


def roc_curves(board: Board, scored: ScoresOf, choice: Choice = ALL) -> RocCurves:
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
    runs: dict[int, list[Run]] = {}
    for row in rows:
        if len(runs) == (HIGHLIGHTED if choice.methods else MOST_CURVES):
            break
        # A method that was chosen says why it has no curve, any other gives way to the next.
        if choice.methods or not incomplete(board, row, column, rate):
            runs[row] = _runs(finished(board, row, column, rate), scored, choice.seed)
    if not runs:
        raise FigureError(f"no method has scores on {place(board, column, rate)}")
    curves = []
    for method in named(board, list(runs)):
        tpr, low, high = roc_band(runs[method.row], fpr)
        area = mean(auroc(labels, scores) for labels, scores in runs[method.row])
        curves.append(Roc(method.label, method.style, tpr, low, high, area))
    left = len(rows) - len(curves)
    note = f"Band: 95 % of {RESAMPLES} resamples of the test images, at each false positive rate."
    return RocCurves(
        suite=clean(board.plan.title),
        where=place(board, column, rate) + ("" if choice.seed is None else f", seed {choice.seed}"),
        fpr=fpr,
        curves=tuple(curves),
        note=note + (f" {count(left, 'method')} not shown." if left else ""),
    )


def _runs(records: dict[int | None, Record], scored: ScoresOf, seed: int | None) -> list[Run]:
    """Return the runs of one place, of all seeds or of one; what does not depend on a seed has any."""
    if seed is not None and None not in records:
        if seed not in records:
            raise FigureError(f"--seed {seed}: this cell has the seeds {', '.join(map(str, records))}")
        records = {seed: records[seed]}
    return [scored(record) for record in records.values()]


def roc_band(runs: Sequence[Run], fpr: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the mean ROC curve over runs, and the band in which it lies for 95 % of resampled test sets.

    Normal and anomalous images are drawn anew apart from each other, the same ones for all runs on test sets
    with the same labels; the band is pointwise (Fawcett, "An introduction to ROC analysis", Pattern
    Recognition Letters 27, 2006, section 9.1: vertical averaging).

    Parameters
    ----------
    runs : sequence of (labels, scores)
        One for each seed, arrays (n,).
    fpr : ndarray, shape (m,)

    Returns
    -------
    tpr, low, high : ndarray, shape (m,)
    """
    whole, drawn = np.zeros(len(fpr)), np.zeros((RESAMPLES, len(fpr)))
    for labels, scores in runs:
        counts = resample(labels, draws=RESAMPLES)
        whole += roc_steps(labels, scores, fpr)[0]
        drawn += roc_steps(labels, scores, fpr, counts)
    low, high = np.quantile(drawn / len(runs), [0.025, 0.975], axis=0)
    return whole / len(runs), low, high


def resample(labels: NDArray[np.uint8], *, draws: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return how often each image is drawn from those of its class, shape (n, draws)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((len(labels), draws), np.uint16)
    for of in np.unique(labels):
        here = np.flatnonzero(labels == of)
        counts[here] = rng.multinomial(len(here), np.full(len(here), 1 / len(here)), draws).T
    return counts


def roc_steps(
    labels: NDArray[np.uint8],
    scores: NDArray[np.float32],
    fpr: Floats,
    counts: NDArray[np.uint16] | None = None,
) -> Floats:
    """Return the true positive rates at given false positive rates; straight between thresholds.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        1 = anomalous; both classes are there.
    scores : ndarray, shape (n,)
        Higher = more anomalous; equal scores form one threshold.
    fpr : ndarray, shape (m,)
        In [0, 1].
    counts : ndarray, shape (n, draws), optional
        How often each image counts, by default once in a single draw.

    Returns
    -------
    ndarray, shape (draws, m)
        Where a curve rises straight up its upper end.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ordered, anomalous = scores[order], labels[order] == 1
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    drawn = np.ones((len(order), 1), np.uint16) if counts is None else counts
    rates = np.empty((drawn.shape[1], len(fpr)))
    for at in range(drawn.shape[1]):
        times = drawn[order, at].astype(np.float64)
        true, false = (np.concatenate(([0.0], np.cumsum(times * of)[ends])) for of in (anomalous, ~anomalous))
        # Of the points with one false positive rate the highest.
        last = np.append(false[1:] != false[:-1], True)
        rates[at] = np.interp(fpr, false[last] / false[-1], true[last] / true[-1])
    return rates
