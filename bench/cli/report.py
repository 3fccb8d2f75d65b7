"""``anobench report``: the leaderboard again, from the archive alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    DEFAULT_RESULTS,
    BenchFolders,
    Json,
    ResultsFolder,
    SuiteRun,
    registry,
    suite_name,
)

if TYPE_CHECKING:
    from bench.core.archive import Archive
    from bench.core.cell import Record
    from bench.core.plan import Plan


def report(
    suite: SuiteRun,
    rope: Annotated[
        float,
        typer.Option("--rope", min=0.0, max=50.0, metavar="POINTS", help="A smaller difference is none."),
    ] = 0.5,
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Write a suite's leaderboard, CSV and JSON again, from its records; runs no method and needs no data."""
    from bench.cli.run import finish
    from bench.report.results import Results

    archive, plan, records = read_suite(suite, results)
    known = registry(bench)
    known.add_named(suite)
    found = Results(plan, archive, records, registry=known)
    raise typer.Exit(finish(found, rope=rope / 100, json="report" if json else ""))


def read_suite(given: str, results: Path) -> tuple[Archive, Plan, dict[str, Record]]:
    """Return the archive, and a suite's plan and records in it; by its name, its file or its pack."""
    from bench.core.archive import Archive
    from bench.core.pack import PackedArchive, is_pack
    from bench.core.submitted import marked
    from bench.report.verify import load_verified

    packed = is_pack(Path(given))
    archive = PackedArchive(Path(given), results) if packed else Archive(results)
    plan = archive.plan(archive.suites()[0] if packed else suite_name(given))
    records = load_verified(archive, (entry.cell.key for entry in plan.entries))
    return archive, marked(plan, archive, records), records
