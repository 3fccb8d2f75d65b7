"""Fields that a spreadsheet would run are text in a CSV, and themselves when we read it; numbers stay."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.archive import Archive
from bench.report.compare.sides import side_of_texts
from bench.report.csv import as_text, read_text, table_csv
from bench.report.export import export_csv
from bench.report.results import Results
from bench.report.table import TableCell, TableColumn, table_of
from tests.report.report_factory import columns, make_plan, make_records, row

FORMULAS = [
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "＝1",
]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_gets_an_apostrophe(name: str) -> None:
    assert as_text(name) == f"'{name}"
    assert read_text(as_text(name)) == name


@pytest.mark.parametrize(
    "field", ["", "-1", "+0.5", "-1e-05", "k=5,size=16", "dn2", "'quoted'", "a=b", "1-2"]
)
def test_numbers_and_plain_names_stay(field: str) -> None:
    assert as_text(field) == field == read_text(field)


@given(st.text(alphabet="'=+-@\t\r\n＝a1.e", max_size=6))
def test_reading_takes_off_what_writing_put_on(field: str) -> None:
    written = as_text(field)
    assert read_text(written) == field
    assert written[:1] not in tuple("=+-@\t\r\n＝") or not written or float(written) == float(field)


@pytest.mark.parametrize("name", [*FORMULAS, "NA", "nan", "None", "-7"])
def test_an_export_reads_back_as_it_was(name: str, tmp_path: Path) -> None:
    plan = make_plan((row("a"), row("b")), columns(**{"=set": [name, "plain"]}), suite="toy")
    records = make_records(plan)
    text = export_csv(plan, records)
    for line in csv.reader(io.StringIO(text, newline="")):
        for field in line:
            assert field[:1] not in tuple("=+@\t\r") or not field
            assert not field.startswith("-") or field == name == "-7"
    side = side_of_texts("a", [("a.csv", text)])
    assert {place.task for place in side.cells} == {name, "plain"}
    assert {place.dataset for place in side.cells} == {"=set"}
    frame = Results(plan, Archive(tmp_path), records).frame()
    assert set(frame["task"]) == {name, "plain"}
    assert frame["value"].dtype == "float64"
    assert frame["value"].notna().all()


def test_a_table_is_safe_and_its_numbers_are_numbers() -> None:
    table = table_of(
        ["=1+1", "plain"],
        [(TableColumn("@head", "points"), [TableCell(0.5), TableCell(0.25)])],
    )
    lines = list(csv.reader(io.StringIO(table_csv(replace(table, corner="+corner")))))
    assert lines[0][:3] == ["'+corner", "group", "'@head"]
    assert [line[0] for line in lines[1:]] == ["'=1+1", "plain"]
    assert [float(line[2]) for line in lines[1:]] == [50.0, 25.0]
