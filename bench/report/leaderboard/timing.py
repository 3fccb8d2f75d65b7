"""What the cells cost: seconds, images per second, memory; and on which machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.core.cell import Record, Timing
from bench.report.board import Board
from bench.report.leaderboard.columns import label
from bench.report.markdown import NOTHING, blocks, count, escape, seconds, size, table
from bench.report.numbers import mean

_HEAD = ("Method", "Cells", "Fit", "Score", "Images/s", "Features cold", "Marginal", "Cold")
_MEMORY = ("Host memory", "Device memory", "Features from")

_LEGEND = (
    "Mean seconds per finished cell. Marginal = fit + score: what a cell costs when the features are there. "
    "Cold = marginal + the extraction of all features that the cell used: what someone pays who has none "
    "yet. *Images/s*: test images scored per second, features at hand. Memory is the highest peak of any "
    "cell; *Features from* says for how many cells they were computed or already in the store."
)


def timing(board: Board) -> list[str]:
    """Return seconds and peak memory of each method over its finished cells, a table for each machine."""
    held = machines(board)
    tables = []
    for name in held:
        rows = []
        for row in range(len(board.plan.rows)):
            records = [
                record
                for record in board.records(row=row)
                if record.status == "ok" and record.timing and machine(record.environment) == name
            ]
            if records:
                rows.append([label(board, row), *_line(records)])
        lines = table([*_HEAD, *_MEMORY], rows)
        tables.append(lines if len(held) == 1 else blocks([f"**{escape(name)}**"], lines))
    return blocks([_LEGEND], _note(held), *tables) if any(tables) else []


def machines(board: Board) -> dict[str, int]:
    """Return the machines that the timed cells ran on, and how many of them each."""
    return dict(sorted(Counter(machine(each.environment) for each in board.records() if each.timing).items()))


def machine(environment: Mapping[str, Any]) -> str:
    """Return what of an environment makes timings comparable: processor, GPU, threads."""
    words = [_words(environment.get("cpu"), "cores"), _words(environment.get("gpu"))]
    threads = environment.get("threads")
    if isinstance(threads, Mapping):
        threads = threads.get("torch")
    words.append(count(threads, "thread") if isinstance(threads, int) else "")
    return ", ".join(word for word in words if word) or "unknown machine"


def _words(part: Any, number: str = "") -> str:
    """Return the name of a processor or GPU, given as text or as a table with its name."""
    if not isinstance(part, Mapping):
        return str(part or "")
    name = str(part.get("name") or "")
    return f"{name} ({part[number]} {number})" if name and part.get(number) else name


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
        average(lambda timing: timing.marginal),
        average(lambda timing: timing.cold),
        peak("host_peak_bytes"),
        peak("device_peak_bytes"),
        ", ".join(f"{name} {number:,}" for name, number in sorted(origins.items())) or NOTHING,
    ]
