"""The leaderboard's section on purification, and the CSV's lines."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from bench.core.cell import Record
from bench.report.export import export_csv
from bench.report.leaderboard.leaderboard import leaderboard
from tests.report.report_factory import columns, make_plan, make_records, row

PLAN = make_plan(
    (row("bare[backbone=pixels]"), row("wrapped", stochastic=True), row("other", stochastic=True)),
    columns(digits=["0", "1"]),
    rates=(0.0, 0.1),
    suite="toy",
)


def purified() -> dict[str, Record]:
    """Return records in which ``wrapped`` was purified: badly at 10 %, where there is something to find."""
    records = make_records(PLAN)
    for key, record in records.items():
        if record.cell.method == "wrapped":
            rate = record.cell.contamination.rate
            more = {"kept_anomalous": rate / 2, "normals_lost": 0.25} | (
                {"filter_auroc": 0.75} if rate else {}
            )
            records[key] = replace(record, metrics={**record.metrics, **more})
    return records


def test_the_section_shows_the_methods_that_choose_at_each_rate() -> None:
    text = leaderboard(PLAN, purified())
    section = text.split("Purification of the training images")[1].split("</details>")[0]
    lines = [line for line in section.splitlines() if line.startswith("| wrapped")]
    assert len(lines) == 2
    clean, dirty = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert [cell.split("\N{NO-BREAK SPACE}")[0] for cell in clean[1:]] == ["0.0", "25.0"]
    assert [cell.split("\N{NO-BREAK SPACE}")[0] for cell in dirty[1:]] == ["5.0", "75.0", "25.0"]
    assert "| bare" not in section
    assert "| other" not in section


def test_without_such_methods_there_is_no_section() -> None:
    assert "Purification" not in leaderboard(PLAN, make_records(PLAN))


def test_the_csv_has_a_line_for_each() -> None:
    rows = list(csv.DictReader(io.StringIO(export_csv(PLAN, purified()))))
    found = [(line["contamination"], line["metric"]) for line in rows if line["method"] == "wrapped"]
    assert found.count(("0.1", "filter_auroc")) == 4
    assert found.count(("0.0", "filter_auroc")) == 0
    assert found.count(("0.0", "kept_anomalous")) == 4
    assert {line["metric"] for line in rows if line["method"] == "bare"} == {"auroc", "ap", "fpr95", "f1max"}
