"""Archives, honest and malicious: nothing is written outside, and after a refusal nothing is left."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import DataError
from bench.data.get.unpack import UnpackLimits, unpack

Files = dict[str, bytes]


def as_tar(path: Path, files: Files, *, packing: str = "gz", extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, f"w:{packing}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if extra is not None:
            archive.addfile(extra)
    return path


def as_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


MAKERS: dict[str, Callable[[Path, Files], Path]] = {
    "tar": lambda path, files: as_tar(path, files, packing=""),
    "tar.gz": as_tar,
    "tar.xz": lambda path, files: as_tar(path, files, packing="xz"),
    "zip": as_zip,
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def make(request: pytest.FixtureRequest) -> Callable[[Path, Files], Path]:
    return request.param


def contents(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refused(archive: Path, match: str, limits: UnpackLimits | None = None) -> None:
    """Unpacking fails with a message that names the archive; its folder holds nothing but it afterwards."""
    before = contents(archive.parent.parent)
    with pytest.raises(DataError, match=match) as raised:
        unpack(archive, archive.parent / "out", limits=limits)
    assert str(archive) in str(raised.value)
    assert contents(archive.parent.parent) == before
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "a").chmod(0o755)
    return folder / "archive"


def test_files_arrive(make: Callable[[Path, Files], Path], place: Path) -> None:
    files = {"train/0.png": b"one", "test/deep/1.png": b"", "list.txt": b"x" * 3_000_000}
    folder = unpack(make(place, files), place.parent / "out")
    assert contents(folder) == files
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert sorted(path.name for path in place.parent.iterdir()) == ["archive", "out"]


def test_one_folder_becomes_the_target(make: Callable[[Path, Files], Path], place: Path) -> None:
    made = make(place, {"release-1.0/train/0.png": b"one", "release-1.0/readme": b"two"})
    assert contents(unpack(made, place.parent / "out")) == {"train/0.png": b"one", "readme": b"two"}


@pytest.mark.parametrize(
    "name",
    [
        "/etc/evil",
        "../evil",
        "good/../../evil",
        "a/b/../../../evil",
        "..\\evil",
        "C:evil",
        "C:\\evil",
        "/",
        "..",
    ],
)
def test_paths_out_of_the_folder_are_refused(
    make: Callable[[Path, Files], Path], place: Path, name: str
) -> None:
    refused(make(place, {"good/0.png": b"x", name: b"evil"}), "leads out|without a name|cannot be unpacked")


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (tarfile.SYMTYPE, "a link to"),
        (tarfile.LNKTYPE, "a link to"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device or a pipe"),
    ],
)
def test_links_and_devices_in_tar_are_refused(place: Path, kind: bytes, match: str) -> None:
    extra = tarfile.TarInfo("inside")
    extra.type, extra.linkname = kind, "../../outside"
    refused(as_tar(place, {"0.png": b"x"}, extra=extra), match)


def test_a_file_through_a_link_is_refused(place: Path) -> None:
    """The classic: a link to a folder outside, then a file in it."""
    with tarfile.open(place, "w") as archive:
        link = tarfile.TarInfo("data")
        link.type, link.linkname = tarfile.SYMTYPE, "../.."
        archive.addfile(link)
        info = tarfile.TarInfo("data/evil")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    refused(place, "a link to")


@pytest.mark.parametrize(("mode", "match"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device")])
def test_links_and_devices_in_zip_are_refused(place: Path, mode: int, match: str) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        info = zipfile.ZipInfo("inside")
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, "../../outside")
    refused(place, match)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_that_comes_twice_is_refused(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("0.png", b"one")
        archive.writestr("0.png", b"two")
    refused(place, "is in it twice")


def test_a_file_where_a_folder_is_needed_is_refused(make: Callable[[Path, Files], Path], place: Path) -> None:
    refused(make(place, {"a": b"one", "a/b": b"two"}), "twice|cannot be unpacked")


def test_limits_hold(make: Callable[[Path, Files], Path], place: Path) -> None:
    made = make(place, {"0": b"x" * 5_000, "1": b"y" * 5_000, "2": b"z"})
    refused(made, "more than 2 members", UnpackLimits(members=2))
    refused(made, "beyond the limit", UnpackLimits(file_bytes=4_999))
    refused(made, "beyond the limit", UnpackLimits(total_bytes=9_999))
    assert len(contents(unpack(made, place.parent / "out", limits=UnpackLimits(total_bytes=10_001)))) == 3


def test_a_bomb_that_lies_about_its_size_is_given_up(place: Path) -> None:
    as_zip(place, {"bomb": b"\0" * 20_000_000})
    content = bytearray(place.read_bytes())
    true, false = (20_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert content.count(true) == 2
    place.write_bytes(content.replace(true, false))
    refused(place, "expected 10|cannot be unpacked|beyond", UnpackLimits(total_bytes=1_000_000))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_archives_are_named(make: Callable[[Path, Files], Path], place: Path, keep: float) -> None:
    noise = bytes((i * i * 31 + i // 7) % 256 for i in range(200_000))
    content = make(place, {"0": noise, "1": noise[::-1]}).read_bytes()
    place.write_bytes(content[: int(len(content) * keep)])
    refused(place, "cannot be unpacked|found something else|truncated")


def test_bytes_changed_at_random_end_in_files_or_in_a_clear_refusal(
    make: Callable[[Path, Files], Path], place: Path
) -> None:
    rng = random.Random(0)
    whole = make(place, {"t/0.png": rng.randbytes(300), "t/ü.png": b"two" * 100, "u": b"x"}).read_bytes()
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            at = rng.randrange(len(changed))
            changed[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        place.write_bytes(changed)
        with contextlib.suppress(DataError):
            unpack(place, place.parent / "out", limits=UnpackLimits(total_bytes=10**6))
        for path in (place.parent / "out").rglob("*"):
            assert path.is_file() or path.is_dir()
            assert not path.is_symlink()
        shutil.rmtree(place.parent / "out", ignore_errors=True)
        assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert [path.name for path in place.parent.parent.iterdir()] == ["b"]


def test_a_name_that_is_not_text_is_refused(place: Path) -> None:
    as_zip(place, {"ü.png": b"x", "0.png": b"y"})
    place.write_bytes(place.read_bytes().replace("ü".encode(), b"\xc3\xc3"))
    refused(place, "cannot be unpacked")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive_or_empty_is_named(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    refused(place, "expected a tar or zip archive|is empty")


def test_an_encrypted_zip_is_refused(place: Path) -> None:
    as_zip(place, {"0": b"secret"})
    content = bytearray(place.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    place.write_bytes(content)
    refused(place, "encrypted")


def test_an_existing_folder_is_kept(place: Path) -> None:
    as_zip(place, {"0": b"new"})
    (place.parent / "out").mkdir()
    (place.parent / "out" / "mine").write_bytes(b"old")
    with pytest.raises(DataError, match="exists already"):
        unpack(place, place.parent / "out")
    assert contents(place.parent / "out") == {"mine": b"old"}


def test_a_folder_that_cannot_be_made_is_named(place: Path) -> None:
    as_zip(place, {"0": b"new"})
    with pytest.raises(DataError, match="cannot be written"):
        unpack(place, place.parent / "nowhere" / "out")
