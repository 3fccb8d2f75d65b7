"""Archives of several machines become one: agreement is copied, disagreement is reported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.errors import ArchiveError
from bench.core.merge import merge
from tests.factory import make_cell, make_plan_of, run_cells


def cell(task: str, method: str = "mean_distance") -> Cell:
    return make_cell(task, method, backbone="pixels[size=4]")


CELLS = [cell(task) for task in "01234"]
FAILS = cell("0", "no such method")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def a(tmp_path: Path) -> Path:
    """The archive of one machine, by a real run: cells 0 to 2, and one that fails."""
    archive = Archive(tmp_path / "a")
    run_cells([*CELLS[:3], FAILS], archive)
    archive.write_plan(make_plan_of(CELLS))
    return archive.results


@pytest.fixture
def b(tmp_path: Path) -> Path:
    """That of another: cells 2 to 4."""
    archive = Archive(tmp_path / "b")
    run_cells(CELLS[2:], archive)
    archive.write_plan(make_plan_of(CELLS))
    return archive.results


def change(results: Path, at: Cell) -> None:
    """Give a cell other scores, as another library on another machine would."""
    archive = Archive(results)
    record = archive.load(at.key)
    assert record is not None
    archive.write(record, archive.scores(record) + np.float32(1e-3))


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "claims")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_union_is_there_byte_for_byte_and_again_changes_nothing(a: Path, b: Path, tmp_path: Path) -> None:
    before = content(a), content(b)
    merged = merge([a, b], tmp_path / "c")
    assert (merged.copied, merged.same, merged.conflicts, merged.skipped) == (6, 0, [], [])
    assert merged.exit_status == 0
    joined = content(tmp_path / "c")
    assert joined == {**before[1], **before[0]}, "of what both have, the first's"
    assert (content(a), content(b)) == before
    again = merge([a, b], tmp_path / "c")
    assert (again.copied, again.same) == (0, 6)
    assert content(tmp_path / "c") == joined
    archive = Archive(tmp_path / "c")
    for record in archive.load_all(each.key for each in CELLS).values():
        assert len(archive.truth(record).labels) == len(archive.scores(record))


def test_a_conflict_names_both_places_and_neither_is_taken(a: Path, b: Path, tmp_path: Path) -> None:
    change(b, CELLS[2])
    for order in ([a, b], [b, a]):
        into = tmp_path / f"into-{order[0].name}"
        merged = merge(order, into)
        assert merged.exit_status == 1
        assert [conflict.cell for conflict in merged.conflicts] == [CELLS[2]]
        assert {place for place, _ in merged.conflicts[0].found} == {a, b}
        assert str(a) in str(merged.conflicts[0])
        assert str(b) in str(merged.conflicts[0])
        assert Archive(into).keys() == {each.key for each in (*CELLS, FAILS)} - {CELLS[2].key}


def test_a_conflict_with_the_destination_leaves_it_as_it_is(a: Path, b: Path) -> None:
    change(b, CELLS[2])
    own = {name: data for name, data in content(a).items() if CELLS[2].key in name}
    merged = merge([b], a)
    assert merged.exit_status == 1
    assert {name: data for name, data in content(a).items() if CELLS[2].key in name} == own
    assert Archive(a).keys() == {each.key for each in (*CELLS, FAILS)}, "all others are joined"


def test_the_same_scores_in_other_bytes_are_no_conflict(a: Path, b: Path, tmp_path: Path) -> None:
    archive = Archive(b)
    record = archive.load(CELLS[2].key)
    assert record is not None
    scores = archive.scores(record)
    path = b / "records" / CELLS[2].key[:2] / f"{CELLS[2].key}.npz"
    np.savez_compressed(path, scores=scores)
    archive.adopt(record, path.read_bytes(), None)
    merged = merge([a, b], tmp_path / "c")
    assert merged.conflicts == []
    assert merged.skipped == []


def test_scores_go_before_a_failure(a: Path, b: Path, tmp_path: Path) -> None:
    archive = Archive(a)
    record = archive.load(CELLS[3].key) or Archive(b).load(CELLS[3].key)
    assert record is not None
    reason = {"kind": "timeout", "reason": "too slow", "traceback": ""}
    failed = replace(record, status="failed", metrics={}, error=reason, scores_sha256="", truth="")
    archive.write(failed, None)
    for sources in ([a, b], [b, a]):
        merge(sources, tmp_path / sources[0].name / "into")
        there = Archive(tmp_path / sources[0].name / "into").load(CELLS[3].key)
        assert there is not None
        assert there.status == "ok"
    merged = merge([b], a)
    assert merged.recovered == 1
    assert merge([b], a).recovered == 0


def test_torn_and_foreign_files_are_reported_and_skipped(a: Path, b: Path, tmp_path: Path) -> None:
    torn, foreign, lost, labels = CELLS[0], CELLS[1], CELLS[3], CELLS[4]
    records = a / "records"
    path = records / torn.key[:2] / f"{torn.key}.json"
    path.write_text(path.read_text()[:100])
    (records / foreign.key[:2] / f"{foreign.key}.json").write_text('{"hello": "world"}')
    (records / "README").write_text("not ours")
    (b / "records" / lost.key[:2] / f"{lost.key}.npz").write_bytes(b"PK")
    truth = Archive(b).load(labels.key)
    assert truth is not None
    (b / "records" / "tests" / f"{truth.truth}.npz").unlink()
    (b / "records" / "plans" / "torn.json").write_text("{")
    merged = merge([a, b], tmp_path / "c")
    skipped = "\n".join(merged.skipped)
    for part in (torn.key, foreign.key, lost.key, f"{truth.truth}.npz", "torn.json"):
        assert part in skipped
    assert merged.exit_status == 0
    assert Archive(tmp_path / "c").keys() == {CELLS[2].key, labels.key, FAILS.key}
    assert not (tmp_path / "c" / "records" / "README").exists()


def test_an_unreadable_record_at_the_destination_is_replaced_and_kept_aside(a: Path, b: Path) -> None:
    path = a / "records" / CELLS[2].key[:2] / f"{CELLS[2].key}.json"
    path.write_text("torn")
    merged = merge([b], a)
    assert merged.copied == 3
    assert str(path) in merged.skipped[0]
    assert Archive(a).load(CELLS[2].key) is not None
    assert path.with_name(f"{path.name}.unreadable").read_text() == "torn"


def test_another_plan_of_the_same_name_is_reported(a: Path, b: Path, tmp_path: Path) -> None:
    Archive(b).write_plan(make_plan_of(CELLS[:2]))
    merged = merge([a, b], tmp_path / "c")
    assert len(merged.notes) == 1
    assert "different plan of the suite 'trial'" in merged.notes[0]
    assert Archive(tmp_path / "c").plan("trial") == make_plan_of(CELLS)
    (tmp_path / "c" / "records" / "plans" / "trial.json").write_text("torn")
    assert any("trial.json cannot be read" in message for message in merge([a], tmp_path / "c").skipped)
    assert Archive(tmp_path / "c").plan("trial") == make_plan_of(CELLS)


def test_what_is_no_archive_is_a_clear_error(a: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="has no archive"):
        merge([a, tmp_path / "nowhere"], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(ArchiveError, match="both a source and the destination"):
        merge([a], a)


def test_a_destination_that_cannot_be_written_is_a_clear_error(a: Path, tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "c")
    with pytest.raises(ArchiveError, match="cannot be"):
        merge([a], tmp_path / "c")
