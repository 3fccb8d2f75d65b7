"""``anobench check``: the gate for a change: is anything worse than a baseline?"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder, SuiteRun, registry


def check(
    suite: SuiteRun,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="BASELINE", help="A pack, a results folder, or its records."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="REV", help="Instead: run the suite at this git revision first."),
    ] = None,
    keep_base: Annotated[
        Path | None, typer.Option("--keep-base", metavar="DIR", help="Keep the results of --base here.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=50.0, metavar="POINTS", help="A smaller drop is none.")
    ] = 0.5,
    slower: Annotated[
        float | None,
        typer.Option(
            "--slower", min=1.0, metavar="RATIO", help="Check that no method got so much slower, e.g. 1.2."
        ),
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
    device: Annotated[str, typer.Option("--device", help="Of --base, as for anobench run.")] = "auto",
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
) -> None:
    """Say whether a suite's results are worse than a baseline: means and single tasks, over images and seeds.

    The baseline is a file or folder (--against), or is run now from another revision of the code (--base).

    Exit status: 0 everything was compared and is fine; 1 something is worse or fails now, or a method
    vanished; 2 usage, or the base cannot run; 3 nothing was compared, something is missing, or it cannot be
    told.
    """
    import sys

    from bench.cli.console import err, hand_json, hand_out
    from bench.cli.report import read_suite
    from bench.core.errors import AnobenchError
    from bench.core.pack import is_pack
    from bench.report.compare import gatetext
    from bench.report.compare.gate import gate
    from bench.report.compare.sides import read_baseline, side_of_archive
    from bench.report.compare.text import MOST
    from bench.run import live
    from bench.run.basegate import gate_at_revision

    if (against is None) == (base is None):
        raise AnobenchError("give either --against BASELINE (a pack or a folder) or --base REV")
    if keep_base is not None and base is None:
        raise AnobenchError("--keep-base DIR goes with --base REV")
    archive, plan, _ = read_suite(suite, results)
    head = side_of_archive(suite, archive, plan.suite)
    if against is not None:
        baseline = read_baseline(against, plan.suite)
        found = gate(baseline, head, margin=margin / 100, alpha=alpha, tasks=not means, slower=slower)
    elif base is not None:
        found, baseline = gate_at_revision(
            base,
            plan.suite if is_pack(Path(suite)) else suite,
            head,
            plan,
            registry(bench),
            folders=bench,
            margin=margin / 100,
            alpha=alpha,
            tasks=not means,
            slower=slower,
            device=device,
            keep=keep_base,
            say=live.say,
            show=lambda line: err.print(line, markup=False, highlight=False),
        )
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
