"""``anobench export``: one tidy CSV."""

from __future__ import annotations

from bench.cli.options import DEFAULT_RESULTS, OutFile, ResultsFolder, SuiteRun


def export(suite: SuiteRun, results: ResultsFolder = DEFAULT_RESULTS, out: OutFile = None) -> None:
    """Print every cell's metrics as one tidy CSV: a row for each cell and metric."""
    from bench.cli.console import hand_out
    from bench.cli.report import read_suite
    from bench.report.export import export_csv

    _, plan, records = read_suite(suite, results)
    hand_out(export_csv(plan, records), out)
