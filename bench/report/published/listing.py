"""Published numbers as plain text for a terminal: below each source, a line a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from bench.core.selector import format_selector
from bench.report.numbers import NOTHING
from bench.report.published.row import FACTS, Published

_HEADS = ("method", "ours", "data set", "task", "metric", "value", "setting", "backbone", "certainty")
_DOUBTS = {
    "quoted": "quoted by another work",
    "inferred": "inferred: the source is ambiguous",
    "recalled": "from memory, not checked",
}


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
    return "\n\n".join(_source(name, held) for name, held in sources.items())


def _source(name: str, rows: Sequence[Published]) -> str:
    table: str = tabulate(
        [_line(row) for row in rows], headers=_HEADS, tablefmt="plain", disable_numparse=True, missingval=""
    )
    notes: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, {})[row.name] = None
    every = {row.name for row in rows}
    said = [f"  note{_on(names, every)}: {note}" for note, names in notes.items()]
    return "\n".join([name, *(f"  {line.rstrip()}" for line in table.splitlines()), *said])


def _line(row: Published) -> list[str]:
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
