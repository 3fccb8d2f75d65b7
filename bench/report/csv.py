"""CSV: fields that a spreadsheet takes for text, and a table with each number, its deviation and its mark.

A spreadsheet runs a field that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break as a formula,
quoted or not. Such a name (of a folder, of a method) gets an apostrophe in front; numbers stay numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.report.table import Table, TableCell, TableColumn

#: How a field begins that may need care: a quick look spares most of them the rest.
_FIRST = frozenset("'=+-@\t\r\n＝＋－＠")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_SPECIAL = re.compile(r'[,"\r\n]')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_text(field: str) -> str:
    """Return a field as it is written, so that no spreadsheet runs it."""
    if field[:1] in _FIRST and _FORMULA.match(field) and not _NUMBER.fullmatch(field):
        return f"'{field}"
    return field


def read_text(field: str) -> str:
    """Return what `as_text` was given."""
    return field[1:] if field.startswith("'") and _FORMULA.match(field) else field


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a CSV of fields as they are; lines end in ``\\n``."""
    return "".join(f"{','.join(map(_quoted, row))}\n" for row in (header, *rows))


def _quoted(field: str) -> str:
    """Return a field, in quotes where it must be, as for a lone carriage return, which ends a line, too."""
    return '"' + field.replace('"', '""') + '"' if _SPECIAL.search(field) else field


def table_csv(table: Table, *, spread: bool = True) -> str:
    """Return a table as CSV; lines end in ``\\n``.

    Parameters
    ----------
    table : Table
    spread : bool
        Whether there are columns for standard deviations.
    """
    kinds = ("", " sd", " mark") if spread else ("", " mark")
    names = [as_text(" ".join(filter(None, (column.group, column.head)))) for column in table.columns]
    rows = (
        [as_text(row.label), as_text(row.section)]
        + [
            field
            for column, cell in zip(table.columns, row.cells, strict=True)
            for field in _fields(table, column, cell, spread=spread)
        ]
        for row in table.rows
    )
    corner = as_text(table.corner or "column")
    return csv_text([corner, "group", *(f"{name}{kind}" for name in names for kind in kinds)], rows)


def _fields(table: Table, column: TableColumn, cell: TableCell, *, spread: bool) -> list[str]:
    mark = " ".join(filter(None, (cell.mark, "tie" if cell.tie else "", "untold" if cell.untold else "")))
    value = "" if cell.value is None else table.text(column, cell)
    return [value, *([table.spread(cell)] if spread else []), mark]
