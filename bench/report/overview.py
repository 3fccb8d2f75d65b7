"""What the page and the index show of a suite, kept as ``results/<suite>.json`` beside its CSV.

Every report writes it; so the page of a folder is made without records, adapters and data, as in a clone of a
repository. The tables are those of the page: rows that do not rank stand in sections of their own and stay
there, however a reader sorts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import ArchiveError
from bench.core.plan import Column
from bench.report.table import Table

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

#: Schema of the file.
OVERVIEW_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewRow:
    """A method: as the leaderboard names it, and what `anobench run -m` takes, defaults included."""

    label: str
    selector: str
    backbone: str = ""
    setting: str = "one-class"
    selection: str = "last"
    stochastic: bool = False
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewTable:
    """The table of one metric at one contamination rate: overall, or of a data set by task."""

    metric: str
    rate: float
    dataset: str = ""
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A suite's results as they are shown.

    Attributes
    ----------
    schema : int
    suite, title, description : str
    rows : tuple of OverviewRow
        In the plan's order.
    columns : tuple of Column
        Data sets and tasks.
    cells, failed, missing : int
        How many cells were planned; how many of them failed, and have no record.
    problems, notes : tuple of str
        Adapters that could not be used; what the data sets say of the data at hand.
    best : tuple of str
        Labels of the methods with the highest average over data sets and rates, which `best_auroc` is.
    best_auroc : float or None
        None where fewer than two methods rank.
    figures : tuple of str
        Names of files in the folder ``figures``.
    tables : tuple of OverviewTable
        AUROC first.
    """

    schema: int = OVERVIEW_VERSION
    suite: str
    title: str
    description: str = ""
    rows: tuple[OverviewRow, ...] = ()
    columns: tuple[Column, ...] = ()
    cells: int = 0
    failed: int = 0
    missing: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ranked: int = 0
    best: tuple[str, ...] = ()
    best_auroc: float | None = None
    figures: tuple[str, ...] = ()
    tables: tuple[OverviewTable, ...] = ()

    @property
    def chance(self) -> bool:
        """Whether no method that ranks is told from chance.

        One is where at some rate its average's 95 % interval lies above an AUROC of 50; without an interval,
        that of two seeds (Student's t: 12.7 / √2 standard deviations).
        """
        overall = [each.table for each in self.tables if each.metric == "auroc" and not each.dataset]
        return bool(overall) and not any(_lowest(table) > 0.5 for table in overall)

    @property
    def datasets(self) -> dict[str, str]:
        """The data sets, and how they are called: with a word on generated ones."""
        synthetic = {column.dataset for column in self.columns if column.synthetic}
        names = {column.dataset: column.title or column.dataset for column in self.columns}
        return {name: f"{title} (synthetic)" if name in synthetic else title for name, title in names.items()}


def _lowest(table: Table) -> float:
    """Return the highest lower end of the averages of the rows that rank."""
    at = next((i for i, column in enumerate(table.columns) if column.kind == "points"), None)
    cells = [row.cells[at] for row in table.rows if at is not None and not row.section]
    ends = [
        each.interval[0] if each.interval else each.value - 12.7 / 2**0.5 * (each.spread or 0)
        for each in cells
        if isinstance(each.value, float)
    ]
    return max(ends, default=0.0)


def to_json(found: Overview) -> str:
    """Return the text of a suite's file: the same for the same overview, defaults left out."""
    data = {"schema": found.schema} | _adapter().dump_python(found, exclude_defaults=True)
    # A line a table; in a text the quotes would be escaped.
    return json.dumps(data, separators=(",", ":")).replace('{"metric":', '\n{"metric":') + "\n"


def read_overview(path: Path) -> Overview:
    """Read a suite's file.

    Raises
    ------
    ArchiveError
        It cannot be read, is of another schema, or does not hold what it should.
    """
    again = f"write it again with anobench report {path.stem}"
    try:
        data: Any = json.loads(path.read_bytes())
        schema = data["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArchiveError(f"{path} is no overview of a suite ({error}); {again}") from None
    if schema != OVERVIEW_VERSION:
        raise ArchiveError(
            f"{path} has the schema {schema!r}, this version of anobench reads {OVERVIEW_VERSION}; {again}"
        )
    try:
        found: Overview = _adapter().validate_python(data)
    except (ValueError, RecursionError) as error:
        first = str(error).replace("\n", " ")[:200]
        raise ArchiveError(f"{path} does not hold an overview of a suite ({first}); {again}") from None
    if found.suite != path.stem:
        raise ArchiveError(f"{path} is of the suite {found.suite!r}; rename it to {found.suite}.json")
    shown = (row.row for each in found.tables for row in each.table.rows)
    if any(row is None or not 0 <= row < len(found.rows) for row in shown):
        raise ArchiveError(f"{path} has tables with methods that it does not list; {again}")
    return found


def in_order(found: Mapping[str, Overview]) -> list[tuple[str, Overview]]:
    """Return suites and their overviews in the order in which they are listed.

    The largest first, by methods times tasks times rates; behind them those in which no method is told from
    chance.
    """

    def weight(item: tuple[str, Overview]) -> tuple[bool, int, str]:
        suite, about = item
        rates = len({each.rate for each in about.tables})
        return about.chance, -len(about.rows) * len(about.columns) * rates, suite

    return sorted(found.items(), key=weight)


def overviews(results: Path) -> dict[str, Overview]:
    """Return the overviews in a results folder by suite; one that cannot be read is named in a warning."""
    found = {}
    for path in sorted(results.glob("*.json")):
        try:
            found[path.stem] = read_overview(path)
        except ArchiveError as error:
            log.warning("%s", error)
    return found


@cache
def _adapter() -> TypeAdapter[Overview]:
    from pydantic import TypeAdapter

    return TypeAdapter(Overview)
