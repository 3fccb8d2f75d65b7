"""The leaderboard's section on published numbers: each beside ours, with what differs and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.board import Board
from bench.report.markdown import blocks, breakable, escape, folded, grid
from bench.report.numbers import NBSP, NOTHING, count, percent, points, signed_points
from bench.report.published.match import Interval, PublishedComparison, comparisons
from bench.report.published.row import Published

#: Metrics as the table heads call them; others keep their names.
_METRICS = {"auroc": "", "ap": "AP", "fpr95": "FPR95", "f1max": "F1-max"}
#: More lines than this are folded.
_OPEN = 12

_LEGEND = (
    "Numbers of papers and repositories (`published.csv`) beside ours, in points. Two compare only if "
    "network, input size, data, tasks, supervision and selection are the same. Whatever differs is named, "
    "and then the difference says nothing about either. Behind ours stands its interval where there is one: "
    "a published number inside it is *reproduced*."
)


def published_beside_ours(
    board: Board, published: tuple[Published, ...], interval: Interval | None = None
) -> list[str]:
    """Return the section, or nothing where no published number belongs to any row.

    Parameters
    ----------
    board : Board
    published : tuple of Published
    interval : callable, optional
        Of a row's mean over columns at a rate, in shares of 1.
    """
    found = list(comparisons(board, published, interval))
    if not found:
        return []
    means = [each for each in found if each.published.task == "mean"]
    classes = [each for each in found if each.published.task != "mean"]
    lines = _table(board, means)
    few = len(lines) - 2 <= _OPEN
    shown = lines if few else folded(f"<b>{_count(means)}</b>", lines)
    by_class = folded(f"<b>{_count(classes)} of single tasks</b>", _table(board, classes))
    return blocks(["## Published numbers beside ours"], [_LEGEND], shown, by_class)


def _count(found: Sequence[PublishedComparison]) -> str:
    return count(len(found), "published number")


def _table(board: Board, found: Sequence[PublishedComparison]) -> list[str]:
    """Return one line for each distinct comparison; sources that say the same share it."""
    lines: dict[tuple[str, ...], dict[str, None]] = {}
    for each in found:
        lines.setdefault(tuple(_line(board, each)), {})[_source(each.published)] = None
    head = ["Method", "Data set", "Published", "Ours", "Difference", "Verdict", "Source"]
    rows = [[*line, "; ".join(sources)] for line, sources in lines.items()]
    return grid(head, rows, left=2, words=2)


def _line(board: Board, each: PublishedComparison) -> list[str]:
    theirs = each.published
    name = board.plan.columns[each.columns[0]].dataset
    where = escape(board.dataset_title(name))
    words = [where if theirs.task == "mean" else f"{where}/{escape(theirs.task)}"]
    words += [metric] if (metric := _METRICS.get(theirs.metric, theirs.metric)) else []
    words += [percent(each.rate)] if each.rate else []
    return [
        breakable(board.label(each.row)),
        ", ".join(words),
        theirs.printed,
        _ours(board, each),
        NOTHING if each.difference is None else signed_points(each.difference),
        escape(each.verdict),
    ]


def _ours(board: Board, each: PublishedComparison) -> str:
    if each.ours is None:
        return f"{NOTHING} ({board.summary(each.row, [each.columns], each.rate, each.published.metric).why})"
    if each.interval is None:
        return points(each.ours)
    low, high = each.interval
    return f"{points(each.ours)} ({points(low)}{NBSP}to{NBSP}{points(high)})"


def _source(theirs: Published) -> str:
    quoted = ", quoted there" if theirs.certainty == "quoted" else ""
    return escape(f"{theirs.source}: {theirs.name}{quoted}")
