"""Where the records come from and what is not there: environments, seconds, failures, how to reproduce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from bench.core.cell import Cell, Record, Timing
from bench.core.determinism import canonical_json
from bench.report.board import Board, machine
from bench.report.markdown import blocks, breakable, escape, fenced, folded, grid
from bench.report.numbers import NOTHING, count, mean, percent, seconds, size

_TIMES = ("Method", "Cells", "Fit", "Score", "Images/s", "Features cold", "Warm", "Cold")
_MEMORY = ("Host memory", "Device memory", "Features from")

_TIMING = (
    "Mean seconds per finished cell. Warm = fit + score: what a cell costs when the features are there. "
    "Cold = warm + the extraction of all features that the cell used: what someone pays who has none "
    "yet. *Images/s*: test images scored per second, features at hand. Memory is the highest peak of any "
    "cell; *Features from* says for how many cells they were computed or already in the store."
)


#: Failures are listed openly up to so many lines, folded beyond, and cut where the list stops being read.
OPEN_LINES, MOST_LINES = 10, 200
#: A reason longer than this is cut; the record has it whole.
LONGEST_REASON = 240


def environments(board: Board) -> list[str]:
    """Return the distinct environments: what they share as a list, what they differ in as a table."""
    groups: dict[str, list[Record]] = {}
    for record in board.records():
        groups.setdefault(canonical_json(record.environment), []).append(record)
    if not groups:
        return []
    # By the text of the environment, so that the order of the cells does not matter.
    held = [groups[text] for text in sorted(groups)]
    flat = [flatten(records[0].environment) for records in held]
    # A processor's name stands before its cores.
    names = sorted({name for each in flat for name in each}, key=lambda name: name.replace(".name", "."))
    common = [name for name in names if len({each.get(name) for each in flat}) == 1]
    listed = _listed({name: flat[0][name] for name in common})
    if len(held) == 1:
        return blocks([_extent(held[0])], listed)
    different = [name for name in names if name not in common]
    rows = [
        [f"{at}", *_counts(records), *(escape(each.get(name, NOTHING)) for name in different)]
        for at, (records, each) in enumerate(zip(held, flat, strict=True), 1)
    ]
    head = ["Environment", "Records", "Dates (UTC)", *(escape(name) for name in different)]
    intro = f"{_extent(board.records())} They come from {len(held)} environments, which differ in this:"
    return blocks(
        [intro], grid(head, rows, left=len(head)), ["The rest is the same in all:"] if listed else [], listed
    )


def reproduce(board: Board) -> list[str]:
    """Return the command and the suite file."""
    plan = board.plan
    command = fenced(f"anobench run {plan.suite}", "sh")
    if not plan.suite_text.strip():
        return command
    return blocks(command, [f"with `{plan.suite}.toml`:"], fenced(plan.suite_text, "toml"))


def methods(board: Board) -> list[str]:
    """Return the list of rows: what each is, and where it departs from a one-class method's last state."""
    lines = []
    for row in board.plan.rows:
        words = ["stochastic" if row.stochastic else "deterministic"]
        words += [f"backbone {row.backbone}"] if row.backbone else []
        words += [f"setting {row.setting}"] if row.setting != "one-class" else []
        words += [f"selection {row.selection}"] if row.selection != "last" else []
        summary = f": {row.summary}" if row.summary else ""
        lines.append(f"- **{escape(row.label)}**{escape(summary)} ({escape(', '.join(words))})")
    legend = (
        "Setting `one-class` and selection `last` (fixed parameters, final state) unless it says otherwise. "
        "`validation` chose on held-out train images; `oracle` chose on test data and never ranks."
    )
    return blocks([legend], lines)


def dates(records: Sequence[Record]) -> str:
    """Return the range of days on which records were made, ``"2025-03-04 to 2025-03-06"``."""
    days = sorted({record.created[:10] for record in records if record.created})
    if not days:
        return NOTHING
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested JSON data as text by dotted name; an empty container shows as ``—``."""
    flat: dict[str, str] = {}
    for key in sorted(value):
        held = value[key]
        if isinstance(held, Mapping) and held:
            flat |= flatten(held, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _plain(held)
    return flat


def _listed(flat: Mapping[str, str]) -> list[str]:
    """Return one line for each first part of the dotted names, ``- cpu: name AMD EPYC, cores 2``."""
    lines: dict[str, list[str]] = {}
    for name, text in flat.items():
        first, _, rest = name.partition(".")
        lines.setdefault(first, []).append(f"{rest} {text}".strip())
    return [f"- {escape(first)}: {escape(', '.join(words))}" for first, words in lines.items()]


def _plain(value: Any) -> str:
    if value is None or value == {} or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def _counts(records: Sequence[Record]) -> list[str]:
    return [f"{len(records):,}", dates(records)]


def _extent(records: Sequence[Record]) -> str:
    return f"{count(len(records), 'record')}, made {dates(records)} (UTC)."


def timing(board: Board) -> list[str]:
    """Return seconds and peak memory of each method over its finished cells, a table for each machine."""
    held = board.machines()
    found = []
    for name in held:
        rows = []
        for row in range(len(board.plan.rows)):
            records = [
                record
                for record in board.records(row=row)
                if record.status == "ok" and record.timing and machine(record.environment) == name
            ]
            if records:
                rows.append([breakable(board.label(row)), *_line(records)])
        lines = grid([*_TIMES, *_MEMORY], rows)
        found.append(lines if len(held) == 1 else blocks([f"**{escape(name)}**"], lines))
    return blocks([_TIMING], _note(held), *found) if any(found) else []


def _note(held: Mapping[str, int]) -> list[str]:
    if len(held) < 2:
        return []
    listed = "; ".join(f"{escape(name)}: {count(number, 'cell')}" for name, number in held.items())
    return [f"**The cells ran on {len(held)} different machines ({listed}): their timings do not compare.**"]


def _line(records: Sequence[Record]) -> list[str]:
    timings = [record.timing for record in records if record.timing is not None]

    def average(seconds_of: Callable[[Timing], float]) -> str:
        return seconds(mean(seconds_of(timing) for timing in timings))

    def peak(name: str) -> str:
        held = [value for record in records if (value := record.memory.get(name)) is not None]
        return size(max(held)) if held else NOTHING

    scored, images = (
        sum(timing.score for timing in timings),
        sum(each.counts.get("test", 0) for each in records),
    )
    origins = Counter(timing.features_from for timing in timings)
    return [
        f"{len(timings):,}",
        average(lambda timing: timing.fit),
        average(lambda timing: timing.score),
        f"{float(f'{images / scored:.3g}'):,.0f}" if scored and images else NOTHING,
        average(lambda timing: timing.features_cold),
        average(lambda timing: timing.warm),
        average(lambda timing: timing.cold),
        peak("host_peak_bytes"),
        peak("device_peak_bytes"),
        ", ".join(f"{name} {number:,}" for name, number in sorted(origins.items())) or NOTHING,
    ]


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
    # Of the path only what is the same on every machine.
    file, _, line = error.get("where", "").partition(", line ")
    parts, number = PurePath(file).parts[-2:], line.partition(",")[0].partition(":")[0]
    at = f" ({'/'.join(parts)}, line {number})" if number else ""
    return error.get("kind", "unknown"), cut + at


def _where(cells: list[Cell]) -> str:
    shown = "; ".join(escape(cell_place(cell)) for cell in cells[:2])
    return shown if len(cells) < 3 else f"{shown}; and {count(len(cells) - 2, 'other')}"
