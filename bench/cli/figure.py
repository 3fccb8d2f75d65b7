"""``anobench figure``: one figure of a suite, as a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder, SuiteRun, registry

if TYPE_CHECKING:
    from bench.report.figures.common import Choice


class Form(StrEnum):
    """How an image is written."""

    svg = "svg"
    pdf = "pdf"
    png = "png"


class Time(StrEnum):
    """Which seconds."""

    warm = "warm"
    cold = "cold"


_KINDS = (
    "contamination, critical-difference, heatmap, histogram, losses, maps, pareto, reproduction, roc or "
    "training."
)

_Kind = Annotated[str, typer.Argument(metavar="KIND", help=_KINDS)]
_Format = Annotated[Form | None, typer.Option("--format", "-f", help="By default that of --out, or svg.")]
_Output = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", "--output", metavar="FILE", help="By default <results>/figures/<suite>-<kind>….svg."
    ),
]
_Setting = Annotated[
    str | None, typer.Option("--setting", help="Methods of this setting, not those that rank.")
]
_Rate = Annotated[
    float | None, typer.Option("--rate", help="The contamination rate; the suite's first by default.")
]
_Dataset = Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")]
_Task = Annotated[
    str | None, typer.Option("--task", help="The task of a histogram or of ROC curves: digits/3.")
]
_Methods = Annotated[
    list[str] | None,
    typer.Option("--method", "-m", help="Only these methods, as the leaderboard names them. Repeatable."),
]
_Seed = Annotated[int | None, typer.Option("--seed", help="The seed of a histogram or of ROC curves.")]
_Time = Annotated[Time | None, typer.Option("--time", help="Which seconds pareto shows.")]


def figure(
    suite: SuiteRun,
    kind: _Kind,
    form: _Format = None,
    output: _Output = None,
    setting: _Setting = None,
    rate: _Rate = None,
    dataset: _Dataset = None,
    task: _Task = None,
    method: _Methods = None,
    seed: _Seed = None,
    time: _Time = None,
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Draw one figure of a suite from its records: runs no method and needs no data.

    Prints where it is and what it shows, for those who cannot see it.
    """
    from bench.cli.console import err, hand_json, out
    from bench.cli.report import read_suite
    from bench.core.files import write_atomically
    from bench.report.board import Board
    from bench.report.figures.common import ALL, ONE_CLASS, Choice
    from bench.report.figures.kinds import Sources, prepare
    from bench.report.published.read import load_published

    the_form = _form(form, output)
    archive, plan, records = read_suite(suite, results)
    choice = Choice(
        setting=setting or ONE_CLASS,
        rate=rate,
        dataset=dataset,
        task=task,
        methods=tuple(method or ()),
        seed=seed,
        time=time.value if time else ALL.time,
    )
    published = load_published(registry(bench).folders) if kind == "reproduction" else ()
    sources = Sources(board=Board(plan, records), archive=archive, published=published)
    data = prepare(kind, sources, choice)

    from bench.report.figures.draw import render

    path = output or results / "figures" / _name(plan.suite, kind, choice, the_form.value)
    write_atomically(path, render(data, the_form.value))
    for message in archive.unreadable:
        err.print(message, style="yellow", markup=False)
    if json:
        hand_json("figure", {"suite": plan.suite, "kind": kind, "file": path, "shows": data.description})
        return
    out.print(f"{path}\n{data.description}", markup=False)


def _form(form: Form | None, output: Path | None) -> Form:
    """Return the format that was asked for, or that the file's ending means."""
    from bench.core.errors import FigureError

    ending = output.suffix.removeprefix(".").lower() if output else ""
    if output is not None and ending not in Form.__members__:
        raise FigureError(f"--out {output}: expected a file that ends in .svg, .pdf or .png")
    if form is not None and ending and ending != form.value:
        raise FigureError(
            f"--out {output} and --format {form.value} do not agree; leave --format out, or change one"
        )
    return form or Form(ending or "svg")


def _name(suite: str, kind: str, choice: Choice, ending: str) -> str:
    """Return a file's name that tells figures of different choices apart."""
    import hashlib
    import re

    from bench.report.figures.kinds import chosen, file_name

    values = [
        value for held in chosen(choice).values() for value in (held if isinstance(held, tuple) else (held,))
    ]
    words = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", str(value)).strip("-") for value in values)
    if len(words) > 80:
        words = f"{words[:70]}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return file_name(suite, f"{kind}-{words}" if words else kind, ending)
