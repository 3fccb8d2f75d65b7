"""The feature store: shards, crashes, corruption, several processes, the size limit."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import AnobenchError
from bench.features import leases as pins
from bench.features import shards, store, upkeep
from bench.features.store import KeyRows, Store, StoreKey


def key(what: str = "pooled", fingerprint: str = "f") -> StoreKey:
    return StoreKey(
        source="random/train",
        fingerprint=fingerprint,
        backbone="tiny",
        identity="i",
        what=what,
        precision="float32",
        dtype="float32",
    )


def values_of(rows: np.ndarray, d: int = 4) -> np.ndarray:
    return (rows[:, None] * 10 + np.arange(d)).astype(np.float32)


def fill(kept: KeyRows, rows: np.ndarray, seconds: float = 1.0) -> None:
    kept.add(rows, values_of(rows), seconds)
    kept.flush()


def read(kept: KeyRows, rows: np.ndarray) -> np.ndarray:
    out = np.full((len(rows), 4), np.nan, np.float32)
    for at, values in kept.read(rows):
        out[at] = values
    return out


def opened(root: Path, name: StoreKey | None = None) -> KeyRows:
    kept = Store(root).rows(name or key(), 400)
    kept.refresh()
    return kept


def folder_of(root: Path, name: StoreKey | None = None) -> Path:
    digest = (name or key()).digest
    return root / "v1" / digest[:2] / digest


def test_rows_come_back_in_any_order(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    fill(kept, np.array([5, 1, 9]))
    fill(kept, np.arange(20, 30), seconds=5.0)
    again = opened(tmp_path)
    rows = np.array([25, 1, 20, 5, 9])
    assert again.have(np.array([1, 2, 25, 99])).tolist() == [True, False, True, False]
    np.testing.assert_array_equal(read(again, rows), values_of(rows))
    np.testing.assert_allclose(again.seconds(np.array([1, 25, 2])), [1 / 3, 0.5, 0])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the kernel does not say what is mapped")
def test_rows_that_were_read_are_no_memory_of_this_process(tmp_path: Path) -> None:
    kept, rows = Store(tmp_path).rows(key(), 400), np.arange(400)
    values = np.random.default_rng(0).random((400, 5000), np.float32)
    kept.add(rows, values, 1.0)
    kept.flush()
    for _ in range(2):  # and can be read again
        for at, found in kept.read(rows[::-1].copy()):
            assert np.array_equal(found, values[::-1][at])
        assert mapped_kilobytes(tmp_path) == 0
    assert np.array_equal(kept._parts[0][1][3], values[3])
    assert mapped_kilobytes(tmp_path) > 0, "what is mapped is found"


def mapped_kilobytes(folder: Path) -> int:
    """Return how much of the files in a folder this process holds in memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):
            ours = str(folder) in line
        elif ours and first == "Rss:":
            total += int(line.split()[1])
    return total


def test_keys_tell_apart_what_determines_the_rows() -> None:
    digests = {key().digest, key("map:layer1").digest, key(fingerprint="g").digest}
    assert len(digests) == 3


def test_what_a_crash_leaves_reads_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = opened(tmp_path)
    fill(kept, np.arange(3))
    real = shards.write_file

    def dies(path: Path, *parts: bytes | memoryview) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        real(path, *parts)

    monkeypatch.setattr(shards, "write_file", dies)
    kept.add(np.arange(3, 6), values_of(np.arange(3, 6)), 1.0)
    with pytest.raises(KeyboardInterrupt):
        kept.flush()
    (folder_of(tmp_path) / ".half.tmp").write_bytes(b"half")
    monkeypatch.undo()
    again = opened(tmp_path)
    assert again.have(np.arange(6)).tolist() == [True] * 3 + [False] * 3
    fill(again, np.arange(3, 6))
    assert opened(tmp_path).have(np.arange(6)).all()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest", "schema", "rows", "beyond"])
