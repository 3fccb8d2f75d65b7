"""``anobench export``: every number of a suite, in the format of another tool."""

from __future__ import annotations

import enum
import json as json_
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    DEFAULT_RESULTS,
    BenchFolders,
    Json,
    OutFile,
    ResultsFolder,
    SuiteRun,
    registry,
)
from bench.core.errors import AnobenchError


class ExportFormat(enum.StrEnum):
    """What `anobench export` writes."""

    csv = "csv"
    eee = "eee"
    mlflow = "mlflow"
    croissant = "croissant"


def export(
    suite: SuiteRun,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            "-f",
            help="csv: a line for each cell and metric. eee: means in the schema of Every Eval Ever, a file "
            "for each method. mlflow: a run for each cell, in a file store.",
        ),
    ] = ExportFormat.csv,
    organization: Annotated[
        str, typer.Option("--organization", metavar="NAME", help="With eee: who ran it.")
    ] = "unknown",
    results: ResultsFolder = DEFAULT_RESULTS,
    out: OutFile = None,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Print every cell's metrics as one tidy CSV: a row for each cell and metric; or write another format.

    With eee and mlflow --out is a folder. Data sets have Croissant metadata: anobench data croissant.
    """
    from bench.cli.console import err, hand_json, hand_out
    from bench.cli.report import read_suite

    if form is ExportFormat.croissant:
        raise AnobenchError(
            "Croissant describes data sets, not results: anobench data croissant NAME, once for each"
        )
    if form is not ExportFormat.csv and out is None:
        raise AnobenchError(f"--format {form.value} writes several files; name a folder with --out")
    if json and form is not ExportFormat.csv:
        raise AnobenchError("--json prints the rows of the CSV; leave out --format")
    archive, plan, records = read_suite(suite, results)
    if form is ExportFormat.csv or out is None:
        from bench.report.export import HEADER, export_csv, export_rows

        if json:
            rows = [dict(zip(HEADER, row, strict=True)) for row in export_rows(plan, records)]
            hand_json("export", {"suite": plan.suite, "rows": rows}, out)
            return
        hand_out(export_csv(plan, records), out)
        return
    folder = _folder(out)
    if form is ExportFormat.mlflow:
        from bench.report.tracking import export_mlflow

        written, there = export_mlflow(plan, records, folder)
        err.print(f"{folder}: {written} runs written, {there} were there")
        return
    from bench.report.board import Board
    from bench.report.everyeval import logs
    from bench.report.evidence.evidence import Evidence

    found = logs(Evidence(Board(plan, records), archive), registry(bench), organization=organization)
    for name, log in found.items():
        hand_out(json_.dumps(log, indent=1, ensure_ascii=False, allow_nan=False) + "\n", folder / name)
    err.print(f"{folder}: {len(found)} files written")


def _folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise AnobenchError(f"--out {out} is a file; this format needs a folder")
    return out
