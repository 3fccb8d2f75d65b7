"""The tidy CSV: one line for each cell and metric, in the plan's order, with all digits."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pandas as pd

from bench.core.selector import parse
from bench.report.export import HEADER, export_csv, export_rows
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROWS = (row("a[backbone=pixels]"), row("b", stochastic=True))
COLUMNS = columns(digits=["0", "1"])
PLAN = make_plan(ROWS, COLUMNS, rates=(0.0, 0.1), seeds=(1, 0), suite="toy")


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_header_is_the_agreed_one() -> None:
    text = export_csv(PLAN, {})
    assert text.splitlines()[0] == (
        "suite,dataset,task,method,params,backbone,contamination,seed,metric,value,status"
    )
    assert "\r" not in text
    assert text.endswith("\n")


def test_every_cell_has_one_line_for_each_metric() -> None:
    records = make_records(PLAN)
    rows = lines(export_csv(PLAN, records))
    cells = {entry.cell.key for entry in PLAN.entries}
    assert len(rows) == 4 * len(cells)
    assert {line["metric"] for line in rows} == {"auroc", "ap", "fpr95", "f1max"}
    assert {line["status"] for line in rows} == {"ok"}
    assert len({tuple(line[name] for name in HEADER[:9]) for line in rows}) == len(rows)


def test_values_have_all_digits() -> None:
    records = make_records(PLAN, lambda _: 0.1 + 0.2)
    rows = [line for line in lines(export_csv(PLAN, records)) if line["metric"] == "auroc"]
    assert {line["value"] for line in rows} == {"0.30000000000000004"}


def test_the_order_is_that_of_the_plan_not_of_running() -> None:
    records = make_records(PLAN)
    turned = replace(PLAN, entries=PLAN.entries[::-1])
    text = export_csv(PLAN, records)
    assert export_csv(turned, dict(reversed(records.items()))) == text
    places = [
        (line["method"], line["task"], line["contamination"], line["seed"])
        for line in lines(text)
        if line["metric"] == "auroc"
    ]
    assert places[:4] == [
        ("a", "0", "0.0", ""),
        ("a", "0", "0.1", "1"),
        ("a", "0", "0.1", "0"),
        ("a", "1", "0.0", ""),
    ]
    assert places[6:10] == [
        ("b", "0", "0.0", "1"),
        ("b", "0", "0.0", "0"),
        ("b", "0", "0.1", "1"),
        ("b", "0", "0.1", "0"),
    ]


def test_failed_and_missing_cells_have_no_value() -> None:
    records = make_records(PLAN)
    first, second = PLAN.entries[0].cell, PLAN.entries[1].cell
    records[first.key] = failure(first)
    del records[second.key]
    rows = lines(export_csv(PLAN, records))
    holes = {(line["status"], line["seed"], line["task"]) for line in rows if not line["value"]}
    assert holes == {("failed", "", "0"), ("missing", "1", "0")}
    assert all(line["status"] == "ok" for line in rows if line["value"])
    assert len(rows) == 4 * len({entry.cell.key for entry in PLAN.entries})


def test_an_undefined_metric_is_empty() -> None:
    records = make_records(PLAN)
    key = PLAN.entries[0].cell.key
    records[key] = replace(records[key], metrics={})
    assert [(line["status"], line["value"]) for line in lines(export_csv(PLAN, records))][:3] == [
        ("ok", "")
    ] * 3


def test_parameters_are_one_field_that_can_be_run() -> None:
    entry = PLAN.entries[0]
    params = (("k", 2), ("metric", "l2"), ("on", True), ("text", 'a,"b"'))
    plan = replace(PLAN, entries=(replace(entry, cell=replace(entry.cell, params=params)),))
    line = lines(export_csv(plan, {}))[0]
    assert line["method"] == "a"
    assert line["backbone"] == "pixels"
    assert line["params"].startswith("k=2,metric=l2,on=true,")
    assert list(parse(f"{line['method']}[{line['params']}]").params) == ["k", "metric", "on", "text"]


def test_timings_and_dates_are_not_in_it() -> None:
    records = make_records(PLAN)
    later = {
        key: replace(record, created="2031-01-01T00:00:00+00:00", timing=None, environment={})
        for key, record in records.items()
    }
    assert export_csv(PLAN, later) == export_csv(PLAN, records)


def test_pandas_reads_it() -> None:
    frame = pd.read_csv(io.StringIO(export_csv(PLAN, make_records(PLAN))))
    assert tuple(frame.columns) == HEADER
    assert frame["value"].dtype == "float64"
    assert frame.groupby("metric").size().nunique() == 1


def test_an_empty_plan_has_a_header_only() -> None:
    assert export_csv(replace(PLAN, entries=()), {}) == ",".join(HEADER) + "\n"
    assert list(export_rows(replace(PLAN, entries=()), {})) == []


def test_rates_stand_in_the_plans_order() -> None:
    plan = make_plan(ROWS, COLUMNS, rates=(0.2, 0.0, 0.1), seeds=(0,))
    rates = [line["contamination"] for line in lines(export_csv(plan, {}))]
    assert rates[:12] == ["0.2"] * 4 + ["0.0"] * 4 + ["0.1"] * 4


def test_what_is_planned_twice_in_one_place_is_one_line() -> None:
    records = make_records(PLAN)
    assert export_csv(replace(PLAN, entries=PLAN.entries * 2), records) == export_csv(PLAN, records)


def test_numbers_of_a_failed_cell_are_not_written() -> None:
    cell = PLAN.entries[0].cell
    held = {cell.key: replace(failure(cell), metrics={"auroc": 0.9})}
    line = lines(export_csv(PLAN, held))[0]
    assert (line["metric"], line["status"], line["value"]) == ("auroc", "failed", "")
