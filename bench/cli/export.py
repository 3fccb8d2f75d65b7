"""``anobench export``: one tidy CSV."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, OutFile, ResultsFolder


def export(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")],
    results: ResultsFolder = DEFAULT_RESULTS,
    out: OutFile = None,
) -> None:
    """Print every cell's metrics as one tidy CSV: a row for each cell and metric."""
    from bench.cli.console import hand_out
    from bench.cli.options import suite_name
    from bench.core.archive import Archive
    from bench.report.export import export_csv

    archive = Archive(results)
    plan = archive.plan(suite_name(suite))
    text = export_csv(plan, archive.load_all(entry.cell.key for entry in plan.entries))
    hand_out(text, out)
