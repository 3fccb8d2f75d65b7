"""``anobench report``: the leaderboard again, from the archive alone."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, ResultsFolder, registry, suite_name


def report(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")],
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
) -> None:
    """Write a suite's leaderboard, CSV and JSON again, from its records; runs no method and needs no data."""
    from bench.cli.run import finish
    from bench.core.archive import Archive
    from bench.report.results import Results

    archive = Archive(results)
    plan = archive.plan(suite_name(suite))
    raise typer.Exit(finish(Results(plan, archive, registry=registry(bench))))
