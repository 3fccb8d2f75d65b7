"""``anobench diff``: what moved between two archives or two commits."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bench.cli.options import Json, OutFile


class Metric(StrEnum):
    """What is compared."""

    auroc = "auroc"
    ap = "ap"
    fpr95 = "fpr95"


def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A results folder, a CSV of export, or a git commit: REV:PATH, REV."
        ),
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, to compare with A.")],
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    metric: Annotated[
        Metric, typer.Option("--metric", help="Only auroc is tested over images.")
    ] = Metric.auroc,
    alpha: Annotated[
        float, typer.Option("--alpha", min=0.0, max=1.0, help="Level of the tests together.")
    ] = 0.05,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", min=0.0, help="In points: what counts without images to test."),
    ] = 0.5,
    every: Annotated[bool, typer.Option("--all", help="Show every line.")] = False,
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Say what moved from A to B: each method's mean over its tasks, and each task, over images and seeds.

    Exit status: 0 nothing got worse (or too few seeds to tell), 1 something did: significantly, it fails now,
    or it is gone; 3 nothing to compare.
    """
    from bench.cli.console import err, hand_json, hand_out
    from bench.report.compare.diff import diff as compare
    from bench.report.compare.sides import read_side
    from bench.report.compare.text import MOST, diff_text

    sides = [read_side(given, suite) for given in (before, after)]
    found = compare(*sides, metric=metric.value, alpha=alpha, tolerance=tolerance / 100)
    limit = len(found.changes) + len(found.means) if every else MOST
    if json:
        hand_json("diff", {"a": before, "b": after, "exit_status": found.exit_status, "diff": found}, out)
    else:
        hand_out(diff_text(found, limit=limit).rstrip("\n") + "\n", out)
    for side in sides:
        for message in side.archive.unreadable if side.archive else ():
            err.print(message, style="yellow", markup=False)
    raise typer.Exit(found.exit_status)
