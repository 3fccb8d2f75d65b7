"""``anobench submit``: one method's results, packed for somebody else's archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder, SuiteRun, registry


def submit(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="As the leaderboard names it, or a pattern: 'dn2*'.")
    ],
    suite: SuiteRun,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="By default SUITE-METHOD.anobench.", show_default=False
        ),
    ] = Path(),
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Pack one method's records, scores and labels, and its file if it is your own, for another archive.

    Who receives it checks it with anobench verify, which runs a random part of it again.

    Exit status: 0 all cells are in it, 1 some of them failed, 3 some are missing.
    """
    from bench.cli.pack import packed
    from bench.cli.report import read_suite
    from bench.core.pack import ENDING
    from bench.report.submitted.packing import own_methods, submitted_part

    archive, plan, records = read_suite(suite, results)
    part = submitted_part(plan, method)
    keys = {entry.cell.key for entry in part.entries}
    held = {key: record for key, record in records.items() if key in keys}
    methods = own_methods(part, held, registry(bench))
    name = "-".join(dict.fromkeys(row.method for row in part.rows))
    path = Path(f"{plan.suite}-{name[:100]}{ENDING}") if out == Path() else out
    raise typer.Exit(packed(path, archive, part, held, methods, json="submit" if json else ""))
