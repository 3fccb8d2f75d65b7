"""Running a plan: which cells are left, keeping what one gives, and the plain loop over cells.

`inline` is that loop, for scripts: one process, no limits of the run, nobody else. ``anobench run`` goes by
`bench.run.driver`, whatever the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.plan import Plan
from bench.core.truth import Truth
from bench.run.timing import PACKED
from bench.run.units import grouped
from bench.run.writer import keep


class RunsCells(Protocol):
    """`bench.run.runner.Runner`, or another executor's stand-in."""

    @property
    def truths(self) -> Mapping[str, Truth]: ...

    def run(self, cell: Cell) -> tuple[Record, NDArray[np.float32] | None]: ...

    def fits_together(self, cell: Cell) -> bool: ...

    def run_together(self, cells: Sequence[Cell]) -> Iterator[tuple[Record, NDArray[np.float32] | None]]: ...


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


def compare(
    plan: Plan, archive: Archive, *, fresh: bool = False, retry_failed: bool = False, retime: bool = False
) -> State:
    """Return what of a plan is there and what is left.

    Parameters
    ----------
    fresh : bool
        Run every cell again.
    retry_failed : bool
        Run failed cells again; otherwise a failed cell is a result.
    retime : bool
        Run cells again whose times were taken beside other cells.
    """
    cells = {entry.cell.key: entry.cell for entry in plan.entries}
    records = archive.load_all(cells)
    if fresh:
        return State(records, tuple(cells.values()))
    again = {
        key
        for key, record in records.items()
        if (retry_failed and record.status == "failed") or (retime and PACKED in record.flags)
    }
    return State(records, tuple(cell for key, cell in cells.items() if key not in records or key in again))


def inline(
    todo: Iterable[Cell],
    runner: RunsCells,
    archive: Archive,
    *,
    together: int = 1,
    started: Callable[[Cell], None] | None = None,
) -> Iterator[Record]:
    """Run cells one after the other in this process; yield each record once it is on disk.

    Parameters
    ----------
    together : int
        The heads of so many cells are fitted in the same steps, where their method offers it.
    started : callable, optional
        Called with a cell before it runs; of cells fitted together, with the first.
    """
    for cells in grouped(todo, runner.fits_together, most=together):
        if started is not None:
            started(cells[0])
        results = runner.run_together(cells) if len(cells) > 1 else [runner.run(cells[0])]
        for record, scores in results:
            yield keep(archive, record, scores, runner.truths.get(record.truth))
