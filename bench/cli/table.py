"""``anobench table``: a paper's table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, ResultsFolder


class Format(StrEnum):
    """What is written."""

    latex = "latex"
    markdown = "markdown"
    csv = "csv"
    html = "html"


class Columns(StrEnum):
    """What has a column of its own."""

    task = "task"
    dataset = "dataset"
    average = "average"


def table(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")],
    form: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.markdown,
    by: Annotated[Columns, typer.Option("--by", help="A column for each task, data set, or one average.")] = (
        Columns.dataset
    ),
    method: Annotated[
        list[str],
        typer.Option("--method", "-m", metavar="GLOB", help="Only these, in this order. Repeatable."),
    ] = [],  # noqa: B006
    dataset: Annotated[
        list[str], typer.Option("--dataset", "-d", metavar="GLOB", help="Only these. Repeatable.")
    ] = [],  # noqa: B006
    task: Annotated[list[str], typer.Option("--task", metavar="GLOB", help="Only these. Repeatable.")] = [],  # noqa: B006
    rate: Annotated[
        list[float],
        typer.Option("--rate", help="Contamination rate, as 0.1; the suite's first by default. Repeatable."),
    ] = [],  # noqa: B006
    metric: Annotated[str, typer.Option("--metric", help="Ties are shown for auroc alone.")] = "auroc",
    decimals: Annotated[int, typer.Option("--decimals", help="Of points.")] = 1,
    spread: Annotated[bool, typer.Option("--sd/--no-sd", help="Standard deviations over seeds.")] = True,
    transpose: Annotated[bool, typer.Option("--transpose", help="Methods as columns.")] = False,
    caption: Annotated[str | None, typer.Option("--caption", help="As it is; LaTeX in LaTeX.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="For LaTeX's \\ref.")] = None,
    results: ResultsFolder = DEFAULT_RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to the screen.")
    ] = None,
) -> None:
    """Print a paper's table: best bold, second underlined, † not significantly different from the best."""
    from bench.cli.console import err, hand_out
    from bench.cli.report import suite_name
    from bench.core.archive import Archive
    from bench.report.board import Board
    from bench.report.csv import table_csv
    from bench.report.evidence.evidence import Evidence
    from bench.report.html import table_html
    from bench.report.latex import latex
    from bench.report.markdown import table_markdown
    from bench.report.paper.paper import paper_table
    from bench.report.verify import load_verified

    archive = Archive(results)
    plan = archive.plan(suite_name(suite))
    evidence = Evidence(
        Board(plan, load_verified(archive, (entry.cell.key for entry in plan.entries))), archive
    )
    found = paper_table(
        evidence,
        by=by.value,
        methods=method,
        datasets=dataset,
        tasks=task,
        rates=rate,
        metric=metric,
        decimals=decimals,
        spread=spread,
    )
    found = found.turned() if transpose else found
    if form is Format.latex:
        text = latex(found, caption=caption, label=label)
    elif form is Format.html:
        text = table_html(found, caption=caption)
    elif form is Format.csv:
        text = table_csv(found, spread=spread)
    else:
        text = table_markdown(found, caption=caption)
    for name, why in evidence.why.items():
        err.print(f"ties on {name} are not shown: {why}", style="yellow", markup=False)
    hand_out(text, out)
