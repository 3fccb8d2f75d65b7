"""An archive that an earlier version wrote is read, exported to the same bytes, and reused.

``archives/before-the-rooms.zip`` holds the records, the plan, the CSV and the suite file of a run on digits,
made by commit 0b40f10, before the engine was moved into rooms. When a stock adapter that it names is changed
on purpose, its cells are new ones: take its method out of ``UNCHANGED``.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bench.core.archive import Archive
from bench.report.export import export_csv
from bench.run.prepare import prepare
from bench.suite.registry import Registry

UNCHANGED = {"random", "mahalanobis", "lof", "cap", "oc_svm_oracle"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "archives" / "before-the-rooms.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path


def test_its_records_and_scores_are_read_and_exported_to_the_same_bytes(results: Path) -> None:
    archive = Archive(results)
    plan = archive.plan("before")
    records = archive.load_all(entry.cell.key for entry in plan.entries)
    assert len(records) == len(plan.entries) == 16
    assert not archive.unreadable
    # F1max came later.
    lines = export_csv(plan, records).splitlines(keepends=True)
    known = "".join(line for line in lines if ",f1max," not in line)
    assert known.encode() == (results / "before.csv").read_bytes()
    for record in records.values():
        assert len(archive.scores(record)) == len(archive.truth(record).labels) == record.counts["test"]


def test_a_record_is_written_again_byte_for_byte(results: Path) -> None:
    archive = Archive(results)
    for key in sorted(archive.keys()):
        record = archive.load(key)
        assert record is not None
        assert record.to_json() == (archive.root / key[:2] / f"{key}.json").read_text()


def test_nothing_of_it_is_computed_again(results: Path) -> None:
    prepared = prepare(results / "before.toml", Registry(), Archive(results))
    assert {cell.method for cell in prepared.todo}.isdisjoint(UNCHANGED)
    assert len(prepared.plan.entries) == 16
