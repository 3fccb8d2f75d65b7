"""The archive: what was written is read back, what cannot be read is reported, kept and never fatal."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError
from bench.core.files import write_atomically
from bench.core.plan import Plan
from tests.factory import make_cell, make_plan_of, make_record

SCORES = np.array([0.5, -np.inf, np.inf, 3e38], np.float32)


def cell(seed: int = 0) -> Cell:
    return make_cell("a", "m", dataset="toy", seed=seed)


def record(seed: int = 0, auroc: float = 0.75) -> Record:
    return make_record(cell(seed), metrics={"auroc": auroc})


def plan(**about: Any) -> Plan:
    return replace(make_plan_of([cell(0), cell(1)], "toy"), **about)


def json_of(archive: Archive, key: str) -> Path:
    return archive.root / key[:2] / f"{key}.json"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "results")


def test_an_archive_that_is_not_there_is_empty_and_stays_so(archive: Archive) -> None:
    assert archive.keys() == set()
    assert archive.load(cell().key) is None
    assert archive.load_all([cell().key]) == {}
    assert archive.suites() == []
    assert archive.unreadable == []
    assert not archive.results.exists()


def test_records_and_scores_are_read_back(archive: Archive) -> None:
    written = archive.write(record(), SCORES)
    assert archive.load(written.cell.key) == written
    assert archive.keys() == {written.cell.key}
    scores = archive.scores(written)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, SCORES)


def test_load_all_returns_what_is_there_of_what_was_asked(archive: Archive) -> None:
    kept = archive.write(record(0), SCORES)
    archive.write(record(1), SCORES)
    assert archive.load_all([cell(0).key, cell(0).key, cell(2).key]) == {cell(0).key: kept}


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (Archive(tmp_path / name) for name in ("one", "two"))
    first, second = one.write(record(), SCORES), two.write(record(), SCORES.astype(np.float64))
    assert first == second
    for ending in ("json", "npz"):
        name = Path(first.cell.key[:2]) / f"{first.cell.key}.{ending}"
        assert (one.root / name).read_bytes() == (two.root / name).read_bytes()


def test_archives_merge_by_copying(tmp_path: Path) -> None:
    one, two = (Archive(tmp_path / name) for name in ("one", "two"))
    for at, each in enumerate((one, two)):
        each.write(record(at), SCORES)
    shutil.copytree(two.root, one.root, dirs_exist_ok=True)
    assert one.keys() == {cell(0).key, cell(1).key}
    assert set(one.load_all(one.keys())) == one.keys()


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 1, "key"', b"\xff\xfe\x00", b'{"schema": 99}', b"[1, 2]", b"{}"]
)
def test_an_unreadable_record_is_reported_skipped_and_kept(
    archive: Archive, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    archive.write(record(0), SCORES)
    path = json_of(archive, archive.write(record(1), SCORES).cell.key)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert set(archive.load_all([cell(0).key, cell(1).key])) == {cell(0).key}
        archive.load(cell(1).key)
    assert len(archive.unreadable) == len(caplog.records) == 1
    assert str(path) in archive.unreadable[0]
    assert path.read_bytes() == content


def test_an_unreadable_record_stays_beside_the_new_one(archive: Archive) -> None:
    path = json_of(archive, archive.write(record(), SCORES).cell.key)
    for torn in (b"first", b"second"):
        path.write_bytes(torn)
        written = archive.write(record(), SCORES)
    assert Archive(archive.results).load(cell().key) == written
    assert sorted(each.read_bytes() for each in path.parent.glob("*.unreadable*")) == [b"first", b"second"]
    assert archive.keys() == {cell().key}


def test_a_record_under_another_cells_name_is_not_taken_for_it(archive: Archive) -> None:
    source = json_of(archive, archive.write(record(0), SCORES).cell.key)
    target = json_of(archive, cell(1).key)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())
    assert archive.load(cell(1).key) is None
    assert "another cell" in archive.unreadable[0]


def test_foreign_files_and_folders_are_left_alone(archive: Archive) -> None:
    written = archive.write(record(), SCORES)
    archive.write_plan(plan())
    folder = json_of(archive, written.cell.key).parent
    (folder / "notes.txt").write_text("mine")
    (folder / f".{written.cell.key}.json.x.tmp").write_text("torn")
    (archive.root / "README").write_text("mine")
    (archive.root / "zz").write_text("a file with the name of a folder")
    assert archive.keys() == {written.cell.key}
    assert archive.unreadable == []


def test_a_folder_in_the_place_of_a_record_is_reported(archive: Archive) -> None:
    json_of(archive, cell().key).mkdir(parents=True)
    assert archive.load(cell().key) is None
    assert len(archive.unreadable) == 1
    assert archive.load(archive.write(record(), SCORES).cell.key) is not None


@pytest.mark.parametrize("damage", ["missing", "torn", "other"])
def test_scores_that_are_not_the_records_are_refused(archive: Archive, damage: str) -> None:
    written = archive.write(record(), SCORES)
    path = json_of(archive, written.cell.key).with_suffix(".npz")
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        other = archive.write(record(1), SCORES + 1)
        path.write_bytes(json_of(archive, other.cell.key).with_suffix(".npz").read_bytes())
    with pytest.raises(ArchiveError, match=f"{written.cell.key}.*run the cell again"):
        archive.scores(written)


ERROR = {"kind": "FitError", "reason": "it failed", "traceback": ""}


def test_a_failed_cell_has_no_scores_and_leaves_no_old_ones(archive: Archive) -> None:
    archive.write(record(), SCORES)
    failed = archive.write(replace(record(), status="failed", metrics={}, error=ERROR), None)
    assert archive.load(failed.cell.key) == failed
    assert not json_of(archive, failed.cell.key).with_suffix(".npz").exists()
    with pytest.raises(ArchiveError, match="no scores: it failed"):
        archive.scores(failed)


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
sys.path[:0] = sys.argv[4:]
import numpy as np
from bench.core.archive import Archive
from bench.core.cell import Record
archive = Archive(Path(sys.argv[1]))
kept = Record.from_json(Path(sys.argv[2]).read_text())
rename = os.replace
def killed(source, target):
    if str(target).endswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = killed
archive.write(kept, np.array([9.0, 8.0], np.float32))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("before", ["nothing", "a record"])
@pytest.mark.parametrize("at", [".npz", ".json"])
def test_a_kill_at_any_time_leaves_complete_records_or_none(
    archive: Archive, tmp_path: Path, at: str, before: str
) -> None:
    """Also when a cell is computed afresh: a record never stands beside the scores of another."""
    other = archive.write(record(1), SCORES)
    if before == "a record":
        archive.write(record(0), SCORES)
    (tmp_path / "new.json").write_text(record(0, auroc=0.9).to_json())
    arguments = [str(archive.results), str(tmp_path / "new.json"), at, *sys.path]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    again = Archive(archive.results)
    for found in again.load_all(again.keys()).values():
        again.scores(found)
    assert again.load(other.cell.key) == other
    assert again.unreadable == []
    finished = again.write(record(0, auroc=0.9), SCORES[:2])
    np.testing.assert_array_equal(again.scores(finished), SCORES[:2])


def test_a_results_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder")
    archive = Archive(tmp_path / "results")
    for attempt in (
        archive.check_writable,
        lambda: archive.write(record(), SCORES),
        lambda: archive.write_plan(plan()),
    ):
        with pytest.raises(ArchiveError, match=r"cannot be written.*--results"):
            attempt()
    with pytest.raises(ArchiveError, match=r"cannot be read.*--results"):
        archive.keys()
    assert (tmp_path / "results").read_text() == "not a folder"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir(mode=0o500)
    with pytest.raises(ArchiveError, match=r"cannot be written.*[Pp]ermission"):
        Archive(folder).check_writable()


def test_checking_leaves_nothing_behind(archive: Archive) -> None:
    archive.check_writable()
    assert [path for path in archive.results.rglob("*") if path.is_file()] == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_permissions_that_the_user_gives_to_new_files(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_plans_are_kept_by_suite(archive: Archive) -> None:
    archive.write_plan(plan())
    archive.write_plan(plan(suite="other"))
    archive.write_plan(plan(title="Toy again"))
    assert archive.suites() == ["other", "toy"]
    assert archive.plan("toy") == plan(title="Toy again")
    assert archive.keys() == set()


def test_an_unknown_suite_names_those_that_are_there(archive: Archive) -> None:
    archive.write_plan(plan())
    with pytest.raises(
        ArchiveError, match=r"no run of the suite 'tyo'; did you mean 'toy'\?.*anobench run tyo"
    ):
        archive.plan("tyo")


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"schema": 99}'])
def test_an_unreadable_plan_is_one_clear_error(archive: Archive, content: bytes) -> None:
    archive.write_plan(plan())
    (archive.root / "plans" / "toy.json").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"toy\.json cannot be read.*run the suite again"):
        archive.plan("toy")
