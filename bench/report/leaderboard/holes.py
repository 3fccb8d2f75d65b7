"""What is not there and what a reader should know: failed cells with their reasons, missing cells, flags."""

from __future__ import annotations

from collections import Counter

from bench.core.cell import Cell, Record
from bench.report.board import Board
from bench.report.markdown import blocks, breakable, escape, folded, grid
from bench.report.numbers import count, percent

#: Failures are listed openly up to so many lines, folded beyond, and cut where the list stops being read.
OPEN_LINES, MOST_LINES = 10, 200
#: A reason longer than this is cut; the record has it whole.
LONGEST_REASON = 240


def failed_cells(board: Board) -> list[str]:
    """Return the failed cells; those of one method that failed for one reason share a line."""
    together: dict[tuple[int, str, str], dict[Cell, None]] = {}
    for row, _, _, group in board.groups():
        for cell, record in zip(group.cells, group.records, strict=True):
            if record is not None and record.status == "failed":
                together.setdefault((row, *_reason(record)), {})[cell] = None
    if not together:
        return []
    rows = [
        [breakable(board.label(row)), _where(list(cells)), escape(kind), escape(reason)]
        for (row, kind, reason), cells in together.items()
    ]
    lines = grid(["Method", "Cell", "Kind", "Reason"], rows[:MOST_LINES], left=4)
    if len(rows) > MOST_LINES:
        lines += ["", f"… and {len(rows) - MOST_LINES:,} more; the archive has them all."]
    failed = len({cell.key for cells in together.values() for cell in cells})
    heading = count(failed, "failed cell")
    if len(rows) > OPEN_LINES:
        return folded(f"<b>{heading}</b>, with the reasons", lines)
    return [f"**{heading[0].upper()}{heading[1:]}**", "", *lines]


def missing_cells(board: Board) -> list[str]:
    """Return how many cells of each method have no record."""
    missing = {
        row: sum(group.missing for *_, group in board.groups(row=row)) for row in range(len(board.plan.rows))
    }
    listed = [f"{breakable(board.label(row))} ({number:,})" for row, number in missing.items() if number]
    if not listed:
        return []
    return [f"**Missing cells**, not run yet or interrupted: {', '.join(listed)}."]


def flags(board: Board) -> list[str]:
    """Return how often each flag was raised, by method."""
    raised = {
        row: Counter(flag for record in board.records(row=row) for flag in record.flags)
        for row in range(len(board.plan.rows))
    }
    rows = [
        [breakable(board.label(row)), escape(flag), f"{number:,}"]
        for row, counter in raised.items()
        for flag, number in sorted(counter.items())
    ]
    if not rows:
        return []
    lines = grid(["Method", "Flag", "Cells"], rows, left=2)
    return folded("<b>Flags</b>", lines) if len(rows) > OPEN_LINES else blocks(["**Flags**"], lines)


def cell_place(cell: Cell) -> str:
    """Return ``"cifar10/bird, 10 %, seed 0"``."""
    words = [cell.task_name]
    if cell.contamination.rate:
        words.append(percent(cell.contamination.rate))
    if cell.seed is not None:
        words.append(f"seed {cell.seed}")
    elif cell.contamination.rate or cell.contamination.reserve:
        words.append(f"draw {cell.contamination.seed}")
    return ", ".join(words)


def _reason(record: Record) -> tuple[str, str]:
    error = record.error or {}
    reason = " ".join(error.get("reason", "no reason recorded").split())
    cut = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} …"
    return error.get("kind", "unknown"), cut


def _where(cells: list[Cell]) -> str:
    shown = "; ".join(escape(cell_place(cell)) for cell in cells[:2])
    return shown if len(cells) < 3 else f"{shown}; and {count(len(cells) - 2, 'other')}"
