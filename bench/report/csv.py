"""A table as CSV: for each column its number, its deviation, and its mark in words."""

from __future__ import annotations

import csv
import io

from bench.report.table import Table, TableCell, TableColumn


def table_csv(table: Table, *, spread: bool = True) -> str:
    """Return a table as CSV; lines end in ``\\n``.

    Parameters
    ----------
    table : Table
    spread : bool
        Whether there are columns for standard deviations.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    kinds = ("", " sd", " mark") if spread else ("", " mark")
    names = [" ".join(filter(None, (column.group, column.head))) for column in table.columns]
    writer.writerow(
        [table.corner or "column", "group", *(f"{name}{kind}" for name in names for kind in kinds)]
    )
    for row in table.rows:
        cells = zip(table.columns, row.cells, strict=True)
        writer.writerow(
            [row.label, row.section]
            + [field for column, cell in cells for field in _fields(table, column, cell, spread=spread)]
        )
    return text.getvalue()


def _fields(table: Table, column: TableColumn, cell: TableCell, *, spread: bool) -> list[str]:
    mark = " ".join(filter(None, (cell.mark, "tie" if cell.tie else "", "untold" if cell.untold else "")))
    value = "" if cell.value is None else table.text(column, cell)
    return [value, *([table.spread(cell)] if spread else []), mark]
