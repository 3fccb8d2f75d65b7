"""``anobench export``: one tidy CSV."""

from __future__ import annotations

from bench.cli.options import DEFAULT_RESULTS, Json, OutFile, ResultsFolder, SuiteRun


def export(
    suite: SuiteRun, results: ResultsFolder = DEFAULT_RESULTS, out: OutFile = None, json: Json = False
) -> None:
    """Print every cell's metrics as one tidy CSV: a row for each cell and metric."""
    from bench.cli.console import hand_json, hand_out
    from bench.cli.report import read_suite
    from bench.report.export import HEADER, export_csv, export_rows

    _, plan, records = read_suite(suite, results)
    if json:
        rows = [dict(zip(HEADER, row, strict=True)) for row in export_rows(plan, records)]
        hand_json("export", {"suite": plan.suite, "rows": rows}, out)
        return
    hand_out(export_csv(plan, records), out)
