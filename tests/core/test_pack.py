"""Packs: what went in comes out, to the byte, and nothing else can be in one."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core import pack as packs
from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.core.merge import merge
from bench.core.pack import PackedArchive, is_pack, open_archive, write_pack
from bench.core.truth import Truth
from tests.factory import make_cell, make_plan_of, make_record

CELLS = [make_cell(str(task), seed=seed) for task in range(2) for seed in (0, 1)]
TRUTH = Truth(
    labels=np.array([0, 0, 1, 1], np.uint8),
    sources=("a" * 64,),
    which=np.zeros(4, np.uint8),
    rows=np.arange(4),
    images=np.arange(4, dtype=np.uint64),
)
PLAN = make_plan_of(CELLS)
Members = dict[str, bytes]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Return an archive of three finished cells and a failed one."""
    found = Archive(tmp_path / "results")
    found.write_plan(PLAN)
    for at, cell in enumerate(CELLS[:3]):
        found.write(
            make_record(cell, truth=TRUTH.identity), np.arange(4.0) + at, TRUTH, {"calibration": np.ones(2)}
        )
    found.write(make_record(CELLS[3], status="failed"), None)
    return found


@pytest.fixture
def packed(archive: Archive, tmp_path: Path) -> Path:
    path = tmp_path / "baseline.anobench"
    write_pack(path, archive, PLAN, archive.load_all(archive.keys()))
    return path


def test_what_goes_in_comes_out(archive: Archive, packed: Path) -> None:
    found = open_archive(packed)
    assert isinstance(found, PackedArchive)
    assert found.suites() == ["trial"]
    assert found.plan("trial") == PLAN
    assert found.keys() == archive.keys()
    assert found.load_all(archive.keys()) == archive.load_all(archive.keys())
    for record in archive.load_all(cell.key for cell in CELLS[:3]).values():
        assert found.has(record.cell.key)
        assert found.packed_scores(record) == archive.packed_scores(record)
        assert found.scores(record).tolist() == archive.scores(record).tolist()
        assert found.beside(record)["calibration"].tolist() == [1, 1]
        assert found.truth(record).to_bytes() == TRUTH.to_bytes()
    failed = found.load(CELLS[3].key)
    assert failed is not None
    with pytest.raises(ArchiveError, match="it failed"):
        found.scores(failed)
    with pytest.raises(ArchiveError, match="no labels were kept"):
        found.truth(failed)
    assert found.load("0" * 32) is None
    with pytest.raises(ArchiveError, match="pack of the suite 'trial', not of 'other'"):
        found.plan("other")


def test_equal_content_gives_equal_bytes(archive: Archive, packed: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / "again", archive, PLAN, archive.load_all(sorted(archive.keys(), reverse=True)))
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()
    assert is_pack(tmp_path / "again")


def test_it_is_only_read(packed: Path) -> None:
    found = open_archive(packed)
    for attempt in (
        lambda: found.write(make_record(CELLS[0]), None),
        lambda: found.adopt(make_record(CELLS[0]), b"", None),
        lambda: found.write_plan(PLAN),
        found.check_writable,
    ):
        with pytest.raises(ArchiveError, match="only read"):
            attempt()


def test_merging_a_pack_gives_the_archive_again(archive: Archive, packed: Path, tmp_path: Path) -> None:
    merged = merge([packed], tmp_path / "into")
    assert (merged.copied, merged.skipped, merged.conflicts) == (4, [], [])
    into = Archive(tmp_path / "into")
    names = {str(path.relative_to(archive.root)) for path in archive.root.rglob("*.*")}
    assert names == {str(path.relative_to(into.root)) for path in into.root.rglob("*.*")}
    for name in names:
        assert (into.root / name).read_bytes() == (archive.root / name).read_bytes()


