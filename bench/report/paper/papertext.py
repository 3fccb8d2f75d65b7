"""A paper's table as LaTeX (booktabs), Markdown, HTML or CSV."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.report.markdown import NBSP, NOTHING, escape, percent, table
from bench.report.paper.paper import LOWER, PRINTED, PaperCell, PaperTable

_LATEX = {
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
_TIE = {"latex": r"$^{\dagger}$", "markdown": "†", "html": "<sup>†</sup>", "csv": ""}


@dataclass(frozen=True, slots=True)
class _Grid:
    """Heads and lines as they are printed, whichever way round: a group and a name for each."""

    heads: Sequence[tuple[str, str]]
    lines: Sequence[tuple[str, str, Sequence[PaperCell]]]
    corner: str


def render(
    held: PaperTable,
    form: str,
    *,
    caption: str | None = None,
    label: str | None = None,
    spread: bool = True,
    transpose: bool = False,
) -> str:
    """Return the table as text, with a newline at the end.

    Parameters
    ----------
    held : PaperTable
    form : {"latex", "markdown", "csv", "html"}
    caption : str, optional
        As it is, for LaTeX in LaTeX; by default what is shown and what the marks mean.
    label : str, optional
        For LaTeX's ``\\ref``.
    spread : bool
        Print the standard deviation over seeds.
    transpose : bool
        A line for each column, a column for each method.
    """
    make: dict[str, Callable[[], str]] = {
        "latex": lambda: _latex(held, grid, caption, label, spread=spread),
        "markdown": lambda: _markdown(held, grid, caption, spread=spread),
        "html": lambda: _html(held, grid, caption, spread=spread),
        "csv": lambda: _csv(held, grid, spread=spread),
    }
    grid = _turned(held) if transpose else _upright(held)
    return make[form]()


def describe(held: PaperTable, *, spread: bool = True) -> str:
    """Return what the table shows, and what its marks mean, in a sentence or two."""
    name = PRINTED.get(held.metric, held.metric)
    lower = ", lower is better" if held.metric in LOWER else ""
    at = ", ".join(percent(rate) for rate in held.rates)
    rates = f" at {at} contamination" if any(held.rates) else ""
    words = [f"{name} in points{f' on {held.about}' if held.about else ''}{rates}{lower}"]
    marks = {cell.place for row in held.rows for cell in row.cells}
    if "best" in marks:
        words.append("best in bold" + (", second underlined" if "second" in marks else ""))
    if any(cell.tie for row in held.rows for cell in row.cells):
        words.append(f"† not significantly different from the best (α = 0.05; {', '.join(held.tests)}; Holm)")
    if spread and any(cell.sd is not None for row in held.rows for cell in row.cells):
        words.append("± standard deviation over seeds")
    return f"{'; '.join(words)}."


def _upright(held: PaperTable) -> _Grid:
    heads = [(column.group, column.name) for column in held.columns]
    return _Grid(heads, [(row.section, row.label, row.cells) for row in held.rows], "Method")


def _turned(held: PaperTable) -> _Grid:
    heads = [(row.section, row.label) for row in held.rows]
    lines = [
        (column.group, column.name, [row.cells[at] for row in held.rows])
        for at, column in enumerate(held.columns)
    ]
    return _Grid(heads, lines, "")


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{100 * value:.{decimals}f}"


def _latex(held: PaperTable, grid: _Grid, caption: str | None, label: str | None, *, spread: bool) -> str:
    said = describe(held, spread=spread)
    written = latex_escape(said).replace("†", _TIE["latex"]).replace("α", r"$\alpha$")
    # What stands behind a number has a column of its own, so that the numbers stand below one another.
    behind = any(cell.tie or (spread and cell.sd is not None) for *_, cells in grid.lines for cell in cells)
    width = 2 if behind else 1
    every = 1 + width * len(grid.heads)
    lines = [
        "% Needs \\usepackage{booktabs}. Written by anobench table.",
        *([f"% {said}"] if caption is not None else []),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption if caption is not None else written}}}",
        *([rf"\label{{{label}}}"] if label else []),
        rf"\begin{{tabular}}{{l{('r@{}l' if behind else 'r') * len(grid.heads)}}}",
        r"\toprule",
        *_latex_heads(grid, width),
        r"\midrule",
    ]
    several = len({section for section, *_ in grid.lines}) > 1
    for at, (section, of) in enumerate(groupby(grid.lines, key=lambda line: line[0])):
        lines += [r"\midrule"] if at else []
        if several and section:
            lines.append(rf"\multicolumn{{{every}}}{{l}}{{\emph{{{latex_escape(section)}}}}} \\")
        for _, name, cells in of:
            pairs = [_latex_cell(cell, held.decimals, spread=spread) for cell in cells]
            texts = [text for pair in pairs for text in pair[:width]]
            lines.append(rf"{' & '.join([latex_escape(name), *texts])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_heads(grid: _Grid, width: int) -> list[str]:
    """Return the names of the columns, below those of their groups where they have any."""
    names = [_spanning(latex_escape(name), width, "c" if width > 1 else "r") for _, name in grid.heads]
    line = rf"{' & '.join([grid.corner, *names])} \\"
    if not any(group for group, _ in grid.heads):
        return [line]
    spans, rules, start = [], [], 2
    for group, of in groupby(grid.heads, key=lambda head: head[0]):
        wide = width * len(list(of))
        spans.append(_spanning(latex_escape(group), wide, "c"))
        rules += [rf"\cmidrule(lr){{{start}-{start + wide - 1}}}"] if group else []
        start += wide
    return [rf" & {' & '.join(spans)} \\", "".join(rules), line]


def _spanning(text: str, width: int, align: str) -> str:
    return rf"\multicolumn{{{width}}}{{{align}}}{{{text}}}" if width > 1 else text


def _latex_cell(cell: PaperCell, decimals: int, *, spread: bool) -> tuple[str, str]:
    """Return the number with its mark, and what stands behind it."""
    text = _number(cell.mean, decimals) if cell.mean is not None else "---"
    if cell.place:
        text = rf"\{'textbf' if cell.place == 'best' else 'underline'}{{{text}}}"
    behind = _TIE["latex"] if cell.tie else ""
    behind += rf"~$\pm$~{_number(cell.sd, decimals)}" if spread and cell.sd is not None else ""
    return text, behind


def latex_escape(text: str) -> str:
    """Return text that LaTeX prints as it is, also behind the end of a table's line."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # There a bracket would be the line's own option.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def _markdown(held: PaperTable, grid: _Grid, caption: str | None, *, spread: bool) -> str:
    heads = [escape(" ".join(filter(None, head))) for head in grid.heads]
    rows = [
        [
            escape(name) + (f" ({escape(section)})" if section else ""),
            *(
                _plain_cell(cell, held.decimals, ("**{}**", "<u>{}</u>"), "markdown", spread=spread)
                for cell in cells
            ),
        ]
        for section, name, cells in grid.lines
    ]
    said = caption if caption is not None else describe(held, spread=spread)
    return "\n".join([*table([grid.corner, *heads], rows), "", said]) + "\n"


