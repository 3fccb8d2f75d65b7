"""What of a plan is there and what is left to run, and which of its cells a command line means."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import SelectorError
from bench.core.plan import Plan
from bench.core.selector import Selector, parse
from bench.run.timing import PACKED


@dataclass(frozen=True, slots=True)
class State:
    """A plan against an archive.

    Attributes
    ----------
    records : dict
        The records that are there, by key.
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


def narrow(plan: Plan, state: State, datasets: Iterable[str], methods: Iterable[str]) -> State:
    """Keep the cells that selectors mean: names are patterns, parameters must be equal as text.

    Raises
    ------
    SelectorError
        No cell of the suite is meant.
    """
    chosen = [entry.cell for entry in plan.entries]
    for texts, test, option in ((datasets, _of_dataset, "--dataset"), (methods, _of_method, "--method")):
        selectors = [parse(text) for text in texts]
        if selectors:
            chosen = [cell for cell in chosen if any(test(selector, cell) for selector in selectors)]
            if not chosen:
                raise SelectorError(f"{option} {' '.join(texts)}: no cell of this suite is meant")
    keys = {cell.key for cell in chosen}
    return replace(state, todo=tuple(cell for cell in state.todo if cell.key in keys))


def _of_dataset(selector: Selector, cell: Cell) -> bool:
    known = parse(cell.dataset)
    return _means(selector, known.name, {**known.params, "task": cell.task})


def _of_method(selector: Selector, cell: Cell) -> bool:
    params = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in cell.params
    }
    return _means(selector, cell.method, {**params, "backbone": cell.backbone})


def _means(selector: Selector, name: str, params: Mapping[str, str]) -> bool:
    return fnmatch.fnmatchcase(name, selector.name) and all(
        fnmatch.fnmatchcase(params.get(key, ""), value) for key, value in selector.params.items()
    )
