"""Which records of a plan exist, what is left to run, and which of its cells selectors mean."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import SelectorError
from bench.core.plan import Plan
from bench.core.selector import Selector, parse
from bench.run.timing import PACKED


def compare(
    plan: Plan, archive: Archive, *, fresh: bool = False, retry_failed: bool = False, retime: bool = False
) -> tuple[dict[str, Record], tuple[Cell, ...]]:
    """Return the records of a plan that exist, by key, and the cells that are left.

    Parameters
    ----------
    fresh : bool
        Run every cell again.
    retry_failed : bool
        Run failed cells again; otherwise a failure is a result.
    retime : bool
        Run cells again that were timed beside other cells.
    """
    cells = {entry.cell.key: entry.cell for entry in plan.entries}
    records = archive.load_all(cells)
    if fresh:
        return records, tuple(cells.values())
    again = {
        key
        for key, record in records.items()
        if (retry_failed and record.status == "failed") or (retime and PACKED in record.flags)
    }
    return records, tuple(cell for key, cell in cells.items() if key not in records or key in again)


def narrow(
    plan: Plan, todo: Iterable[Cell], datasets: Iterable[str], methods: Iterable[str]
) -> tuple[Cell, ...]:
    """Narrow what is left to the cells that selectors match; names and values are patterns.

    Raises
    ------
    SelectorError
        They match no cell of the suite.
    """
    chosen = [entry.cell for entry in plan.entries]
    for texts, test, option in ((datasets, _of_dataset, "--dataset"), (methods, _of_method, "--method")):
        selectors = [parse(text) for text in texts]
        if selectors:
            chosen = [cell for cell in chosen if any(test(selector, cell) for selector in selectors)]
            if not chosen:
                raise SelectorError(f"{option} {' '.join(texts)} matches no cell of this suite")
    keys = {cell.key for cell in chosen}
    return tuple(cell for cell in todo if cell.key in keys)


def _of_dataset(selector: Selector, cell: Cell) -> bool:
    known = parse(cell.dataset)
    return _matches(selector, known.name, {**known.params, "task": cell.task})


def _of_method(selector: Selector, cell: Cell) -> bool:
    params = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in cell.params
    }
    return _matches(selector, cell.method, {**params, "backbone": cell.backbone})


def _matches(selector: Selector, name: str, params: Mapping[str, str]) -> bool:
    return fnmatch.fnmatchcase(name, selector.name) and all(
        fnmatch.fnmatchcase(params.get(key, ""), value) for key, value in selector.params.items()
    )
