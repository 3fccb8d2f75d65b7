"""The section on contamination: what is left of each method when its train set holds anomalies.

A curve of AUROC against the rate is summarised by its slope, its area relative to clean training and the rate
at which it breaks down (`bench.stats.robustness`); slopes and areas are compared like averages, with data
sets as blocks where they are enough (`bench.report.evidence.comparison`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.purification import PURIFICATION_METRICS
from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, Comparison, compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.samples import Samples, on_images
from bench.report.leaderboard.claims import ONE_DRAW, one_draw
from bench.report.leaderboard.columns import group_column, means_column, summaries
from bench.report.leaderboard.tables import at_each
from bench.report.markdown import blocks, escape, folded, table_lines
from bench.report.numbers import NBSP, percent, rate_name
from bench.report.table import Filled, TableCell, TableColumn, table_of
from bench.stats import Floats
from bench.stats.robustness import DELTA, Breakdown, breakdown, mean_height, relative_area, slope

#: Of rates (r,) and curves (m, r) to a summary that is linear in them: offsets (m,) and weights (m, r).
Linear = Callable[[Floats, Floats], tuple[Floats, Floats]]

_HEADS = {
    "kept_anomalous": f"kept anomalous{NBSP}↓",
    "filter_auroc": "filter AUROC",
    "normals_lost": f"normals lost{NBSP}↓",
    "anomalies_kept": f"anomalies kept{NBSP}↓",
    "estimated_rate": "estimated rate",
}
_PURIFICATION = (
    "Of the methods that choose among their training images, by the truth that they do not see: the share of "
    "anomalies among the images kept, the AUROC of the scores that they filter by over all training images, "
    "the share of the normal images that they left out, the share of the anomalies that they kept, and, "
    "where they estimate it, the contamination rate. In points; means over seeds, then tasks."
)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """AUROC against the contamination rate of m methods on n data sets.

    Attributes
    ----------
    evidence : Evidence
    names : tuple of str
        Of the data sets.
    rows : tuple of int
        Those that rank and are complete at every rate.
    rates : ndarray, shape (r,)
    values : tuple of ndarray, each of shape (m, tasks, seeds, r)
    parts : dict of str to (ndarray, shape (m, images, r), or None)
        What each test image adds to the mean over the tasks.
    """

    evidence: Evidence
    names: tuple[str, ...]
    rows: tuple[int, ...]
    rates: Floats
    values: tuple[Floats, ...]
    parts: dict[str, Floats | None]

    def samples(self, summary: Linear) -> Samples:
        """Return a summary of each curve as samples to compare."""
        values, parts = [], {}
        for name, value in zip(self.names, self.values, strict=True):
            offset, weights = summary(self.rates, value.mean(axis=(1, 2)))
            values.append(offset[:, None, None] + np.einsum("mtsr,mr->mts", value, weights))
            held = self.parts[name]
            parts[name] = None if held is None else np.einsum("mnr,mr->mn", held, weights)
        return self.evidence.samples_of(
            self.names, self.rows, tuple(values), parts, list(self.rates), shares=False
        )


def slopes(rates: Floats, curves: Floats) -> tuple[Floats, Floats]:
    """Return the slope for each 10 points as offset and weights of the rates, of curves (m, r)."""
    of_each = slope(rates, np.eye(len(rates)))
    return np.zeros(len(curves)), np.broadcast_to(of_each, curves.shape)


def areas(rates: Floats, curves: Floats) -> tuple[Floats, Floats]:
    """Return the relative area as offset and weights: to first order about the methods' own curves.

    The offset makes it exact at these curves.
    """
    found, every, clean = relative_area(rates, curves), np.eye(len(rates)), int(np.argmin(rates))
    weights = (mean_height(rates, every) - found[:, None] * every[clean]) / curves[:, [clean]]
    return found - np.einsum("mr,mr->m", curves, weights), weights


def drops(at: int) -> Linear:
    """Return the drop from the lowest rate to that at a position."""

    def summary(rates: Floats, curves: Floats) -> tuple[Floats, Floats]:
        every = np.eye(len(rates))
        return np.zeros(len(curves)), np.broadcast_to(every[int(np.argmin(rates))] - every[at], curves.shape)

    return summary


def curves(evidence: Evidence, names: Sequence[str]) -> Curves | None:
    """Return the curves on some data sets; None where there is one rate, or no method complete at all."""
    board = evidence.board
    columns = [column for name in names for column in board.datasets[name]]
    rows = evidence.complete(columns, *board.rates)
    if len(board.rates) < 2 or not rows:
        return None
    seeds = evidence.seeds(*board.rates)
    values = tuple(
        np.stack([evidence.values(board.datasets[name], rows, rate, seeds) for rate in board.rates], axis=-1)
        for name in names
    )
    parts: dict[str, Floats | None] = {}
    for name in names:
        held = [evidence.parts(name, rows, rate) for rate in board.rates]
        there = [each for each in held if each is not None]
        parts[name] = np.stack(there, axis=-1) if len(there) == len(held) else None
    return Curves(evidence, tuple(names), rows, np.array(board.rates), values, parts)


def robustness(evidence: Evidence) -> list[str]:
    """Return the table of summaries over all data sets with its legend, and by data set folded."""
    board = evidence.board
    names = list(board.datasets)
    lines = summary_table(evidence, names)
    if not lines:
        return []
    each = [
        blocks([f"**{escape(board.dataset_title(name))}**"], summary_table(evidence, [name]))
        for name in names
    ]
    more = folded("Robustness by data set", blocks(*each)) if len(names) > 1 else []
    return blocks(lines, [_legend(evidence)], more)


def summary_table(evidence: Evidence, names: Sequence[str]) -> list[str]:
    """Return slope, relative area and breakdown of the complete methods, the most surely robust first."""
    board, held = evidence.board, curves(evidence, names)
    if held is None:
        return []
    of_slope, of_area = compare_methods(held.samples(slopes)), compare_methods(held.samples(areas))
    at = sorted(range(len(held.rows)), key=lambda each: _surely(of_slope, each))
    rows = [held.rows[each] for each in at]
    breaks = _breakdowns(held)
    filled: list[Filled] = [
        (TableColumn("Slope per 10 points", "difference"), [_estimate(of_slope, each) for each in at]),
        *(group_column(of_slope, rows) if len(rows) > 1 else []),
        (TableColumn("Area relative to clean", "percent"), [_estimate(of_area, each) for each in at]),
        *(group_column(of_area, rows) if len(rows) > 1 else []),
        (TableColumn(f"Drop > {100 * DELTA:g} points at", "words"), [TableCell(breaks[each]) for each in at]),
    ]
    return table_lines(table_of(map(board.label, rows), filled))


def _surely(compared: Comparison, at: int) -> tuple[bool, float, int]:
    """Return what methods are sorted by: the lower end of the interval, those of which nothing is told last.

    A method whose images order alike at every rate has no interval, and nothing is open about it.
    """
    low = float(compared.interval[at, 0])
    return not bool(compared.told[at]), -float(compared.mean[at]) if np.isnan(low) else -low, at


def simultaneous_breakdowns(held: Curves) -> list[Breakdown]:
    """Return for each method the first rates at which it has broken down, observed and certain.

    The intervals of a method's drops hold for all of its rates at once (Bonferroni).
    """
    of_rates = [held.samples(drops(at)) for at in range(len(held.rates))]
    level = 1 - ALPHA / max(1, len(held.rates) - 1)
    lost = np.stack([samples.blocked.mean for samples in of_rates], axis=1)
    lows = np.stack([on_images(samples, level=level)[:, 0] for samples in of_rates], axis=1)
    return [breakdown(held.rates, lost[at], lows[at]) for at in range(len(held.rows))]


def _breakdowns(held: Curves) -> list[str]:
    texts = []
    for found in simultaneous_breakdowns(held):
        text = "none" if found.observed is None else percent(found.observed)
        certain = "" if found.certain is None else f" (certain at {percent(found.certain)})"
        texts.append(f"{text}{certain}")
    return texts


def _estimate(compared: Comparison, at: int) -> TableCell:
    value, (low, high) = float(compared.mean[at]), compared.interval[at].tolist()
    if np.isnan(value):
        return TableCell()
    return TableCell(value, interval=None if np.isnan(low) else (low, high))


def _legend(evidence: Evidence) -> str:
    board: Board = evidence.board
    low = min(board.rates)
    held = curves(evidence, list(board.datasets))
    brackets = ""
    if held is not None:
        scope = compare_methods(held.samples(slopes)).interval_scope
        over = {"data sets": "data sets like these", "images": "test images and seeds of these data sets"}
        brackets = f" In brackets 95{NBSP}% intervals over {over[scope]}." if scope else ""
    drawn = f" {ONE_DRAW}." if one_draw(board, *board.rates) else ""
    return (
        "*Slope*: change of the average AUROC in points for each 10 points of contamination (least squares). "
        f"*Area*: mean AUROC along the curve as a share of that at {percent(low)} ({rate_name(low)}). "
        f"*Drop >*: the first rate at which more than {100 * DELTA:g} points are lost; *certain* where the "
        f"whole paired interval of the drop, over test images and seeds and for all rates at once, lies "
        f"beyond.{brackets} Methods that "
        "share a *Group* letter are not significantly different in the column before. Sorted by what is "
        f"certain: the lower end of the slope's interval.{drawn}"
    )


def purification(board: Board) -> list[str]:
    """Return one table a contamination rate; nothing if no method chose among its training images."""
    tables = at_each(board.rates, lambda rate: _at(board, rate))
    return blocks([_PURIFICATION], tables) if tables else []


def _at(board: Board, rate: float) -> list[str]:
    rows = [
        row
        for row in range(len(board.plan.rows))
        if any("kept_anomalous" in record.metrics for record in board.records(row=row, rate=rate))
    ]
    if not rows:
        return []
    filled = [
        means_column(
            TableColumn(f"{board.dataset_title(name)}: {_HEADS[metric]}"),
            summaries(board, rows, [of], rate, metric),
            compare=False,
        )
        for name, of in board.datasets.items()
        for metric in PURIFICATION_METRICS
        if _is_there(board, rows, of, rate, metric)
    ]
    return table_lines(table_of(map(board.label, rows), filled))


def _is_there(board: Board, rows: Sequence[int], of: Sequence[int], rate: float, metric: str) -> bool:
    """Return whether any record has the metric: a clean training set has no AUROC."""
    return any(
        record is not None and metric in record.metrics
        for row in rows
        for column in of
        for record in board.group(row, column, rate).records
    )
