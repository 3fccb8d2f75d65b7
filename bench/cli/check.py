"""``anobench check``: the gate for a change: is anything worse than a baseline?"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, Json, ResultsFolder, SuiteRun


def check(
    suite: SuiteRun,
    against: Annotated[
        str,
        typer.Option("--against", metavar="BASELINE", help="A pack, a results folder, or its records."),
    ],
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=50.0, metavar="POINTS", help="A smaller drop is none.")
    ] = 0.5,
    slower: Annotated[
        float | None,
        typer.Option("--slower", min=1.0, metavar="RATIO", help="Check that no method got so much slower."),
    ] = None,
    alpha: Annotated[
        float, typer.Option("--alpha", min=1e-6, max=0.5, help="How often the gate may be wrong.")
    ] = 0.01,
    means: Annotated[bool, typer.Option("--means", help="Compare means only, not single tasks.")] = False,
    json: Json = False,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown for a pull request.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every line.")] = False,
    results: ResultsFolder = DEFAULT_RESULTS,
) -> None:
    """Say whether a suite's results are worse than a baseline: means and single tasks, over images and seeds.

    Exit status: 0 everything was compared and is fine; 1 something is worse or fails now, or a method
    vanished; 2 usage; 3 nothing was compared, something is missing, or it cannot be told.
    """
    import sys

    from bench.cli.console import err, hand_json, hand_out
    from bench.cli.report import read_suite
    from bench.report.compare import gatetext
    from bench.report.compare.gate import gate
    from bench.report.compare.sides import read_baseline, side_of_archive
    from bench.report.compare.text import MOST

    archive, plan, _ = read_suite(suite, results)
    head, baseline = side_of_archive(suite, archive, plan.suite), read_baseline(against, plan.suite)
    found = gate(baseline, head, margin=margin / 100, alpha=alpha, tasks=not means, slower=slower)
    limit = sys.maxsize if every else MOST
    if json:
        hand_json("check", json_.loads(gatetext.gate_json(found)))
    else:
        hand_out(gatetext.gate_text(found, limit=limit) + "\n", None)
    if markdown is not None:
        hand_out(gatetext.gate_markdown(found, limit=limit), markdown)
    if junit is not None:
        hand_out(gatetext.gate_junit(found), junit)
    for side in (baseline, head):
        for message in side.archive.unreadable if side.archive else ():
            err.print(message, style="yellow", markup=False)
    raise typer.Exit(found.exit_status)
