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
from bench.report.evidence.comparison import Comparison, Samples, compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.columns import group_column, means_column, summaries
from bench.report.leaderboard.tables import at_each
from bench.report.markdown import blocks, escape, folded, table_lines
from bench.report.numbers import NBSP, percent, rate_name
from bench.report.table import Filled, TableCell, TableColumn, table_of
from bench.stats import Floats
from bench.stats.bootstrap import with_seeds
from bench.stats.robustness import DELTA, breakdown, relative_area, slope

#: Of rates and curves (..., rates) to (...).
Summarise = Callable[[Floats, Floats], Floats]

_HEADS = {
    "kept_anomalous": f"kept anomalous{NBSP}↓",
    "filter_auroc": "filter AUROC",
    "normals_lost": f"normals lost{NBSP}↓",
}
_PURIFICATION = (
    "Of the methods that choose among their training images, by the truth that they do not see: the share of "
    "anomalies among the images kept, the AUROC of the scores that they filter by over all training images, "
    "and the share of the normal images that they left out. In points; means over seeds, then tasks."
)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """AUROC against the contamination rate of m methods on n data sets.

    Attributes
    ----------
    rows : tuple of int
        Those that rank and are complete at every rate.
    blocks : tuple of int
        The independent data set that each of the n belongs to.
    rates : ndarray, shape (r,)
    values : tuple of ndarray, each of shape (m, tasks, seeds, r)
    replicates : tuple of ndarray, each of shape (m, draws, r), or None
        Under the same resamples of the images at every rate.
    comparable : bool
        False where cells were not measured alike.
    """

    rows: tuple[int, ...]
    blocks: tuple[int, ...]
    rates: Floats
    values: tuple[Floats, ...]
    replicates: tuple[Floats, ...] | None
    comparable: bool

    def samples(self, summarise: Summarise) -> Samples:
        """Return a summary of each curve as a samples to compare."""
        return Samples(
            rows=self.rows,
            blocks=self.blocks,
            values=tuple(summarise(self.rates, value) for value in self.values),
            replicates=None
            if self.replicates is None
            else tuple(summarise(self.rates, drawn) for drawn in self.replicates),
            comparable=self.comparable,
        )


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
    drawn = [[evidence.replicates(name, rows, rate) for rate in board.rates] for name in names]
    whole = [[each for each in held if each is not None] for held in drawn]
    there = all(len(held) == len(board.rates) for held in whole)
    fewest = min((each.shape[1] for held in whole for each in held), default=0)
    return Curves(
        rows=rows,
        blocks=tuple(evidence.blocks[name] for name in names),
        rates=np.array(board.rates),
        values=values,
        replicates=tuple(np.stack([each[:, :fewest] for each in held], axis=-1) for held in whole)
        if there
        else None,
        comparable=not any(name in evidence.mixed for name in names),
    )


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
    """Return slope, relative area and breakdown of the complete methods, the most robust first."""
    board, held = evidence.board, curves(evidence, names)
    if held is None:
        return []
    slopes, areas = compare_methods(held.samples(slope)), compare_methods(held.samples(relative_area))
    at = sorted(range(len(held.rows)), key=lambda each: (-slopes.mean[each], each))
    rows = [held.rows[each] for each in at]
    breaks = _breakdowns(held)
    filled: list[Filled] = [
        (TableColumn("Slope per 10 points", "difference"), [_estimate(slopes, each) for each in at]),
        *(group_column(slopes, rows) if len(rows) > 1 else []),
        (TableColumn("Area relative to clean", "percent"), [_estimate(areas, each) for each in at]),
        *(group_column(areas, rows) if len(rows) > 1 else []),
        (TableColumn(f"Drop > {100 * DELTA:g} points at", "words"), [TableCell(breaks[each]) for each in at]),
    ]
    return table_lines(table_of(map(board.label, rows), filled))


def _breakdowns(held: Curves) -> list[str]:
    """Return for each method the first rate at which it has broken down, and at which that is certain."""
    means = np.mean([value.mean(axis=1) for value in held.values], axis=0)
    drops = means[..., :1] - means
    drawn = None if held.replicates is None else np.mean(held.replicates, axis=0)
    lost = None if drawn is None else drawn[..., :1] - drawn
    texts = []
    for at in range(len(held.rows)):
        lows = np.full(len(held.rates), np.nan)
        if lost is not None:
            lows = np.array(
                [
                    with_seeds(drops[at, :, rate], lost[at, :, rate]).low if held.rates[rate] else 0.0
                    for rate in range(len(held.rates))
                ]
            )
        found = breakdown(held.rates, drops[at].mean(axis=0), lows)
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
        scope = compare_methods(held.samples(slope)).interval_scope
        over = {"data sets": "data sets like these", "images": "test images and seeds of these data sets"}
        brackets = f" In brackets 95{NBSP}% intervals over {over[scope]}." if scope else ""
    return (
        "*Slope*: change of the average AUROC in points for each 10 points of contamination (least squares). "
        f"*Area*: mean AUROC along the curve as a share of that at {percent(low)} ({rate_name(low)}). "
        f"*Drop >*: the first rate at which more than {100 * DELTA:g} points are lost; *certain* where the "
        f"whole paired interval of the drop, over test images and seeds, lies beyond.{brackets} Methods that "
        "share a *Group* letter are not significantly different in the column before."
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
