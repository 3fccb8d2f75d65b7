"""The model of a table: rows by columns, each cell a value with what stands beside it. No markup.

The leaderboard, a paper's table and the page build a `Table`; `bench.report.markdown`, `latex`, `html` and
`csv` write it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from bench.report.numbers import NBSP, NOTHING, points, seconds, signed_points, span_points

#: What a column holds: shares of 1 in points, their differences, percentages, ranks, seconds, or words.
NumberKind = Literal["points", "difference", "percent", "rank", "seconds", "words"]
_TEXTS: dict[NumberKind, Callable[[float], str]] = {
    "points": points,
    "difference": signed_points,
    "percent": lambda value: f"{100 * value:.1f}{NBSP}%",
    "rank": lambda value: f"{value:.2f}",
    "seconds": seconds,
    "words": str,
}


@dataclass(frozen=True, slots=True)
class TableCell:
    """One place in a table.

    Attributes
    ----------
    value : float, str or None
        The number, or words in its place, ``"failed (1 of 2)"``.
    spread : float or None
        Standard deviation over seeds.
    interval : (float, float) or None
        95 % interval.
    mark : {"best", "second", ""}
        At the precision shown: equal ones share a place.
    shared : bool
        Another cell has the same mark.
    tie : bool
        No other is significantly better, and it is not the best itself: it may be the best.
    untold : bool
        Too few seeds or images to say whether it may be the best.
    note : str
        Why there is no number.
    """

    value: float | str | None = None
    spread: float | None = None
    interval: tuple[float, float] | None = None
    mark: Literal["best", "second", ""] = ""
    shared: bool = False
    tie: bool = False
    untold: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column's head, and how its values are printed.

    Attributes
    ----------
    head : str
    kind : str
        What its numbers are.
    lower : bool
        Less is better.
    group : str
        The head that it shares with its neighbours of the same group.
    key : str
        Its name for programs, within the table.
    dataset : str
        The data set that it belongs to, if to a single one.
    nowrap : bool
        No line breaks between a number and its interval.
    """

    head: str
    kind: NumberKind = "points"
    lower: bool = False
    group: str = ""
    key: str = ""
    dataset: str = ""
    nowrap: bool = False

    def text(self, value: float | str | None, decimals: int = 1) -> str:
        """Return a value as it is printed, with so many decimals of points."""
        if value is None or isinstance(value, str):
            return NOTHING if value is None else value
        return f"{100 * value:.{decimals}f}" if self.kind == "points" else _TEXTS[self.kind](value)

    def interval_text(self, interval: tuple[float, float]) -> str:
        """Return an interval as it is printed; that of a share is cut to what a share can be."""
        low, high = interval
        if self.kind == "rank":
            return f"{low:.1f}–{high:.1f}"
        if self.kind == "difference":
            return f"{signed_points(low)}{NBSP}to{NBSP}{signed_points(high)}"
        if self.kind == "points":
            low, high = max(0.0, low), min(1.0, high)
        return span_points(low, high)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table.

    Attributes
    ----------
    label : str
    cells : tuple of TableCell
        One for each column.
    section : str
        What it stands below; rows of one section are neighbours, and those that rank have none.
    row : int or None
        The method's position in the plan.
    place : int or None
        A number shown before the label.
    """

    label: str
    cells: tuple[TableCell, ...]
    section: str = ""
    row: int | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes
    ----------
    columns : tuple of TableColumn
    rows : tuple of TableRow
    corner : str
        Head of the labels.
    caption : str
        What is shown and what the marks mean.
    decimals : int
        Of points.
    """

    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    corner: str = "Method"
    caption: str = ""
    decimals: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError unless every row has a cell for each column."""
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row has not {len(self.columns)} cells, one for each column")

    def text(self, column: TableColumn, cell: TableCell) -> str:
        return column.text(cell.value, self.decimals)

    def spread(self, cell: TableCell) -> str:
        """Return a cell's standard deviation as it is printed, empty where it has none."""
        return "" if cell.spread is None else f"{100 * cell.spread:.{self.decimals}f}"

    def groups(self) -> list[tuple[str, int]]:
        """Return the heads above the columns and how many columns each spans; nothing where none has one."""
        if not any(column.group for column in self.columns):
            return []
        return [(name, len(list(of))) for name, of in groupby(self.columns, lambda column: column.group)]

    def sections(self) -> list[tuple[str, list[TableRow]]]:
        return [(name, list(of)) for name, of in groupby(self.rows, lambda row: row.section)]

    def turned(self) -> Table:
        """Return the table of points with a row for each column, and a column for each row."""
        return replace(
            self,
            columns=tuple(TableColumn(row.label, group=row.section) for row in self.rows),
            rows=tuple(
                TableRow(column.head, tuple(row.cells[at] for row in self.rows), column.group)
                for at, column in enumerate(self.columns)
            ),
            corner="",
        )


#: A column with its cells, one for each row.
Filled = tuple[TableColumn, list[TableCell]]


def table_of(labels: Iterable[str], filled: Sequence[Filled], corner: str = "Method") -> Table:
    """Return the table of some columns, without sections."""
    rows = (TableRow(label, tuple(cells[at] for _, cells in filled)) for at, label in enumerate(labels))
    return Table(tuple(column for column, _ in filled), tuple(rows), corner)


def marked(
    column: TableColumn,
    cells: Sequence[TableCell],
    *,
    among: Collection[int] | None = None,
    second: bool = False,
    decimals: int = 1,
) -> list[TableCell]:
    """Return a column's cells with the best ones marked, unless there is only one number.

    Parameters
    ----------
    column : TableColumn
    cells : sequence of TableCell
    among : collection of int, optional
        Positions of the cells that are compared; all by default.
    second : bool
        Mark the second best too.
    decimals : int
        Numbers that look the same with so many share a place.
    """
    shown = {
        at: float(column.text(cell.value, decimals))
        for at, cell in enumerate(cells)
        if isinstance(cell.value, float) and (among is None or at in among)
    }
    if len(shown) < 2:
        return list(cells)
    ranking = sorted(set(shown.values()), reverse=not column.lower)[: 2 if second else 1]
    values = list(shown.values())
    found = list(cells)
    for at, value in shown.items():
        if value in ranking:
            best = value == ranking[0]
            found[at] = replace(
                cells[at],
                mark="best" if best else "second",
                shared=values.count(value) > 1,
                tie=cells[at].tie and not best,
            )
    return found
