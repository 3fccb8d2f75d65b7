"""Plan: the cells of a suite, each with its place on the leaderboard. Pure data, kept beside the records."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.core import checks
from bench.core.cell import Cell
from bench.core.errors import ArchiveError, SelectorError
from bench.core.selector import Selector, parse

#: Schema of a plan file.
PLAN_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A leaderboard's row: one method with its parameters and backbone, as the suite names it.

    `selector` is the method with what the suite sets, where the label is something else. `mark` is what an
    archive adds to the label (`bench.core.submitted.marked`); no plan's file has one.
    """

    label: str
    method: str
    backbone: str
    setting: str
    selection: str
    stochastic: bool
    summary: str = ""
    selector: str = ""
    mark: str = ""

    @property
    def said(self) -> Mapping[str, str]:
        """Return the parameters that the suite sets; none are known of a label that is no selector."""
        try:
            return parse(self.selector or self.label).params
        except SelectorError:
            return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A leaderboard's column: one task; `title` is what the suite calls the data set, if not by its name."""

    dataset: str
    task: str
    synthetic: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cell and its place.

    Attributes
    ----------
    row, column : int
        Positions in the plan's rows and columns.
    rate : float
        The nominal contamination rate.
    cell : Cell
    """

    row: int
    column: int
    rate: float
    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a report needs to know about a suite, so that it needs no data or adapters.

    Attributes
    ----------
    suite : str
        The suite's name (its file's stem).
    title, description : str
    suite_text : str
        The suite file as it was, for the leaderboard's "how to reproduce".
    rates : tuple of float
    seeds : tuple of int
    entries : tuple of Entry
        In the order of running.
    problems : tuple of str
        Adapters that could not be used, with the reason; shown on the leaderboard.
    notes : tuple of str
        What else a reader must know, such as cells left out because there are too few anomalies.
    """

    suite: str
    title: str
    description: str = ""
    suite_text: str = ""
    rates: tuple[float, ...] = (0.0,)
    seeds: tuple[int, ...] = (0,)
    rows: tuple[Row, ...] = ()
    columns: tuple[Column, ...] = ()
    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, datasets: Collection[str]) -> Plan:
        """Return the plan of some of the data sets."""
        kept = [at for at, column in enumerate(self.columns) if column.dataset in datasets]
        place = {at: position for position, at in enumerate(kept)}
        return replace(
            self,
            columns=tuple(self.columns[at] for at in kept),
            entries=tuple(replace(e, column=place[e.column]) for e in self.entries if e.column in place),
        )

    def of_rows(self, rows: Collection[int]) -> Plan:
        """Return the plan of some of the rows."""
        kept = [at for at in range(len(self.rows)) if at in rows]
        place = {at: position for position, at in enumerate(kept)}
        return replace(
            self,
            rows=tuple(self.rows[at] for at in kept),
            entries=tuple(replace(e, row=place[e.row]) for e in self.entries if e.row in place),
        )

    def to_json(self) -> str:
        data: dict[str, Any] = {"schema": PLAN_VERSION}
        data |= {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("rows", "columns"):
            data[name] = [asdict(item) for item in data[name]]
        for row in data["rows"]:
            del row["mark"]
            if not row["selector"]:
                del row["selector"]  # so that older versions read it
        for column in data["columns"]:
            if not column["title"]:
                del column["title"]  # so that older versions read it
        data["entries"] = [[e.row, e.column, e.rate, e.cell.canonical()] for e in self.entries]
        return json.dumps(data, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises
        ------
        ArchiveError
            Not a plan, or of another schema version.
        """
        try:
            data = json.loads(text)
            if data.pop("schema") != PLAN_VERSION:
                raise ArchiveError(f"its schema is not version {PLAN_VERSION}; run the suite again")
            data |= {name: _listed(data[name]) for name in ("rates", "seeds", "problems", "notes")}
            data["rows"] = tuple(Row(**row | {"mark": ""}) for row in _listed(data["rows"]))
            data["columns"] = tuple(Column(**column) for column in _listed(data["columns"]))
            data["entries"] = tuple(
                Entry(row=row, column=column, rate=rate, cell=Cell.from_canonical(cell))
                for row, column, rate, cell in _listed(data["entries"])
            )
            plan = cls(**data)
            _check(plan)
            for entry in plan.entries:
                if not (0 <= entry.row < len(plan.rows) and 0 <= entry.column < len(plan.columns)):
                    raise ValueError(f"row {entry.row}, column {entry.column} do not exist")
            return plan
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ArchiveError(f"not a plan ({type(error).__name__}: {error})") from None


def _listed(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise TypeError(f"expected a list, got {checks.short(values)}")
    return tuple(values)


def _check(plan: Plan) -> None:
    """Check what a report relies on, and that the suite's name can be a file's."""
    checks.file_name(plan.suite)
    for name in ("title", "description", "suite_text"):
        checks.text(getattr(plan, name), name, checks.LONG)
    checks.members(plan.rates, "rates", lambda value, what: checks.number(value, what, 0, 0.5))
    checks.members(plan.seeds, "seeds", lambda value, what: checks.whole(value, what, 0, 2**63))
    for name in ("problems", "notes"):
        checks.members(getattr(plan, name), name, lambda value, what: checks.text(value, what, checks.LONG))
    for row in plan.rows:
        for name in ("label", "method", "backbone", "setting", "selection", "summary", "selector"):
            checks.text(getattr(row, name), name, checks.REMARK)
        _truth(row.stochastic, "stochastic")
    for column in plan.columns:
        checks.text(column.dataset, "dataset", checks.REMARK)
        checks.text(column.task, "task", checks.REMARK)
        _truth(column.synthetic, "synthetic")
    for entry in plan.entries:
        checks.whole(entry.row, "row")
        checks.whole(entry.column, "column")
        checks.number(entry.rate, "rate", 0, 0.5)
        checks.cell(entry.cell)


def _truth(value: Any, what: str) -> None:
    if type(value) is not bool:
        raise TypeError(f"its {what} is {checks.short(value)}; expected true or false")


def of_dataset(selector: Selector, cell: Cell) -> bool:
    """Return whether a cell is of a data set, its task a parameter; names and values are patterns."""
    known = parse(cell.dataset)
    return _matches(selector, known.name, {**known.params, "task": cell.task})


def of_method(selector: Selector, cell: Cell) -> bool:
    """Return whether a cell is of a method, its backbone a parameter; names and values are patterns."""
    params = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in cell.params
    }
    return _matches(selector, cell.method, {**params, "backbone": cell.backbone})


def _matches(selector: Selector, name: str, params: Mapping[str, str]) -> bool:
    return fnmatch.fnmatchcase(name, selector.name) and all(
        fnmatch.fnmatchcase(params.get(key, ""), value) for key, value in selector.params.items()
    )
