"""Columns of results: means with their intervals or deviations, mean ranks, seconds, groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bench.report.board import LOWER, PRINTED, Board
from bench.report.evidence.comparison import Comparison
from bench.report.evidence.tasks import Mark
from bench.report.groups import Summary
from bench.report.numbers import NBSP, NOTHING
from bench.report.table import Filled, TableCell, TableColumn, marked

#: One for each row, None where there is none.
Intervals = Sequence[tuple[float, float] | None]


def means_column(
    column: TableColumn,
    means: Sequence[Summary],
    *,
    compare: bool | Collection[int],
    intervals: Intervals = (),
    holes: Sequence[str] = (),
    marks: Sequence[Mark | None] = (),
) -> Filled:
    """Return a column of means, the best marked if they are to be compared.

    Parameters
    ----------
    column : TableColumn
    means : sequence of Summary
        One for each row.
    compare : bool or collection of int
        Whether the best are marked, or among which positions.
    intervals : sequence, optional
        Shown instead of the standard deviations, if there are any.
    holes : sequence of str, optional
        What stands where there is no mean; by default a dash and why.
    marks : sequence of Mark or None, optional
        Which may be the best.
    """
    cells = []
    for at, summary in enumerate(means):
        if summary.mean is None:
            cells.append(TableCell(holes[at]) if holes else TableCell(note=summary.why))
            continue
        interval = intervals[at] if intervals else None
        spread = None if any(intervals) else summary.sd
        mark = marks[at] if marks else None
        tie, untold = mark == "possible", mark == "untold"
        cells.append(TableCell(summary.mean, spread, interval, tie=tie, untold=untold))
    if isinstance(compare, bool):
        return column, marked(column, cells) if compare else cells
    return column, marked(column, cells, among=compare)


def metric_head(metric: str) -> str:
    """Return a metric's name, with an arrow where less is better."""
    return f"{PRINTED[metric]}{NBSP}↓" if metric in LOWER else PRINTED[metric]


def summaries(
    board: Board, rows: Sequence[int], of: Sequence[Sequence[int]], rate: float, metric: str = "auroc"
) -> list[Summary]:
    """Return the summary of each row over data sets, each a sequence of columns."""
    return [board.summary(row, of, rate, metric) for row in rows]


def rank_columns(
    board: Board,
    rows: Sequence[int],
    columns: Sequence[int],
    rates: Sequence[float],
    metric: str = "auroc",
) -> list[Filled]:
    """Return the column of mean ranks, or none where there is nobody to rank with."""
    if len(rows) < 2:
        return []
    found = board.mean_ranks(columns, rates, metric)
    column = TableColumn("Mean rank", "rank", lower=True, key="rank")
    return [(column, marked(column, [TableCell(found.get(row)) for row in rows]))]


def place_column(compared: Comparison | None, rows: Sequence[int]) -> list[Filled]:
    """Return the column of the places that each method may have by its average: a simultaneous 95 % set."""
    if compared is None or not compared.scope:
        return []
    cells = []
    for row in rows:
        at = compared.rows.index(row) if row in compared.rows else None
        if at is None or not compared.told[at]:
            cells.append(TableCell(NOTHING if at is None else "?"))
        else:
            first, last = compared.ranks[at].tolist()
            cells.append(TableCell(f"{first}" if first == last else f"{first}–{last}"))
    return [(TableColumn("Place", "words", key="place"), cells)]


def marks_of(compared: Comparison | None, rows: Sequence[int]) -> list[Mark | None]:
    """Return which rows may have the best average, None where nothing was tested."""
    if compared is None or not compared.scope:
        return [None] * len(rows)
    may = dict(zip(compared.rows, zip(compared.told, compared.possible_bests, strict=True), strict=True))

    def mark(row: int) -> Mark | None:
        if row not in may:
            return None
        told, possible = may[row]
        return "untold" if not told else "possible" if possible else "worse"

    return [mark(row) for row in rows]


def intervals_of(compared: Comparison | None, rows: Sequence[int]) -> Intervals:
    """Return the intervals on test images of each row's mean, None where there is none."""
    found = {} if compared is None else dict(zip(compared.rows, compared.on_images.tolist(), strict=True))
    return [(of[0], of[1]) if (of := found.get(row)) and of[0] == of[0] else None for row in rows]


def timing_columns(board: Board, rows: Sequence[int], rate: float) -> list[Filled]:
    """Return mean seconds per cell; none for a row that is not complete, as for any other mean."""
    found = [board.seconds(row, rate) for row in rows]
    return [
        (
            TableColumn(f"{name.capitalize()}{NBSP}s", "seconds", key=name),
            [TableCell(None if each is None else getattr(each, name)) for each in found],
        )
        for name in ("warm", "cold")
    ]


def group_column(compared: Comparison | None, rows: Sequence[int]) -> list[Filled]:
    """Return the column of letters that methods share which are not significantly different.

    A method with too few seeds has no letter, but the number of seeds that would do.
    """
    if compared is None or not compared.letters:
        return []
    unknown = f"? ({compared.seeds_needed} seeds)"
    of = {row: found or unknown for row, found in zip(compared.rows, compared.letters, strict=True)}
    return [(TableColumn("Group", "words", key="group"), [TableCell(of.get(row, NOTHING)) for row in rows])]
