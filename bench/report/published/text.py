"""Published numbers as text: the terminal's list, and the leaderboard's section of each beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.core.selector import format_selector
from bench.report.board import Board
from bench.report.markdown import blocks, breakable, escape, folded, grid
from bench.report.numbers import NBSP, NOTHING, count, percent, points, signed_points
from bench.report.published.match import PublishedComparison, comparisons
from bench.report.published.row import FACTS, Published

_HEADS = ("method", "ours", "data set", "task", "metric", "value", "setting", "backbone", "certainty")
_DOUBTS = {
    "quoted": "quoted by another work",
    "inferred": "inferred: the source is ambiguous",
    "recalled": "from memory, not checked",
}


#: Metrics as the table heads call them; others keep their names.
_METRICS = {"auroc": "", "ap": "AP", "fpr95": "FPR95", "f1max": "F1-max"}
#: More lines than this are folded.
_OPEN = 12
_LEGEND = (
    "Numbers of papers and repositories (`published.csv`) beside ours, in points. Two compare only if "
    "network, input size, data, tasks, supervision and selection are the same. Whatever differs is named, "
    "and then the difference says nothing about either. Both are of the same test images: what may part "
    "them by chance are seeds. Behind a difference stands its 95 % interval over ours and theirs (as many "
    "runs as the source states, else one), each by itself: it holds zero where theirs is *inside our "
    "interval*. "
    "Without seeds two numbers are equal as printed, or not."
)


def listing(rows: Sequence[Published]) -> str:
    """Return the rows below their sources, in their order, with the notes once each.

    Returns
    -------
    str
        Without a newline at the end. Values are percent unless the metric is a count.
    """
    sources: dict[str, list[Published]] = {}
    for row in rows:
        sources.setdefault(row.source, []).append(row)
    return "\n\n".join(_below_source(name, held) for name, held in sources.items())


def _below_source(name: str, rows: Sequence[Published]) -> str:
    lines = grid(_HEADS, [_entry(row) for row in rows], left=len(_HEADS), form="plain")
    notes: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, {})[row.name] = None
    every = {row.name for row in rows}
    said = [f"  note{_on(names, every)}: {note}" for note, names in notes.items()]
    return "\n".join([name, *(f"  {line.rstrip()}" for line in lines), *said])


def _entry(row: Published) -> list[str]:
    words = [row.setting if row.metric not in FACTS else "", row.selection, row.protocol, contaminated(row)]
    network = [row.backbone, f"{row.resolution} px" if row.resolution else ""]
    return [
        row.name or NOTHING,
        ours(row) or NOTHING,
        row.dataset,
        task_of(row) or NOTHING,
        row.metric,
        row.printed,
        ", ".join(word for word in words if word),
        ", ".join(word for word in network if word) or "not stated",
        _DOUBTS.get(row.certainty, row.certainty),
    ]


def ours(row: Published) -> str:
    """Return the selector of our method that the row is about, ``"dn2[k=2]"``; empty if there is none."""
    return format_selector(row.method, {name: "|".join(values) for name, values in row.params})


def task_of(row: Published) -> str:
    """Return ``"bird"`` or ``"mean of 10"``."""
    return f"mean of {row.tasks}" if row.task == "mean" and row.tasks else row.task


def contaminated(row: Published) -> str:
    """Return ``"10 % contamination (of=set, source=jittered)"``; empty for clean data."""
    how = dict(row.contamination)
    if not how:
        return ""
    rest = ", ".join(f"{name}={value}" for name, value in how.items() if name != "rate")
    return f"{100 * float(how['rate']):.4g} % contamination" + (f" ({rest})" if rest else "")


def _on(names: Iterable[str], every: set[str]) -> str:
    """Return to whom a note belongs, nothing if it is said of all rows."""
    return "" if every == set(names) else f" on {', '.join(names)}"


def published_beside_ours(board: Board, published: tuple[Published, ...]) -> list[str]:
    """Return the section, or nothing where no published number belongs to any row.

    Parameters
    ----------
    board : Board
    published : tuple of Published
    """
    found = list(comparisons(board, published))
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
        _difference(each),
        escape(each.verdict),
    ]


def _ours(board: Board, each: PublishedComparison) -> str:
    if each.ours is None:
        return f"{NOTHING} ({board.summary(each.row, [each.columns], each.rate, each.published.metric).why})"
    return points(each.ours)


def _difference(each: PublishedComparison) -> str:
    if each.difference is None:
        return NOTHING
    if each.reach is None or each.differs:
        return signed_points(each.difference)
    low, high = (signed_points(each.difference + by) for by in (-each.reach, each.reach))
    return f"{signed_points(each.difference)} ({low}{NBSP}to{NBSP}{high})"


def _source(theirs: Published) -> str:
    quoted = ", quoted there" if theirs.certainty == "quoted" else ""
    return escape(f"{theirs.source}: {theirs.name}{quoted}")
