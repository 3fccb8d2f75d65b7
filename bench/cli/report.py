"""``anobench report``: the leaderboard again, from the archive alone."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, ResultsFolder, registry


def report(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")],
    rope: Annotated[
        float,
        typer.Option("--rope", min=0.0, max=50.0, metavar="POINTS", help="A smaller difference is none."),
    ] = 0.5,
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
) -> None:
    """Write a suite's leaderboard, CSV and JSON again, from its records; runs no method and needs no data."""
    from bench.cli.run import finish
    from bench.core.archive import Archive
    from bench.report.results import Results

    archive = Archive(results)
    plan = archive.plan(suite_name(suite))
    raise typer.Exit(finish(Results(plan, archive, registry=registry(bench)), rope=rope / 100))


def suite_name(given: str) -> str:
    """Return the name under which a suite's plan is kept, from a name or a path."""
    return given.rsplit("/", 1)[-1].removesuffix(".toml")
