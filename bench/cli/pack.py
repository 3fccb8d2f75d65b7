"""``anobench pack``: what a suite gave, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, Json, ResultsFolder, SuiteRun

if TYPE_CHECKING:
    from bench.core.archive import Archive
    from bench.core.cell import Record
    from bench.core.plan import Plan


def pack(
    suite: SuiteRun,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="By default SUITE.anobench.", show_default=False),
    ] = Path(),
    results: ResultsFolder = DEFAULT_RESULTS,
    json: Json = False,
) -> None:
    """Pack a suite's plan, records, scores and labels into one file: a baseline for check, and for sending.

    What reads results reads packs: check, merge, diff, report, table, figure, export.

    Exit status: 0 all cells are in it, 1 some of them failed, 3 some are missing.
    """
    from bench.cli.report import read_suite
    from bench.core.pack import ENDING

    archive, plan, records = read_suite(suite, results)
    path = Path(f"{plan.suite}{ENDING}") if out == Path() else out
    raise typer.Exit(packed(path, archive, plan, records, {}, json="pack" if json else ""))


def packed(
    path: Path,
    archive: Archive,
    plan: Plan,
    records: Mapping[str, Record],
    methods: Mapping[str, str],
    *,
    json: str = "",
) -> int:
    """Write a pack, say what is in it, as JSON with `json`, the command's name; return the exit status."""
    from bench.cli.console import err, hand_json
    from bench.cli.console import out as screen
    from bench.core.pack import write_pack
    from bench.report.numbers import count

    write_pack(path, archive, plan, records, methods)
    for message in archive.unreadable:
        err.print(message, style="yellow")
    keys = {entry.cell.key for entry in plan.entries}
    failed = sum(record.status == "failed" for record in records.values())
    missing, status = len(keys) - len(records), 1 if failed else 3 if len(records) < len(keys) else 0
    files = ", ".join(f"methods/{name}.py" for name in methods)
    if json:
        about = {"file": path, "bytes": path.stat().st_size, "suite": plan.suite, "cells": len(records)}
        hand_json(json, {**about, "failed": failed, "missing": missing, "methods": list(methods)})
        return status
    screen.print(
        f"{path}: {count(len(records), 'cell')} of {plan.suite}, {path.stat().st_size / 1e6:.2f} MB"
        + (f"; with {files}" if files else "")
        + (f"; {failed} failed" if failed else "")
        + (f"; {missing} missing" if missing else "")
    )
    return status
