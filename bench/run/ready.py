"""What a run would miss: weights that cannot be had, libraries that are not installed; asked once for all."""

from __future__ import annotations

from collections.abc import Iterable

from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.features.backbone import Backbones
from bench.features.weights import why_not_had
from bench.suite.libraries import missing
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, Resolver


def what_is_missing(cells: Iterable[Cell], registry: Registry, backbones: Backbones) -> dict[str, str]:
    """Return why cells cannot be run on this machine, by their key; cells that can are left out."""
    resolver = Resolver(registry)
    reasons: dict[tuple[object, ...], str] = {}
    found = {}
    for cell in cells:
        what = (cell.method, cell.params, cell.backbone)
        if what not in reasons:
            reasons[what] = _reason(cell, resolver.find(cell), backbones)
        if reasons[what]:
            found[cell.key] = reasons[what]
    return found


def _reason(cell: Cell, method: ResolvedMethod | None, backbones: Backbones) -> str:
    for each in (method, method.base) if method else ():
        if each is not None and (lacking := missing(each.adapter.imports)):
            return f"the method {each.adapter.name} needs {', '.join(lacking)}, which is not installed"
    if not cell.backbone:
        return ""
    try:
        return why_not_had(backbones.get(cell.backbone))
    except AnobenchError as error:
        return str(error)
