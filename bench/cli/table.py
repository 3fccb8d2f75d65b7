"""``anobench table``: a paper's table."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, Json, OutFile, ResultsFolder, SuiteRun

if TYPE_CHECKING:
    from bench.report.table import Table


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


_Form = Annotated[Format, typer.Option("--format", "-f", help="What to write.")]
_By = Annotated[Columns, typer.Option("--by", help="A column for each task, data set, or one average.")]
_Methods = Annotated[
    list[str], typer.Option("--method", "-m", metavar="GLOB", help="Only these, in this order. Repeatable.")
]
_Datasets = Annotated[
    list[str], typer.Option("--dataset", "-d", metavar="GLOB", help="Only these. Repeatable.")
]
_Tasks = Annotated[list[str], typer.Option("--task", metavar="GLOB", help="Only these. Repeatable.")]
_Rates = Annotated[
    list[float],
    typer.Option("--rate", help="Contamination rate, as 0.1; the suite's first by default. Repeatable."),
]
_Metric = Annotated[str, typer.Option("--metric", help="Ties are shown for auroc alone.")]
_Decimals = Annotated[int, typer.Option("--decimals", help="Of points.")]
_Spread = Annotated[bool, typer.Option("--sd/--no-sd", help="Standard deviations over seeds.")]
_Transpose = Annotated[bool, typer.Option("--transpose", help="Methods as columns.")]
_Caption = Annotated[str | None, typer.Option("--caption", help="As it is; LaTeX in LaTeX.")]
_Label = Annotated[str | None, typer.Option("--label", help="For LaTeX's \\ref.")]


def table(
    suite: SuiteRun,
    form: _Form = Format.markdown,
    by: _By = Columns.dataset,
    method: _Methods = [],  # noqa: B006
    dataset: _Datasets = [],  # noqa: B006
    task: _Tasks = [],  # noqa: B006
    rate: _Rates = [],  # noqa: B006
    metric: _Metric = "auroc",
    decimals: _Decimals = 1,
    spread: _Spread = True,
    transpose: _Transpose = False,
    caption: _Caption = None,
    label: _Label = None,
    results: ResultsFolder = DEFAULT_RESULTS,
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Print a paper's table: best bold, second underlined, † not significantly different from the best."""
    from bench.cli.console import err, hand_json, hand_out
    from bench.cli.report import read_suite
    from bench.report.board import Board
    from bench.report.evidence.evidence import Evidence
    from bench.report.paper.paper import paper_table

    archive, plan, records = read_suite(suite, results)
    evidence = Evidence(Board(plan, records), archive)
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
    for name, why in evidence.why.items():
        err.print(f"ties on {name} are not shown: {why}", style="yellow", markup=False)
    if json:
        hand_json("table", {"suite": plan.suite, "table": found, "no ties": dict(evidence.why)}, out)
        return
    hand_out(_rendered(found, form, caption, label, spread=spread), out)


def _rendered(found: Table, form: Format, caption: str | None, label: str | None, *, spread: bool) -> str:
    from bench.report.csv import table_csv
    from bench.report.html import table_html
    from bench.report.latex import latex
    from bench.report.markdown import table_markdown

    if form is Format.latex:
        return latex(found, caption=caption, label=label)
    if form is Format.html:
        return table_html(found, caption=caption)
    if form is Format.csv:
        return table_csv(found, spread=spread)
    return table_markdown(found, caption=caption)
