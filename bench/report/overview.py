"""What the page and the index show of a suite, kept as ``results/<suite>.json`` beside its CSV.

Every report writes it; so the page of a folder is made without records, adapters and data, as in a clone of a
repository. The tables are those of the page: rows that do not rank stand in sections of their own and stay
there, however a reader sorts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import ArchiveError
from bench.core.plan import Column
from bench.metrics.image import IMAGE_METRICS
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.export import place_fields
from bench.report.leaderboard.columns import group_column
from bench.report.numbers import NBSP, points, rate_name
from bench.report.table import Filled, Table, TableCell, TableColumn, TableRow, marked

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

#: Schema of the file.
OVERVIEW_VERSION = 1
#: How a metric is written, and whether less of it is better.
METRICS = {"auroc": ("AUROC", False), "ap": ("AP", False), "fpr95": (f"FPR95{NBSP}↓", True)}


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
    def datasets(self) -> dict[str, str]:
        """The data sets, and how they are called: with a word on generated ones."""
        synthetic = {column.dataset for column in self.columns if column.synthetic}
        names = dict.fromkeys(column.dataset for column in self.columns)
        return {name: f"{name} (synthetic)" if name in synthetic else name for name in names}


def overview(evidence: Evidence, *, figures: Sequence[str] = ()) -> Overview:
    """Return what is shown of a suite.

    Parameters
    ----------
    evidence : Evidence
    figures : sequence of str
        Names of its figures' files.
    """
    board, plan = evidence.board, evidence.board.plan
    params = {entry.row: place_fields(plan, entry)[4] for entry in reversed(plan.entries)}
    cells, failed, missing = board.cells()
    averages = board.averages(board.columns, board.rates)
    order = [row for row in board.order(board.columns, board.rates) if row in averages]
    # The highest, or those that share it as printed.
    best = [row for row in order if points(averages[row]) == points(averages[order[0]])] if order[1:] else []
    return Overview(
        suite=plan.suite,
        title=plan.title,
        description=plan.description,
        rows=tuple(
            OverviewRow(
                label=row.label,
                selector=_selector(row.method, params.get(at, ""), row.backbone),
                backbone=row.backbone,
                setting=row.setting,
                selection=row.selection,
                stochastic=row.stochastic,
                summary=row.summary,
            )
            for at, row in enumerate(plan.rows)
        ),
        columns=plan.columns,
        cells=cells,
        failed=failed,
        missing=missing,
        problems=plan.problems,
        notes=plan.notes,
        ranked=len(averages),
        best=tuple(map(board.label, best)),
        best_auroc=averages[best[0]] if best else None,
        figures=tuple(figures),
        tables=tuple(_tables(evidence)),
    )


def _selector(method: str, params: str, backbone: str) -> str:
    """Return what `anobench run -m` takes for a row, defaults included."""
    held = ",".join(filter(None, (params, f"backbone={backbone}" if backbone else "")))
    return f"{method}[{held}]" if held else method


def _tables(evidence: Evidence) -> Sequence[OverviewTable]:
    """Return the tables of every metric that was measured, at every rate with cells."""
    board = evidence.board
    measured = {name for record in board.records() for name in record.metrics} | {IMAGE_METRICS[0]}
    found = []
    for metric in (name for name in IMAGE_METRICS if name in measured):
        for rate in (rate for rate in board.rates if any(True for _ in board.groups(rate=rate))):
            builder = _Builder(evidence, metric, rate)
            found.append(OverviewTable(metric=metric, rate=rate, table=builder.overall()))
            found += [
                OverviewTable(metric=metric, rate=rate, dataset=name, table=builder.by_task(name))
                for name in board.datasets
            ]
    return found


class _Builder:
    """The tables of one metric at one rate."""

    def __init__(self, evidence: Evidence, metric: str, rate: float) -> None:
        self.evidence, self.board, self.metric, self.rate = evidence, evidence.board, metric, rate
        self.name, self.lower = METRICS[metric]
        self.title = f"{self.name}, {rate_name(rate)}"

    def overall(self) -> Table:
        board, every = self.board, list(self.board.datasets.values())
        rows, sections = self._rows(every)
        compared = self.evidence.overall(self.rate) if self.metric == "auroc" else None
        several = len(every) > 1
        filled = [self._means("Average", "average", rows, every)] if several else []
        for name, of in board.datasets.items():
            filled.append(
                self._means(board.dataset_title(name), f"data set {name}", rows, [of], dataset=name)
            )
        if compared is not None:
            column, cells = filled[0]
            intervals = [self.evidence.overall_interval(row, self.rate) for row in rows]
            filled[0] = (
                column,
                [replace(cell, interval=interval) for cell, interval in zip(cells, intervals, strict=True)],
            )
        groups = group_column(compared, rows)
        filled[several:several] = [*groups, *self._ranks(rows, board.columns)]
        return _laid_out(board, f"Overall: {self.title}", rows, sections, filled + self._seconds(rows))

    def by_task(self, dataset: str) -> Table:
        board, of = self.board, self.board.datasets[dataset]
        rows, sections = self._rows([of])
        filled = [self._means("Average", "average", rows, [of])] if len(of) > 1 else []
        filled += self._ranks(rows, of)
        for column in of:
            task = board.plan.columns[column].task
            head, cells = self._means(task, f"task {task}", rows, [[column]])
            holes = [board.group(row, column, self.rate).hole for row in rows]
            cells = [
                TableCell(hole) if cell.value is None else cell
                for hole, cell in zip(holes, cells, strict=True)
            ]
            filled.append((head, cells))
        caption = f"{board.dataset_title(dataset)} by task: {self.title}"
        return _laid_out(board, caption, rows, sections, filled)

    def _rows(self, of: Sequence[Sequence[int]]) -> tuple[list[int], dict[int, str]]:
        """Return the rows that rank, the complete ones by their average, then those of every other setting.

        Parameters
        ----------
        of : sequence of sequences of int
            The columns of each data set, which count alike.

        Returns
        -------
        rows : list of int
        sections : dict of int to str
            Of those that do not rank.
        """
        board, ranks = self.board, self._mean_ranks([column for columns in of for column in columns])

        def place(row: int) -> tuple[float, float, str]:
            mean = board.summary(row, of, self.rate, self.metric).mean or 0.0
            return mean if self.lower else -mean, ranks[row], board.label(row)

        first = sorted(ranks, key=place)
        others = {row: f"Not ranked: {name}" for name, rows in board.unranked.items() for row in rows}
        return [*first, *(row for row in board.ranked if row not in ranks), *others], others

    def _mean_ranks(self, columns: Sequence[int]) -> dict[int, float]:
        found = self.board.mean_ranks(columns, [self.rate], self.metric)
        # The board ranks the highest first.
        return {row: len(found) + 1 - rank for row, rank in found.items()} if self.lower else found

    def _ranks(self, rows: Sequence[int], columns: Sequence[int]) -> list[Filled]:
        if len(self.board.ranked) < 2:
            return []
        found, column = self._mean_ranks(columns), TableColumn("Mean rank", "rank", lower=True, key="rank")
        return [(column, marked(column, [TableCell(found.get(row)) for row in rows]))]

    def _means(
        self, head: str, key: str, rows: Sequence[int], of: Sequence[Sequence[int]], dataset: str = ""
    ) -> Filled:
        column = TableColumn(head, lower=self.lower, key=key, dataset=dataset)
        means = [self.board.summary(row, of, self.rate, self.metric) for row in rows]
        cells = [TableCell(each.mean, each.sd, note=each.why if each.mean is None else "") for each in means]
        ranked = {at for at, row in enumerate(rows) if row in self.board.ranked}
        return column, marked(column, cells, among=ranked)

    def _seconds(self, rows: Sequence[int]) -> list[Filled]:
        found = [self.board.seconds(row, self.rate) for row in rows]
        if not any(found):
            return []
        return [
            (
                TableColumn(f"{name.capitalize()}{NBSP}s", "seconds", key=name),
                [TableCell(None if each is None else getattr(each, name)) for each in found],
            )
            for name in ("warm", "cold")
        ]


def _laid_out(
    board: Board, caption: str, rows: Sequence[int], sections: Mapping[int, str], filled: Sequence[Filled]
) -> Table:
    """Return the table of columns whose cells stand in the order of the rows, numbers cut short."""
    short = [[_short(column, cell) for cell in cells] for column, cells in filled]
    return Table(
        columns=tuple(column for column, _ in filled),
        rows=tuple(
            TableRow(board.label(row), tuple(cells[at] for cells in short), sections.get(row, ""), row)
            for at, row in enumerate(rows)
        ),
        caption=caption,
    )


def _short(column: TableColumn, cell: TableCell) -> TableCell:
    """Return a cell without the digits that neither are printed nor could change the order of rows."""

    def cut(value: float, shown: Callable[[float], str]) -> float:
        if column.kind == "seconds":
            return float(f"{value:.4g}")
        near = float(f"{value:.6g}")
        return near if shown(near) == shown(value) else value

    return replace(
        cell,
        value=cut(cell.value, column.text) if isinstance(cell.value, float) else cell.value,
        spread=None if cell.spread is None else cut(cell.spread, points),
        interval=None
        if cell.interval is None
        else (cut(cell.interval[0], points), cut(cell.interval[1], points)),
    )


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