def test_a_folder_of_records_is_an_archive(archive: Archive, tmp_path: Path) -> None:
    assert open_archive(archive.root).keys() == archive.keys()
    moved = archive.root.rename(tmp_path / "baseline")
    assert open_archive(moved).suites() == ["trial"]
    for nothing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ArchiveError, match="expected a results folder"):
            open_archive(nothing)


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def repacked(path: Path, changed: Members, *, right: bool = True) -> None:
    """Write a pack with other members, and (`right`) a list that has their checksums."""
    if right:
        about = json.loads(changed["pack.json"])
        about["sha256"] = {n: hashlib.sha256(c).hexdigest() for n, c in changed.items() if n != "pack.json"}
        changed["pack.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in changed.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held | {"../../evil": b""}, "no member of a pack"),
        (lambda held: held | {"scores/../x.npz": b""}, "no member of a pack"),
        (lambda held: held | {"records.pkl": b""}, "no member of a pack"),
        (lambda held: held | {"pack.json": b'{"schema": 9}'}, "schema is not version 2"),
        (lambda held: held | {"pack.json": b"[]"}, "damaged"),
        (lambda held: held | {"pack.json": b"[" * 100_000}, "damaged"),
        (lambda held: held | {"plan.json": b"{}"}, "not a plan"),
        (lambda held: held | {"records.jsonl": b"{}\n"}, "not a record"),
        (lambda held: {name: held[name] for name in held if name != "plan.json"}, "damaged"),
    ],
)
def test_what_no_pack_holds_is_refused(packed: Path, change: Callable[[Members], Members], said: str) -> None:
    held = change(members(packed))
    repacked(packed, held, right=held["pack.json"][:1] == b"{" and b"suite" in held["pack.json"])
    with pytest.raises(ArchiveError, match=said) as caught:
        open_archive(packed)
    assert str(packed) in str(caught.value)


def test_members_that_are_not_listed_or_twice(packed: Path) -> None:
    held = members(packed)
    repacked(packed, held | {f"scores/{'0' * 32}.npz": b""}, right=False)
    with pytest.raises(ArchiveError, match="list of members"):
        open_archive(packed)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(packed, "a") as file:
        file.writestr("plan.json", b"{}")
    with pytest.raises(ArchiveError, match=r"holds plan\.json twice"):
        open_archive(packed)


def test_changed_scores_and_labels_are_found_when_they_are_read(archive: Archive, packed: Path) -> None:
    held, record = members(packed), archive.load(CELLS[0].key)
    assert record is not None
    other, labels = f"scores/{CELLS[1].key}.npz", f"tests/{record.truth}.npz"
    wrong = Truth(labels=1 - TRUTH.labels, sources=TRUTH.sources, which=TRUTH.which, rows=TRUTH.rows)
    repacked(packed, held | {f"scores/{CELLS[0].key}.npz": held[other], labels: wrong.to_bytes()})
    found = open_archive(packed)
    with pytest.raises(ArchiveError, match="do not match its record"):
        found.scores(record)
    with pytest.raises(ArchiveError, match="labels are not those"):
        found.truth(record)
    repacked(packed, held | {other: b"nothing"}, right=False)
    again = open_archive(packed)
    with pytest.raises(ArchiveError, match="does not match its checksum"):
        again.scores(make_record(CELLS[1], scores_sha256="0" * 64))


def test_what_unpacks_to_too_much_is_not_read(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small member may hold an npz file whose arrays are enormous; its directory says so."""
    inner = io.BytesIO()
    np.savez_compressed(inner, scores=np.zeros(2**20))
    assert len(inner.getvalue()) < 10_000
    held = members(packed)
    repacked(packed, held | {f"scores/{CELLS[0].key}.npz": inner.getvalue()})
    monkeypatch.setattr(packs, "ARRAY_BYTES", 2**20)
    record = make_record(CELLS[0], scores_sha256=hashlib.sha256(inner.getvalue()).hexdigest())
    with pytest.raises(ArchiveError, match="unpacks to"):
        open_archive(packed).scores(record)
    monkeypatch.setattr(packs, "TOTAL_BYTES", 1000)
    with pytest.raises(ArchiveError, match="more than 1,000 bytes"):
        open_archive(packed)
    monkeypatch.setattr(packs, "TEXT_BYTES", 10)
    with pytest.raises(ArchiveError, match="at most 10 are read"):
        open_archive(packed)


def test_torn_and_empty_files(packed: Path) -> None:
    content = packed.read_bytes()
    for torn in (b"", content[:-30], content[:100], b"PK\x03\x04" + content[100:]):
        packed.write_bytes(torn)
        with pytest.raises(ArchiveError, match="get it again"):
            open_archive(packed)


def test_a_cell_without_its_scores_is_no_pack(archive: Archive, tmp_path: Path) -> None:
    records = archive.load_all(archive.keys())
    next(archive.root.glob(f"*/{CELLS[0].key}.npz")).unlink()
    with pytest.raises(ArchiveError, match="run the cell again"):
        write_pack(tmp_path / "x.anobench", archive, PLAN, records)
    assert not (tmp_path / "x.anobench").exists()


def test_a_pack_that_may_not_be_read_is_not_called_damaged(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ArchiveError, match=r"baseline\.anobench cannot be read: permission denied"):
        PackedArchive(packed)