def _html(held: PaperTable, grid: _Grid, caption: str | None, *, spread: bool) -> str:
    said = html.escape(caption if caption is not None else describe(held, spread=spread))
    lines = ["<table>", f"<caption>{said}</caption>", "<thead>"]
    if any(group for group, _ in grid.heads):
        spans = [(group, len(list(of))) for group, of in groupby(grid.heads, key=lambda head: head[0])]
        cells = [
            f'<th colspan="{width}" scope="colgroup">{html.escape(group)}</th>' for group, width in spans
        ]
        lines.append(f"<tr><td></td>{''.join(cells)}</tr>")
    names = "".join(f'<th scope="col">{html.escape(name)}</th>' for _, name in grid.heads)
    lines += [f'<tr><th scope="col">{grid.corner}</th>{names}</tr>', "</thead>"]
    for section, of in groupby(grid.lines, key=lambda line: line[0]):
        lines.append("<tbody>")
        if section:
            wide = f'<th colspan="{len(grid.heads) + 1}" scope="rowgroup">{html.escape(section)}</th>'
            lines.append(f"<tr>{wide}</tr>")
        for _, name, held_cells in of:
            texts = [
                _plain_cell(cell, held.decimals, ("<b>{}</b>", "<u>{}</u>"), "html", spread=spread)
                for cell in held_cells
            ]
            numbers = "".join(f"<td>{text}</td>" for text in texts)
            lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{numbers}</tr>')
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"]) + "\n"


def _plain_cell(cell: PaperCell, decimals: int, marks: tuple[str, str], form: str, *, spread: bool) -> str:
    text = _number(cell.mean, decimals)
    if cell.place:
        text = marks[0 if cell.place == "best" else 1].format(text)
    text += _TIE[form] if cell.tie else ""
    return f"{text} ± {_number(cell.sd, decimals)}" if spread and cell.sd is not None else text


def _csv(held: PaperTable, grid: _Grid, *, spread: bool) -> str:
    """Return a line for each method; each column has its number, deviation and mark (best, second, tie)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [" ".join(filter(None, head)) for head in grid.heads]
    kinds = ("", " sd", " mark") if spread else ("", " mark")
    writer.writerow(
        [grid.corner or "column", "group", *(f"{name}{kind}" for name in names for kind in kinds)]
    )
    for section, name, cells in grid.lines:
        line = [name, section]
        for cell in cells:
            mark = " ".join(filter(None, (cell.place, "tie" if cell.tie else "")))
            numbers = [cell.mean, cell.sd] if spread else [cell.mean]
            line += ["" if value is None else _number(value, held.decimals) for value in numbers] + [mark]
        writer.writerow(line)
    return text.getvalue()
