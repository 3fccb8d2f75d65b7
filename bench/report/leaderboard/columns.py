"""Columns of text for the tables of results: marked means, mean ranks, seconds; and how they make a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.core.cell import Timing
from bench.report.board import Board, Group, Summary
from bench.report.markdown import (
    NBSP,
    NOTHING,
    PAGE_WIDTH,
    blocks,
    breakable,
    escape,
    marked,
    narrowest,
    percent,
    points,
    seconds,
    span_points,
    table,
)
from bench.report.numbers import mean

#: A table's column: its head and one text for each row.
TextColumn = tuple[str, list[str]]


def label(board: Board, row: int) -> str:
    """Return a row's label as Markdown."""
    return breakable(escape(board.plan.rows[row].label))


def dataset_name(board: Board, name: str) -> str:
    """Return a data set's name as Markdown, with a word on generated ones."""
    synthetic = any(board.plan.columns[column].synthetic for column in board.datasets[name])
    return f"{escape(name)} (synthetic)" if synthetic else escape(name)


def rate_name(rate: float) -> str:
    return f"{percent(rate)} contamination" if rate else "clean"


def order(board: Board, columns: Sequence[int], rates: Sequence[float]) -> list[int]:
    """Return the rows that rank: the complete ones by average AUROC, then the others in the plan's order."""
    ranks, auroc = board.mean_ranks(columns, rates), averages(board, columns, rates)
    first = sorted(auroc, key=lambda row: (-auroc[row], ranks[row], board.plan.rows[row].label))
    return [*first, *(row for row in board.ranked if row not in auroc)]


def averages(board: Board, columns: Sequence[int], rates: Sequence[float]) -> dict[int, float]:
    """Return the average AUROC of each complete row that ranks: over tasks, data sets, then rates.

    It is what the tables show and the tests compare.
    """
    blocks = [held for of in board.datasets.values() if (held := [at for at in of if at in columns])]
    means = {
        row: [board.summary(row, blocks, rate).mean for rate in rates]
        for row in board.mean_ranks(columns, rates)
        if blocks
    }
    return {row: mean(value or 0.0 for value in held) for row, held in means.items()}


def rank_columns(
    board: Board,
    rows: Sequence[int],
    columns: Sequence[int],
    rates: Sequence[float],
    intervals: Mapping[int, tuple[float, float]] | None = None,
) -> list[TextColumn]:
    """Return the column of mean ranks with their intervals, or none where there is nobody to rank with."""
    if len(rows) < 2:
        return []
    found = board.mean_ranks(columns, rates)
    texts = [f"{found[row]:.2f}" if row in found else None for row in rows]
    rest = [NOTHING if text is None else "" for text in texts]
    for at, row in enumerate(rows):
        if row in found and intervals and row in intervals:
            # A resampled rank lies nearer the middle: the interval at least holds the estimate.
            low, high = min(intervals[row][0], found[row]), max(intervals[row][1], found[row])
            rest[at] = f" ({low:.1f}–{high:.1f})"
    return [("Mean rank", marked(texts, rest, lowest=True))]


def estimates(
    values: Sequence[float | None],
    intervals: Sequence[tuple[float, float] | None],
    *,
    holes: Sequence[str],
    compare: bool,
    ties: Sequence[bool] = (),
) -> list[str]:
    """Return AUROCs in points with their intervals behind, the best marked if they are to be compared."""
    texts = [None if value is None else points(value) for value in values]
    rest = [
        hole if value is None else "" if held is None else f" ({clipped(held)})"
        for value, held, hole in zip(values, intervals, holes, strict=True)
    ]
    if not compare:
        return [f"{text or ''}{tail}" for text, tail in zip(texts, rest, strict=True)]
    return marked(texts, rest, ties=ties)


def clipped(interval: Sequence[float]) -> str:
    """Return an AUROC's interval in points, cut to what an AUROC can be."""
    low, high = interval
    return span_points(max(0.0, low), min(1.0, high))


def summaries(
    board: Board, rows: Sequence[int], of: Sequence[Sequence[int]], rate: float, metric: str = "auroc"
) -> list[Summary]:
    """Return the summary of each row over data sets, each a sequence of columns."""
    return [board.summary(row, of, rate, metric) for row in rows]


