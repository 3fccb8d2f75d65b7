"""What the receiver's own suite would have run for a submission: its plan, and where the pack's cells differ.

Nothing of the protocol is taken from the pack: data sets, contamination, seeds, backbones and the code of
adapters are the receiver's. Of the pack only the methods' names and parameters are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.core.cell import Cell
from bench.core.errors import SelectorError
from bench.core.pack import PackedArchive
from bench.core.plan import Plan, Row
from bench.core.selector import format_selector
from bench.report.groups import cell_seed
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import Suite

#: What a cell's fields are called in a message.
_SAID = {
    "code": "the code of its adapters",
    "data_fingerprint": "the data",
    "backbone_identity": "the backbone's weights or preprocessing",
    "protocol": "the protocol version",
    "contamination": "the contamination",
    "few_shot": "the labelled anomalies",
    "params": "the method's parameters",
    "seed": "the seed",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """The receiver's plan of a submission.

    Attributes
    ----------
    suite : Suite
        The receiver's, with the submitted methods instead of its own.
    plan : Plan
    strange : tuple of (Cell, str)
        Cells of the pack that it does not have, each with what differs.
    missing : tuple of Cell
        Those of it that the pack does not have.
    """

    suite: Suite
    plan: Plan
    strange: tuple[tuple[Cell, str], ...]
    missing: tuple[Cell, ...]

    @property
    def cells(self) -> dict[str, Cell]:
        """Its cells by key, in the order of running."""
        return {entry.cell.key: entry.cell for entry in self.plan.entries}


def expected(pack: PackedArchive, suite: Suite, registry: Registry) -> Expected:
    """Return what the receiver's suite would have run.

    Parameters
    ----------
    suite : Suite
        The receiver's, whatever its methods.
    registry : Registry
        Of the receiver's bench folders.

    Raises
    ------
    SelectorError
        A method is not known here; the message says how to add it.
    AnobenchError
        The suite, its data or a backbone cannot be used here.
    """
    theirs = {key: record.cell for key in sorted(pack.keys()) if (record := pack.load(key)) is not None}
    rows = {_method(cell): None for cell in theirs.values()}
    selectors = [format_selector(name, dict(params)) for name, params in rows]
    own = replace(suite, file=suite.file.model_copy(update={"methods": tuple(selectors)}))
    try:
        plan = make_plan(own, registry)
    except SelectorError as error:
        raise SelectorError(f"{error}{_how_to_add(pack, registry)}") from None
    plan = replace(plan, rows=_labelled(plan, pack.plan(pack.suites()[0])))
    ours = {entry.cell.key: entry.cell for entry in plan.entries}
    strange = [(cell, _difference(cell, ours.values())) for key, cell in theirs.items() if key not in ours]
    missing = [cell for key, cell in ours.items() if key not in theirs]
    return Expected(own, plan, tuple(strange), tuple(missing))


def _method(cell: Cell) -> tuple[str, tuple[tuple[str, Any], ...]]:
    backbone = (("backbone", cell.backbone),) if cell.backbone else ()
    return cell.method, (*cell.params, *backbone)


def _labelled(plan: Plan, theirs: Plan) -> tuple[Row, ...]:
    """Return the plan's rows with the labels of the pack's plan, where each belongs to one row alone."""
    named = {entry.row: _method(entry.cell) for entry in theirs.entries}
    labels = {method: theirs.rows[row].label for row, method in named.items()}
    ours = {entry.row: _method(entry.cell) for entry in plan.entries}
    found = [labels.get(ours[at], row.label) if at in ours else row.label for at, row in enumerate(plan.rows)]
    once = [
        label if found.count(label) == 1 else row.label for label, row in zip(found, plan.rows, strict=True)
    ]
    return tuple(_called(row, label) for row, label in zip(plan.rows, once, strict=True))


def _called(row: Row, label: str) -> Row:
    """Return a row under another label; what it sets stays."""
    selector = row.selector or row.label
    return replace(row, label=label, selector="" if selector == label else selector)


def _difference(cell: Cell, ours: Iterable[Cell]) -> str:
    """Return in which fields a cell differs from that of ours in its place."""
    place = (cell.dataset, cell.task, _method(cell))
    here = [each for each in ours if (each.dataset, each.task, _method(each)) == place]
    if not here:
        return "the suite has no such data set, task or method here"
    rate, seed = cell.contamination.rate, cell_seed(cell)
    nearest = min(here, key=lambda each: (each.contamination.rate != rate, cell_seed(each) != seed))
    held: Mapping[str, Any] = nearest.canonical()
    others = [name for name, value in cell.canonical().items() if held.get(name) != value]
    return ", ".join(_SAID.get(name, name) for name in others) + (" differ" if others[1:] else " differs")


def _how_to_add(pack: PackedArchive, registry: Registry) -> str:
    """Return how a method that is not here can be had."""
    files = [name for name in pack.methods() if name not in registry.methods]
    if not files:
        return (
            "; the pack does not hold its file: get it from the sender, put it into methods/ of a folder, "
            "and name that with --bench"
        )
    names = ", ".join(f"methods/{name}.py" for name in files)
    return (
        f"; the pack holds {names}: read it with --show-code, then run it with --allow-code, or put it into "
        "methods/ of a folder of yours"
    )