def test_a_damaged_shard_is_set_aside_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = opened(tmp_path)
    fill(kept, np.arange(3))
    fill(kept, np.arange(3, 6))
    manifest = next(
        path
        for path in folder_of(tmp_path).glob("*.json")
        if path.name != "key.json" and json.loads(path.read_text())["rows"] == [[0, 3]]
    )
    values = manifest.with_suffix(".npy")
    content = values.read_bytes()
    if damage == "flip":
        values.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        values.write_bytes(content[:-7])
    elif damage == "gone":
        values.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:20])
    else:
        data = json.loads(manifest.read_text())
        rows = {"rows": [[0, 2]], "beyond": [[0, 2], [400, 401]]}
        data |= {"schema": 99} if damage == "schema" else {"rows": rows[damage]}
        manifest.write_text(json.dumps(data))
    again = opened(tmp_path)
    assert again.have(np.arange(6)).tolist() == [False] * 3 + [True] * 3
    assert manifest.stem in caplog.text
    assert "set aside" in caplog.text
    fill(again, np.arange(3))
    caplog.clear()
    rows = np.arange(6)
    last = opened(tmp_path)
    np.testing.assert_array_equal(read(last, rows), values_of(rows))
    assert not caplog.records


FILLER = """
import sys, numpy as np
from pathlib import Path
from bench.features.store import Store
from tests.features.test_store import key, values_of
kept = Store(Path(sys.argv[1])).rows(key(), 400)
for start in range(0, 400, 20):
    kept.refresh()
    rows = np.arange(start, start + 20)
    rows = rows[~kept.have(rows)]
    if len(rows):
        kept.add(rows, values_of(rows), 0.1); kept.flush()
    kept.close()
"""


def test_processes_fill_the_same_rows_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILLER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    rows = np.arange(400)
    kept = opened(tmp_path)
    assert kept.have(rows).all()
    np.testing.assert_array_equal(read(kept, rows), values_of(rows))
    pins.unpin_all()
    assert not pins.pinned(folder_of(tmp_path))


