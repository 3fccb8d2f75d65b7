"""``anobench export``: one tidy CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, ResultsFolder


def export(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")],
    results: ResultsFolder = DEFAULT_RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to the screen.")
    ] = None,
) -> None:
    """Print every cell's metrics as one tidy CSV: a row for each cell and metric."""
    from bench.cli.console import hand_out
    from bench.cli.report import suite_name
    from bench.core.archive import Archive
    from bench.report.export import export_csv
    from bench.report.verify import load_verified

    archive = Archive(results)
    plan = archive.plan(suite_name(suite))
    text = export_csv(plan, load_verified(archive, (entry.cell.key for entry in plan.entries)))
    hand_out(text, out)
