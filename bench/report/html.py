"""A table as HTML: plain for a paper's web page, or with what the page's script sorts and filters by."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from bench.report.table import Table, TableCell, TableColumn, TableRow


def table_html(table: Table, *, caption: str | None = None) -> str:
    """Return a table of a paper, with a newline at the end.

    Parameters
    ----------
    table : Table
    caption : str, optional
        Text in the place of the table's own caption.
    """
    own = table.caption if caption is None else caption
    return f"<table>\n{_inside(table, own, live=False)}</table>\n"


def live_table(table: Table, key: str) -> Markup:
    """Return a table of the page: its cells carry what they are sorted by, its heads how.

    Parameters
    ----------
    table : Table
    key : str
        Tells it from the page's other tables.
    """
    return Markup('<table data-key="{}">\n{}</table>').format(key, _inside(table, table.caption, live=True))


def breakable(label: str) -> Markup:
    """Return a method's label as HTML that may break behind ``,`` and ``=``, before ``[`` and ``_``."""
    return Markup(re.sub(r"([,=])|(?<!^)(?=[\[_])", r"\1<wbr>", str(escape(label))))


def _inside(table: Table, caption: str, *, live: bool) -> Markup:
    lines = [Markup("<caption>{}</caption>").format(caption), Markup("<thead>"), *_heads(table, live=live)]
    lines.append(Markup("</thead>"))
    for section, rows in table.sections():
        lines.append(Markup("<tbody>"))
        if section:
            head = Markup('<tr class="group">' if live else "<tr>") + Markup(
                '<th colspan="{}" scope="rowgroup">{}</th></tr>'
            ).format(len(table.columns) + 1, Markup("<span>{}</span>").format(section) if live else section)
            lines.append(head)
        lines += [_row(table, row, live=live) for row in rows]
        lines.append(Markup("</tbody>"))
    return Markup("\n").join([*lines, Markup("")])


def _heads(table: Table, *, live: bool) -> list[Markup]:
    lines = []
    if groups := table.groups():
        spans = [
            Markup('<th colspan="{}" scope="colgroup">{}</th>').format(width, name) for name, width in groups
        ]
        lines.append(Markup("<tr><td></td>{}</tr>").format(Markup("").join(spans)))
    first = Markup(' data-column="method" data-first="ascending" data-words') if live else Markup("")
    heads = [Markup('<th scope="col"{}>{}</th>').format(first, table.corner)]
    for column in table.columns:
        sorting = _sorting(column) if live else Markup("")
        heads.append(Markup('<th scope="col"{}>{}</th>').format(sorting, column.head))
    return [*lines, Markup("<tr>{}</tr>").format(Markup("").join(heads))]


def _sorting(column: TableColumn) -> Markup:
    """Return the attributes by which the script sorts a column, and shows it with its data set alone."""
    rising = column.lower or column.kind in ("words", "seconds")
    text = Markup(' data-column="{}" data-first="{}"').format(
        column.key, "ascending" if rising else "descending"
    )
    text += Markup(" data-words") if column.kind == "words" else Markup("")
    return text + (Markup(' data-dataset="{}"').format(column.dataset) if column.dataset else Markup(""))


def _row(table: Table, row: TableRow, *, live: bool) -> Markup:
    cell = _live_cell if live else _plain_cell
    cells = [cell(table, column, each) for column, each in zip(table.columns, row.cells, strict=True)]
    number = Markup(' data-row="{}"').format(row.row) if live else Markup("")
    label = breakable(row.label) if live else row.label
    return Markup('<tr{}><th scope="row">{}</th>{}</tr>').format(number, label, Markup("").join(cells))


def _marked(table: Table, column: TableColumn, cell: TableCell) -> Markup:
    text = escape(table.text(column, cell))
    if cell.mark:
        text = Markup("<b>{}</b>" if cell.mark == "best" else "<u>{}</u>").format(text)
    return text + Markup("<sup>†</sup>" if cell.tie else "<sup>‡</sup>" if cell.untold else "")


def _plain_cell(table: Table, column: TableColumn, cell: TableCell) -> Markup:
    spread = f" ± {table.spread(cell)}" if cell.spread is not None else ""
    return Markup("<td>{}{}</td>").format(_marked(table, column, cell), spread)


def _live_cell(table: Table, column: TableColumn, cell: TableCell) -> Markup:
    if column.kind == "words":
        return Markup('<td class="words">{}</td>').format(table.text(column, cell))
    number = isinstance(cell.value, float)
    sorting = Markup(' data-v="{:.6g}"').format(cell.value) if number else Markup("")
    hole = bool(cell.note) or isinstance(cell.value, str)
    looks = "best" if cell.mark == "best" else "hole" if hole else ""
    notes = [
        f" ± {table.spread(cell)}" if cell.spread is not None else "",
        f" ({column.interval_text(cell.interval)})" if cell.interval is not None else "",
        f" {cell.note}" if cell.note else "",
    ]
    small = Markup("").join(Markup("<small>{}</small>").format(note) for note in notes if note)
    return Markup("<td{}{}>{}{}</td>").format(
        sorting, Markup(' class="{}"').format(looks) if looks else "", _marked(table, column, cell), small
    )
