"""What a submission holds: one method's part of a suite, and its file if it does not come with anobench."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterable, Mapping

from bench.core.cell import Cell, Record
from bench.core.errors import AdapterError, AnobenchError, SelectorError, did_you_mean
from bench.core.plan import Plan, of_method
from bench.core.selector import parse
from bench.suite.adapter import Adapter
from bench.suite.registry import Registry, stock_folder
from bench.suite.resolve import base_parameter


def submitted_part(plan: Plan, method: str) -> Plan:
    """Return the part of a plan that a method has: by its label, a pattern of it, or its selector.

    Raises
    ------
    AnobenchError
        There is no such method.
    """
    rows = [at for at, row in enumerate(plan.rows) if row.label == method]
    rows = rows or [at for at, row in enumerate(plan.rows) if fnmatch.fnmatchcase(row.label, method)]
    if not rows:
        with contextlib.suppress(SelectorError):
            selector = parse(method)
            rows = sorted({entry.row for entry in plan.entries if of_method(selector, entry.cell)})
    if not rows:
        labels = [row.label for row in plan.rows]
        raise AnobenchError(f"{plan.suite} has no method {method!r}{did_you_mean(method, labels)}")
    return plan.of_rows(rows)


def own_methods(plan: Plan, records: Mapping[str, Record], registry: Registry) -> dict[str, str]:
    """Return the text of the methods' files that do not come with anobench, by the methods' names.

    Raises
    ------
    AdapterError
        A method is not there any more, or its code is not that of the records.
    """
    found: dict[str, str] = {}
    for cell in (entry.cell for entry in plan.entries if entry.cell.key in records):
        code = dict(cell.code)
        for name, kind in _names(cell, registry):
            adapter = registry.methods.get(name)
            if adapter is None or adapter.code != code.get(kind):
                where = "is not here" if adapter is None else f"({adapter.path}) has changed"
                raise AdapterError(
                    f"the method {name!r} {where} since these results were made, so that nobody could run "
                    f"them again; run the suite again: anobench run {plan.suite}"
                )
            if not _stock(adapter):
                found[name] = adapter.source
    return found


def _names(cell: Cell, registry: Registry) -> Iterable[tuple[str, str]]:
    """Yield the methods of a cell, and what each is called in its code's hashes."""
    yield cell.method, "method"
    wrapper = registry.methods.get(cell.method)
    if wrapper is not None and (parameter := base_parameter(wrapper)) is not None:
        yield parse(str(dict(cell.params)[parameter])).name, "base"


def _stock(adapter: Adapter) -> bool:
    return adapter.path.is_relative_to(stock_folder())
