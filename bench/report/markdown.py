"""Markdown as GitHub shows it: tables, folded sections, escaped text.

A table that would be wider than a page is cut into several, below one another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from bench.core.files import readable
from bench.report.numbers import NBSP
from bench.report.table import Table, TableCell, TableColumn, TableRow

#: Characters that a page of GitHub holds beside one another, and what a column needs beside its text.
PAGE_WIDTH, COLUMN_GAP = 112, 3


@dataclass(frozen=True, slots=True)
class Marks:
    """How marks look: of equal best numbers, of what may be the best or cannot be told, of deviations.

    A table is `fitted` into the page unless it is for a paper.
    """

    shared: str = ""
    tie: str = "†"
    untold: str = "‡"
    tie_behind: bool = True
    spread: str = " ± "
    fitted: bool = False


PAPER = Marks()
LEADERBOARD = Marks(shared="=", tie="≈", untold="?", tie_behind=False, spread=f"{NBSP}±{NBSP}", fitted=True)

_SPECIAL = re.compile(r"([\\`*|~]|(?<!\w)_|_(?!\w)|\](?=[(\[])|\[(?=[ xX]\]))")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, also inside a table."""
    # A file's name in a message may hold bytes that are no text.
    plain = " ".join(readable(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def breakable(text: str, longest: int = 32) -> str:
    """Return an escaped selector, a long one with places to break it, which copying leaves out."""
    text = escape(text)
    return text if len(text) <= longest else re.sub(r",|(?<!^)(?=\[)", lambda found: f"{found[0]}<wbr>", text)


def grid(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    words: int = 0,
    form: str = "pipe",
) -> list[str]:
    """Return the lines of a table of text; nothing without rows.

    The first `left` and the last `words` columns are aligned left, others right; `form` is tabulate's name of
    a format, ``"simple"`` for a terminal.
    """
    if not rows:
        return []
    align = ["left" if at < left or at >= len(header) - words else "right" for at in range(len(header))]
    text: str = tabulate(rows, headers=header, tablefmt=form, colalign=align, disable_numparse=True)
    return text.splitlines()


def table_lines(table: Table, marks: Marks = LEADERBOARD) -> list[str]:
    """Return a table's lines; in several pieces where `marks` fit it into a page that is too narrow."""
    labels = [_label(row, marks) for row in table.rows]
    texts = _texts(table, marks)
    cuts = [(0, len(texts))]
    if marks.fitted:
        widths, room = list(map(narrowest, texts)), _room(escape(table.corner), labels)
        cuts = _cuts(widths, room)
        # As few pieces as the width allows, and among those about equal ones.
        for narrower in range(sum(widths) // len(cuts), room):
            if len(even := _cuts(widths, narrower)) == len(cuts):
                cuts = even
                break
    heads = [escape(table.corner), *labels]
    return blocks(*(_joined([heads, *texts[start:end]]) for start, end in cuts))


def table_markdown(table: Table, *, caption: str | None = None) -> str:
    """Return a table of a paper with a caption (by default its own) below, and a newline at the end."""
    return "\n".join([*table_lines(table, PAPER), "", table.caption if caption is None else caption]) + "\n"


def fits(table: Table) -> bool:
    """Return whether a table is no wider than a page."""
    labels = [_label(row, LEADERBOARD) for row in table.rows]
    return sum(map(narrowest, _texts(table, LEADERBOARD))) <= _room(escape(table.corner), labels)


def cell_text(table: Table, column: TableColumn, cell: TableCell, marks: Marks = LEADERBOARD) -> str:
    """Return a cell with its marks, and behind it its deviation, its interval, or why it is empty."""
    text, tie = table.text(column, cell), marks.tie if cell.tie else marks.untold if cell.untold else ""
    if cell.mark:
        shared = marks.shared if cell.shared else ""
        text = f"{shared}**{text}**" if cell.mark == "best" else f"<u>{text}</u>"
    text = f"{text}{tie}" if marks.tie_behind else f"{tie}{text}"
    text += f"{marks.spread}{table.spread(cell)}" if cell.spread is not None else ""
    text += f" ({column.interval_text(cell.interval)})" if cell.interval is not None else ""
    text += f" ({cell.note})" if cell.note else ""
    return text.replace(" (", f"{NBSP}(") if column.nowrap else text


def _label(row: TableRow, marks: Marks) -> str:
    label = breakable(row.label) if marks.fitted else escape(row.label)
    place = "" if row.place is None else f"{row.place}. "
    return f"{place}{label}" + (f" ({escape(row.section)})" if row.section else "")


def _head(text: str, marks: Marks) -> str:
    if not marks.fitted:
        return escape(text)
    # Inside a table nothing begins a quotation.
    return NBSP.join(map(escape, text.split(NBSP))).replace("&gt;", ">")


def _texts(table: Table, marks: Marks) -> list[list[str]]:
    """Return the texts of each column, its head first."""
    return [
        [
            _head(" ".join(filter(None, (column.group, column.head))), marks),
            *(cell_text(table, column, row.cells[at], marks) for row in table.rows),
        ]
        for at, column in enumerate(table.columns)
    ]


def _room(corner: str, labels: Sequence[str]) -> int:
    """Return the width left beside the labels; very long ones get a scroll bar, not a table a column."""
    return max(PAGE_WIDTH - narrowest([*labels, corner]), PAGE_WIDTH // 2)


def _cuts(widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Return the first and the last column (exclusive) of each piece that fits the room."""
    starts, used = [0], 0
    for at, width in enumerate(widths):
        if used + width > room and at > starts[-1]:
            starts.append(at)
            used = 0
        used += width
    return list(zip(starts, [*starts[1:], len(widths)], strict=True))


def _joined(columns: Sequence[Sequence[str]]) -> list[str]:
    header, *rows = map(list, zip(*columns, strict=True))
    return grid(header, rows)


def narrowest(texts: Iterable[str]) -> int:
    """Return the width below which a browser cannot squeeze a column: its longest word, and the gap."""
    plain = (text.replace("**", "").replace("\\", "").replace("<wbr>", " ") for text in texts)
    words = (word for text in plain for word in text.split(" "))
    return max(map(len, words), default=0) + COLUMN_GAP


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Return lines that GitHub folds under a summary; nothing for no lines."""
    if not lines:
        return []
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>"]


def fenced(text: str, language: str) -> list[str]:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip().splitlines(), fence]


def blocks(*parts: Sequence[str]) -> list[str]:
    """Return the lines of all parts that have any, an empty line between."""
    lines: list[str] = []
    for part in parts:
        if part:
            lines += [*([""] if lines else []), *part]
    return lines
