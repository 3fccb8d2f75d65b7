from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import DataError
from bench.data import fingerprint
from bench.data.arrays import Idx, Mat
from bench.data.cifar import PythonBatches
from bench.data.fingerprint import file_sha256, files_fingerprint, reading_anew
from bench.data.folders import FileSource
from bench.data.parquet import ParquetTable
from bench.data.source import Source
from tests.datasets.trees import picture, png, write_parquet

OLD = 1_600_000_000


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_tables", {})


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is written in a test count as written long ago."""
    monkeypatch.setattr(fingerprint, "SETTLED_NS", -(10**12))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.jpg", "b/3.bmp"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), 100, np.uint8)).save(path)
        os.utime(path, (OLD, OLD))
    return tmp_path / "tree"


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which files are really read."""
    seen: list[str] = []
    original = fingerprint._read
    monkeypatch.setattr(fingerprint, "_read", lambda path: seen.append(path) or original(path))
    return seen


def test_a_fingerprint_depends_on_names_and_content_and_on_nothing_else(tree: Path, tmp_path: Path) -> None:
    files = files_of(tree)
    first = files_fingerprint(tree, files)
    assert files_fingerprint(tree, files[::-1]) == first
    assert files_fingerprint(tree, [str(file.relative_to(tree)) for file in files]) == first
    shutil.copytree(tree, tmp_path / "elsewhere" / "tree")
    copied = tmp_path / "elsewhere" / "tree"
    assert files_fingerprint(copied, files_of(copied)) == first
    (copied / "a" / "1.png").rename(copied / "a" / "9.png")
    assert files_fingerprint(copied, files_of(copied)) != first
    assert files_fingerprint(tree, files[1:]) != first


def test_the_fingerprint_of_known_content_is_pinned(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"anobench")
    content = hashlib.sha256(b"anobench").hexdigest()
    assert file_sha256(tmp_path / "x.bin") == content
    line = f"x.bin\0{8}\0{content}\n"
    assert files_fingerprint(tmp_path, [tmp_path / "x.bin"]) == hashlib.sha256(line.encode()).hexdigest()


def test_one_changed_byte_changes_it(tree: Path) -> None:
    first = files_fingerprint(tree, files_of(tree))
    path = tree / "b" / "3.bmp"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert files_fingerprint(tree, files_of(tree)) != first


