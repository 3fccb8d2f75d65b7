"""Running a plan: which cells are left, in what order, what they will cost, and the loop that runs them.

`inline` is the one executor so far: one process, one device. Only this process writes the archive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.archive import Archive
from bench.cell import Cell, Record
from bench.plan import Plan


class RunsCells(Protocol):
    """`bench.run.runner.Runner`, or another executor's stand-in."""

    def run(self, cell: Cell) -> tuple[Record, NDArray[np.float32] | None]: ...


@dataclass(frozen=True, slots=True)
class State:
    """A plan against an archive.

    Attributes
    ----------
    records : dict
        The records there, by key.
    todo : tuple of Cell
        What is left to run.
    """

    records: dict[str, Record]
    todo: tuple[Cell, ...]


def compare(plan: Plan, archive: Archive, *, fresh: bool = False, retry_failed: bool = False) -> State:
    """Return what of a plan is there and what is left.

    Parameters
    ----------
    fresh : bool
        Run every cell again.
    retry_failed : bool
        Run failed cells again; otherwise a failed cell is a result.
    """
    cells = {entry.cell.key: entry.cell for entry in plan.entries}
    records = archive.load_all(cells)
    if fresh:
        return State(records, tuple(cells.values()))
    again = {key for key, record in records.items() if retry_failed and record.status == "failed"}
    return State(records, tuple(cell for key, cell in cells.items() if key not in records or key in again))


def inline(
    todo: Iterable[Cell],
    runner: RunsCells,
    archive: Archive,
    *,
    started: Callable[[Cell], None] | None = None,
) -> Iterator[Record]:
    """Run cells one after the other in this process; yield each record once it is on disk."""
    for cell in todo:
        if started is not None:
            started(cell)
        record, scores = runner.run(cell)
        yield archive.write(record, scores)


def estimate(todo: Iterable[Cell], past: Iterable[Record]) -> tuple[float, int]:
    """Estimate seconds from past cells: of the same method and data set, else of the same method.

    Returns
    -------
    seconds : float
        For those cells that have a past.
    unknown : int
        How many have none.
    """
    seconds: Mapping[tuple[str, ...], list[float]] = defaultdict(list)
    for record in past:
        if record.timing is not None:
            cell = record.cell
            for group in ((cell.method, cell.dataset, cell.backbone), (cell.method, cell.backbone)):
                seconds[group].append(record.timing.fit + record.timing.score)
    total, unknown = 0.0, 0
    means = {group: fmean(values) for group, values in seconds.items()}
    for cell in todo:
        mean = means.get((cell.method, cell.dataset, cell.backbone), means.get((cell.method, cell.backbone)))
        if mean is None:
            unknown += 1
        else:
            total += mean
    return total, unknown