def marked_means(
    means: Sequence[Summary], *, compare: bool, holes: Sequence[str] | None = None, lowest: bool = False
) -> list[str]:
    """Return means and spreads in points, the best marked if they are to be compared.

    Where there is no mean stands the text in `holes`, or a dash and why.
    """
    texts = [None if summary.mean is None else points(summary.mean) for summary in means]
    rest = []
    for at, summary in enumerate(means):
        if summary.mean is None:
            rest.append(holes[at] if holes else f"{NOTHING}{why_none(summary)}")
        else:
            rest.append("" if summary.sd is None else f"{NBSP}±{NBSP}{points(summary.sd)}")
    if not compare:
        return [f"{text or ''}{tail}" for text, tail in zip(texts, rest, strict=True)]
    return marked(texts, rest, lowest=lowest)


def why_none(summary: Summary) -> str:
    """Return why there is no mean, ``" (1 of 10 failed)"``."""
    holes = [(summary.failed, "failed"), (summary.missing, "missing")]
    said = [f"{number} of {summary.cells} {what}" for number, what in holes if number]
    if not said:
        return " (undefined)" if summary.cells else " (not planned)"
    return f" ({', '.join(said)})"


def hole(group: Group) -> str:
    """Return what stands in the place of a cell's value."""
    if not group.cells:
        return NOTHING
    for number, what in ((group.failed, "failed"), (group.missing, "missing")):
        if number:
            return what if number == len(group.cells) else f"{what} ({number} of {len(group.cells)})"
    return "undefined"


def timing_columns(board: Board, rows: Sequence[int], rate: float) -> list[TextColumn]:
    """Return mean seconds per cell; none for a row that is not complete, as for any other mean."""

    def column(seconds_of: Callable[[Timing], float]) -> list[str]:
        found = [mean_seconds(board, row, rate, seconds_of) for row in rows]
        return [NOTHING if value is None else seconds(value) for value in found]

    return [
        (f"Marginal{NBSP}s", column(lambda timing: timing.marginal)),
        (f"Cold{NBSP}s", column(lambda timing: timing.cold)),
    ]


def mean_seconds(board: Board, row: int, rate: float, seconds_of: Callable[[Timing], float]) -> float | None:
    """Return the mean seconds of a row's cells at one rate, or None unless every cell has a timing."""
    every = [record for *_, group in board.groups(row=row, rate=rate) for record in group.records]
    timings = [record.timing for record in every if record is not None and record.timing is not None]
    return mean(map(seconds_of, timings)) if timings and len(timings) == len(every) else None


def fits(head: str, labels: Sequence[str], columns: Sequence[TextColumn]) -> bool:
    """Return whether a table is no wider than a page."""
    return sum(narrowest([name, *texts]) for name, texts in columns) <= _room(head, labels)


def pieces(head: str, labels: list[str], columns: Sequence[TextColumn]) -> list[str]:
    """Return one table, or several below one another where one would be wider than a page."""
    widths = [narrowest([name, *texts]) for name, texts in columns]
    room = _room(head, labels)
    cuts = _cuts(widths, room)
    # As few pieces as the width allows, and among those about equal ones.
    for narrower in range(sum(widths) // len(cuts), room):
        if len(even := _cuts(widths, narrower)) == len(cuts):
            cuts = even
            break
    return blocks(*(_table(head, labels, columns[start:end]) for start, end in cuts))


def _room(head: str, labels: Sequence[str]) -> int:
    """Return the width left beside the labels; very long ones get a scroll bar, not a table a column."""
    return max(PAGE_WIDTH - narrowest([*labels, head]), PAGE_WIDTH // 2)


def _cuts(widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Return the first and the last column (exclusive) of each piece that fits the room."""
    starts, used = [0], 0
    for at, width in enumerate(widths):
        if used + width > room and at > starts[-1]:
            starts.append(at)
            used = 0
        used += width
    return list(zip(starts, [*starts[1:], len(widths)], strict=True))


def _table(head: str, labels: list[str], columns: Sequence[TextColumn]) -> list[str]:
    rows = [[name, *(texts[at] for _, texts in columns)] for at, name in enumerate(labels)]
    return table([head, *(name for name, _ in columns)], rows)