@pytest.mark.usefixtures("settled")
def test_files_are_read_once_and_again_when_they_change(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reads(monkeypatch)
    first = files_fingerprint(tree, files_of(tree))
    assert len(seen) == 3
    fingerprint._tables.clear()  # another process: only the file of hashes is left
    assert files_fingerprint(tree, files_of(tree)) == first
    assert len(seen) == 3
    os.utime(tree / "a" / "1.png", (OLD + 1, OLD + 1))
    assert files_fingerprint(tree, files_of(tree)) == first
    assert [Path(path).name for path in seen[3:]] == ["1.png"]


def test_a_file_that_changed_just_now_is_not_kept(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reads(monkeypatch)
    (tree / "new.txt").write_bytes(b"1")
    os.utime(tree / "new.txt")
    file_sha256(tree / "new.txt")
    file_sha256(tree / "new.txt")
    assert len(seen) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": 99}', b'{"schema": 1, "names": ["a"]}', b"\xff"]
)
def test_an_unusable_cache_means_reading_again(tree: Path, cache: Path, content: bytes) -> None:
    first = files_fingerprint(tree, files_of(tree))
    fingerprint._tables.clear()
    (kept,) = (cache / "hashes").glob("*.json")
    kept.write_bytes(content)
    assert files_fingerprint(tree, files_of(tree)) == first


def test_a_cache_that_cannot_be_written_is_no_error(tree: Path, cache: Path) -> None:
    (cache / "hashes").write_text("a file where a folder should be")
    assert len(files_fingerprint(tree, files_of(tree))) == 64


def encoded(kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize(("kind", "name"), [("PNG", "x.png"), ("JPEG", "x.jpg")])
def test_a_truncated_image_is_named(tree: Path, kind: str, name: str) -> None:
    (tree / name).write_bytes(encoded(kind)[:-40])
    with pytest.raises(DataError, match=rf"{name}.*{kind} image is truncated"):
        files_fingerprint(tree, files_of(tree))
    with pytest.raises(DataError, match=name):  # also from what is kept
        files_fingerprint(tree, files_of(tree))


def test_an_empty_file_and_a_truncated_parquet_file_are_named(tree: Path) -> None:
    (tree / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png: this file is empty"):
        files_fingerprint(tree, files_of(tree))
    (tree / "empty.png").unlink()
    (tree / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"t\.parquet.*truncated"):
        files_fingerprint(tree, files_of(tree))


def test_whole_images_with_trailing_bytes_or_thumbnails_pass(tree: Path) -> None:
    (tree / "x.png").write_bytes(encoded("PNG") + b"\0\0")
    (tree / "x.jpg").write_bytes(encoded("JPEG", progressive=True) + b"\0")
    files_fingerprint(tree, files_of(tree))


def test_a_thumbnails_end_does_not_pass_for_the_images(tree: Path) -> None:
    thumbnail, whole = encoded("JPEG"), encoded("JPEG")
    application_data = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    (tree / "x.jpg").write_bytes(whole[:2] + application_data + whole[2:-30])
    with pytest.raises(DataError, match="truncated"):
        files_fingerprint(tree, files_of(tree))


def test_a_missing_file_is_named(tree: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        files_fingerprint(tree, [tree / "gone.png"])
    with pytest.raises(DataError, match=r"gone\.png"):
        file_sha256(tree / "gone.png")


def test_a_file_outside_the_root_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="is not under"):
        files_fingerprint(tree / "a", [tree / "b" / "3.bmp"])


def test_a_large_file_is_hashed_in_pieces(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_fingerprint(tree, files_of(tree))
    monkeypatch.setattr(fingerprint, "_tables", {})
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 10)
    monkeypatch.setattr(fingerprint, "_load", lambda _where: {})
    assert files_fingerprint(tree, files_of(tree)) == before


# --- files that change without showing it -------------------------------------------------------------------


def other_pixels(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    return bytes(content)


def replaced(path: Path) -> None:
    other = path.with_name("other.tmp")
    other.write_bytes(other_pixels(path))
    os.utime(other, (OLD, OLD))
    other.rename(path)


def moved_away(path: Path) -> None:
    content = other_pixels(path)
    path.rename(path.with_name("old.tmp"))
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))


def written_in_place(path: Path) -> None:
    content = other_pixels(path)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, (OLD, OLD))


def folder_exchanged(path: Path) -> None:
    copied = path.parent.with_name("copied")
    shutil.copytree(path.parent, copied)
    (copied / path.name).write_bytes(other_pixels(path))
    os.utime(copied / path.name, (OLD, OLD))
    path.parent.rename(path.parent.with_name("before"))
    copied.rename(path.parent)


@pytest.mark.parametrize("change", [replaced, moved_away, written_in_place, folder_exchanged])
def test_a_file_of_equal_size_and_time_is_read_again(tree: Path, change: Callable[[Path], None]) -> None:
    path = tree / "b" / "3.bmp"
    before, files = path.stat(), ["a/1.png", "a/2.jpg", "b/3.bmp"]
    first, sha256 = files_fingerprint(tree, files), file_sha256(path)
    change(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert files_fingerprint(tree, files) != first
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest() != sha256


@pytest.mark.usefixtures("settled")
def test_reading_anew_finds_what_no_stamp_shows(tree: Path) -> None:
    """As when bytes change on the disk below the file system."""
    files = ["a/1.png", "b/3.bmp"]
    files_fingerprint(tree, files)
    (table,) = fingerprint._tables.values()
    stamp, _, verdict = table["b/3.bmp"]
    table["b/3.bmp"] = (stamp, "0" * 64, verdict)
    wrong = files_fingerprint(tree, files)
    with reading_anew() as stale:
        right = files_fingerprint(tree, files)
    assert stale == [str(tree / "b/3.bmp")]
    assert right != wrong
    assert files_fingerprint(tree, files) == right


def test_a_file_that_changes_after_opening_is_not_read_as_what_it_was(tree: Path) -> None:
    source = FileSource("x", tree, ["a/1.png", "b/3.bmp"])
    os.utime(tree / "a/1.png")  # touched only
    assert source.read(np.array([0, 1])).shape == (2, 9, 9, 3)
    source = FileSource("x", tree, ["a/1.png", "b/3.bmp"])
    replaced(tree / "b/3.bmp")
    with pytest.raises(DataError, match=r"3\.bmp: this file has changed since the data set was opened"):
        source.read(np.array([1]))


def idx(folder: Path, shade: int) -> tuple[Source, Path]:
    heads = {"images-idx3": (3, [4, 5, 5]), "labels-idx1": (1, [4])}
    for kind, (ndim, shape) in heads.items():
        values = np.full(shape, shade if ndim == 3 else 1, np.uint8)
        head = bytes([0, 0, 8, ndim]) + np.array(shape, ">u4").tobytes()
        (folder / f"train-{kind}-ubyte").write_bytes(head + values.tobytes())
    layout = Idx((".",))
    return layout.open("x", folder, layout.names()["train"], "ab")[0], folder / "train-images-idx3-ubyte"


def mat(folder: Path, shade: int) -> tuple[Source, Path]:
    from scipy.io import savemat

    file = folder / "train_32x32.mat"
    savemat(file, {"X": np.full((32, 32, 3, 4), shade, np.uint8), "y": np.ones((4, 1), np.uint8)})
    return Mat((".",)).open("x", folder, [file.name], "ab")[0], file


def batches(folder: Path, shade: int) -> tuple[Source, Path]:
    file = folder / "data_batch_1"
    file.write_bytes(pickle.dumps({"data": np.full((4, 3072), shade, np.uint8), "labels": [1] * 4}))
    layout = PythonBatches((".",), train=(file.name,), test=())
    return layout.open("x", folder, [file.name], "ab")[0], file


def shard(folder: Path, shade: int) -> tuple[Source, Path]:
    file = write_parquet(folder / "train.parquet", [png(picture(shade))] * 4, [1] * 4)
    return ParquetTable("x", [file], image="image", label="label").source(), file


@pytest.mark.parametrize("made", [idx, mat, batches, shard])
def test_files_of_arrays_that_change_after_opening_are_not_read_as_what_they_were(
    tmp_path: Path, made: Callable[[Path, int], tuple[Source, Path]]
) -> None:
    source, file = made(tmp_path, 3)
    os.utime(file)  # touched only
    assert len(source.read(np.array([0, 3]))) == 2
    source, file = made(tmp_path, 3)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    made(tmp_path, 4)
    os.utime(file, ns=times)
    with pytest.raises(DataError, match=rf"{file.name}: this file has changed since the data set was opened"):
        source.read(np.array([1]))
