"""A table as LaTeX, for booktabs."""

from __future__ import annotations

from bench.report.numbers import NBSP
from bench.report.table import Table, TableCell, TableColumn

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "—": "---",
    "–": "--",
    NBSP: "~",
}
_TIE, _UNTOLD = r"$^{\dagger}$", r"$^{\ddagger}$"


def latex(table: Table, *, caption: str | None = None, label: str | None = None) -> str:
    """Return a table as LaTeX, with a newline at the end.

    Parameters
    ----------
    table : Table
    caption : str, optional
        LaTeX in the place of the table's own caption, which becomes a comment.
    label : str, optional
        For ``\\ref``.
    """
    # What stands behind a number has a column of its own, so that the numbers stand below one another.
    behind = any(
        cell.tie or cell.untold or cell.spread is not None for row in table.rows for cell in row.cells
    )
    width = 2 if behind else 1
    own = escape(table.caption).replace("†", _TIE).replace("‡", _UNTOLD).replace("α", r"$\alpha$")
    lines = [
        "% Needs \\usepackage{booktabs}. Written by anobench table.",
        *([f"% {table.caption}"] if caption is not None else []),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{own if caption is None else caption}}}",
        *([rf"\label{{{label}}}"] if label else []),
        rf"\begin{{tabular}}{{l{('r@{}l' if behind else 'r') * len(table.columns)}}}",
        r"\toprule",
        *_heads(table, width),
        r"\midrule",
    ]
    sections = table.sections()
    for at, (section, rows) in enumerate(sections):
        lines += [r"\midrule"] if at else []
        if section and len(sections) > 1:
            every = 1 + width * len(table.columns)
            lines.append(rf"\multicolumn{{{every}}}{{l}}{{\emph{{{escape(section)}}}}} \\")
        for row in rows:
            pairs = [
                _cell(table, column, cell) for column, cell in zip(table.columns, row.cells, strict=True)
            ]
            texts = [text for pair in pairs for text in pair[:width]]
            lines.append(rf"{' & '.join([escape(row.label), *texts])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is, also behind the end of a table's line."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    # There a bracket would be the line's own option.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def _heads(table: Table, width: int) -> list[str]:
    """Return the names of the columns, below those of their groups where they have any."""
    names = [_spanning(escape(column.head), width, "c" if width > 1 else "r") for column in table.columns]
    line = rf"{' & '.join([escape(table.corner), *names])} \\"
    spans, rules, start = [], [], 2
    for group, count in table.groups():
        wide = width * count
        spans.append(_spanning(escape(group), wide, "c"))
        rules += [rf"\cmidrule(lr){{{start}-{start + wide - 1}}}"] if group else []
        start += wide
    return [rf" & {' & '.join(spans)} \\", "".join(rules), line] if spans else [line]


def _spanning(text: str, width: int, align: str) -> str:
    return rf"\multicolumn{{{width}}}{{{align}}}{{{text}}}" if width > 1 else text


def _cell(table: Table, column: TableColumn, cell: TableCell) -> tuple[str, str]:
    """Return the number with its mark, and what stands behind it."""
    text = escape(table.text(column, cell))
    if cell.mark:
        text = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{text}}}"
    behind = _TIE if cell.tie else _UNTOLD if cell.untold else ""
    return text, behind + (rf"~$\pm$~{table.spread(cell)}" if cell.spread is not None else "")