def test_many_small_shards_are_merged(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    for start in range(0, 60, 3):
        fill(kept, np.arange(start, start + 4), seconds=2.0)
    assert len(list(folder_of(tmp_path).glob("*.npy"))) == 20
    kept.close()
    assert len(list(folder_of(tmp_path).glob("*.npy"))) == 1
    rows = np.arange(61)
    np.testing.assert_array_equal(read(opened(tmp_path), rows), values_of(rows))
    np.testing.assert_array_equal(read(kept, rows), values_of(rows))
    assert opened(tmp_path).seconds(rows).sum() == pytest.approx(40.0)


def test_merged_shards_stay_within_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * upkeep.SMALL_BYTES <= upkeep.MERGED_BYTES, "any two small ones fit into a merged one"
    kept = opened(tmp_path)
    for start in range(40):
        fill(kept, np.array([start]))
    one = upkeep.manifests(folder_of(tmp_path))[0].nbytes
    monkeypatch.setattr(upkeep, "MERGED_BYTES", 20 * one)
    kept.close()
    sizes = [shard.nbytes for shard in upkeep.manifests(folder_of(tmp_path))]
    assert max(sizes) <= 20 * one
    assert len(sizes) < 40
    np.testing.assert_array_equal(read(opened(tmp_path), np.arange(40)), values_of(np.arange(40)))


def test_superseded_shards_stay_while_another_process_reads(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    for start in range(20):
        fill(kept, np.array([start]))
    reader = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = folder_of(tmp_path)
    (folder / f".pin-{pins._host()}-{reader.pid}-{pins._started(reader.pid)}").touch()
    kept.close()
    assert len(list(folder.glob("*.npy"))) == 21
    assert len(upkeep.manifests(folder)) == 1
    reader.communicate(b"\n")
    kept.close()
    assert len(list(folder.glob("*.npy"))) == 1


def test_the_least_recently_used_goes_first_and_what_is_used_stays(tmp_path: Path) -> None:
    names = [key(fingerprint=letter) for letter in "abc"]
    for age, name in enumerate(names):
        fill(Store(tmp_path).rows(name, 400), np.arange(100))
        os.utime(folder_of(tmp_path, name) / "key.json", (1000.0 + age, 1000.0 + age))
    one = upkeep.size_of(folder_of(tmp_path, names[0]))
    assert upkeep.evict(tmp_path / "v1", one) == []  # all are used by this process
    pins.unpin_all()
    pins.pin(folder_of(tmp_path, names[0]))
    assert upkeep.evict(tmp_path / "v1", int(2.5 * one), dry_run=True) == [folder_of(tmp_path, names[1])]
    assert upkeep.evict(tmp_path / "v1", int(2.5 * one)) == [folder_of(tmp_path, names[1])]
    upkeep.evict(tmp_path / "v1", 0)
    assert [folder_of(tmp_path, name).exists() for name in names] == [True, False, False]
    pins.unpin_all()


def test_the_limit_holds_while_filling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_CACHE_LIMIT", "5kB")
    for letter in "abcd":
        kept = Store(tmp_path).rows(key(fingerprint=letter), 400)
        fill(kept, np.arange(200))
        kept.close()
        pins.unpin_all()
    assert sum(upkeep.size_of(folder) for folder in upkeep.key_folders(tmp_path / "v1")) <= 5000
    assert folder_of(tmp_path, key(fingerprint="d")).exists()


def test_pins_of_dead_processes_and_old_ones_of_other_hosts_do_not_count(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".pin-{pins._host()}-{dead.pid}-1").touch()
    elsewhere = tmp_path / ".pin-otherhost-1-1"
    elsewhere.touch()
    (tmp_path / ".pin-nonsense").touch()
    assert pins.pinned(tmp_path)
    assert [path.name for path in tmp_path.glob(f".pin-{pins._host()}-*")] == []
    old = time.time() - 86400
    os.utime(elsewhere, (old, old))
    assert not pins.pinned(tmp_path)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "is full"), (errno.EACCES, "cannot be written"), (errno.EROFS, "cannot be")],
)
def test_without_a_writable_folder_rows_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, said: str
) -> None:
    kept = opened(tmp_path)
    fill(kept, np.arange(3))

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shards, "write_file", fails)
    with caplog.at_level(logging.WARNING):
        fill(kept, np.arange(3, 6))
        fill(kept, np.arange(6, 9))
        kept.close()
    assert len(caplog.records) == 1
    assert said in caplog.text
    assert "ANOBENCH_CACHE" in caplog.text
    rows = np.arange(9)
    np.testing.assert_array_equal(read(kept, rows), values_of(rows))
    monkeypatch.undo()
    assert opened(tmp_path).have(rows).tolist() == [True] * 3 + [False] * 6
    assert not list(folder_of(tmp_path).glob(".*.tmp"))


def test_what_stays_in_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "MEMORY_BYTES", 100)
    kept = Store(None).rows(key(), 400)
    fill(kept, np.arange(3))
    fill(kept, np.arange(3, 9))
    assert kept.have(np.arange(9)).tolist() == [True] * 3 + [False] * 6
    assert kept.seconds(np.array([8]))[0] > 0
    assert "more are not kept" in caplog.text


@pytest.mark.parametrize(
    ("text", "size"), [("50GB", 50 * 10**9), ("1.5 GiB", 3 * 2**29), ("7", 7), ("none", None), ("2kb", 2000)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert upkeep.parse_size(text) == size


def test_a_limit_that_is_no_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_CACHE_LIMIT", "much")
    with pytest.raises(AnobenchError, match="ANOBENCH_CACHE_LIMIT: 'much' is not a size"):
        upkeep.cache_limit()
