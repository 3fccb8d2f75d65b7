"""Unpacks archives of data sets without trusting them: tar (also gz, bz2, xz) and zip.

Nothing is written outside the folder, no link or device is made, and an archive beyond the limits is given up
while it is read. Everything goes to a temporary folder beside the target, which is renamed at the end: a
folder of the target's name is always complete.

Python's ``tarfile.data_filter`` is more lenient (it strips a leading slash, and links inside the folder pass)
and zipfile has no filter: one check refuses the same in both.
"""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from bench.core.errors import DataError

BLOCK = 2**20
#: What a damaged archive makes the standard library raise while it is read.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError, OverflowError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """Upper limits: files and folders, bytes of one file, bytes in total."""

    members: int = 2_000_000
    file_bytes: int = 16 * 2**30
    total_bytes: int = 500 * 2**30


class _Member(NamedTuple):
    name: str
    #: ``"file"``, ``"folder"``, or what it is that is refused.
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, *, limits: UnpackLimits | None = None) -> Path:
    """Unpack an archive as `folder`, which must not exist yet.

    An archive that holds one folder and nothing beside it becomes that folder's content.

    Parameters
    ----------
    archive : Path
        Recognised by its content, not by its name.
    folder : Path
        Its parent must exist; the temporary folder is made there too.
    limits : UnpackLimits, optional

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DataError
        The folder exists; the archive is damaged, encrypted, empty or no archive; it is beyond the limits; or
        it holds an absolute path, a path outside, the same path twice, a link or a device. Nothing is left.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already; move it away to unpack {archive.name} there")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise DataError(f"{folder.parent}: cannot be written ({error.strerror or error})") from None
    try:
        _write_all(archive, temporary, limits or UnpackLimits())
        inside = list(temporary.iterdir())
        if not inside:
            raise DataError(f"{archive}: this archive is empty; get it again")
        alone = len(inside) == 1 and inside[0].is_dir()
        # mkdtemp makes folders for the owner alone.
        (inside[0] if alone else temporary).chmod(0o755)
        (inside[0] if alone else temporary).rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write_all(archive: Path, folder: Path, limits: UnpackLimits) -> None:
    count, total = 0, 0
    try:
        with _members(archive) as members:
            for member in members:
                count += 1
                if count > limits.members:
                    raise DataError(f"{archive}: more than {limits.members:,} members; this is not unpacked")
                target = folder / _safe(archive, member)
                if member.kind == "folder":
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                room = min(limits.file_bytes, limits.total_bytes - total)
                target.parent.mkdir(parents=True, exist_ok=True)
                total += _write(archive, member, target, room)
    except FileExistsError as error:
        raise DataError(f"{archive}: {error.filename} is in it twice; this archive is not unpacked") from None
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{archive}: cannot be unpacked ({error}); get it again") from None


def _write(archive: Path, member: _Member, target: Path, room: int) -> int:
    """Write one file and return its size, counting what comes out: the size that is declared may be false."""
    size = 0
    with member.open() as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            size += len(block)
            if size > room:
                raise DataError(
                    f"{archive}: {member.name} takes the unpacked size beyond the limit; "
                    "this archive is not unpacked"
                )
            file.write(block)
    if size != member.size:
        raise DataError(
            f"{archive}: {member.name} has {size} bytes, expected {member.size}; it may be truncated"
        )
    return size


def _safe(archive: Path, member: _Member) -> PurePosixPath:
    """Return a member's path inside the folder, or raise."""
    name = member.name
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or "\0" in name or ":" in name.split("/")[0] or ".." in path.parts:
        raise DataError(
            f"{archive}: {name!r} leads out of the folder or is absolute; this archive is not unpacked"
        )
    if member.kind not in ("file", "folder"):
        raise DataError(
            f"{archive}: {name!r} is {member.kind}; expected only files and folders: "
            "this archive is not unpacked"
        )
    if member.kind == "file" and not path.parts:
        raise DataError(f"{archive}: a file without a name; this archive is not unpacked")
    return path


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive) and not _is_tar(archive):
        with zipfile.ZipFile(archive) as opened_zip:
            yield (_of_zip(opened_zip, info) for info in opened_zip.infolist())
    elif _is_tar(archive):
        with tarfile.open(archive) as opened_tar:
            yield (_of_tar(opened_tar, info) for info in opened_tar)
    else:
        raise DataError(f"{archive}: expected a tar or zip archive, found something else; get it again")


def _is_tar(archive: Path) -> bool:
    # A tar file may hold a zip file at its end, which zipfile would take for the archive.
    try:
        return tarfile.is_tarfile(archive)
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror or error})") from None
    except (EOFError, lzma.LZMAError, zlib.error):
        return False


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def content() -> IO[bytes]:
        opened = archive.extractfile(info)
        assert opened is not None
        return opened

    if info.issym() or info.islnk():
        kind = f"a link to {info.linkname!r}"
    else:
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a device or a pipe"
    return _Member(info.name, kind, info.size, content)


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1:
        kind = "encrypted"
    elif mode == stat.S_IFLNK:
        kind = "a link"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a device or a pipe"
    else:
        kind = "folder" if info.is_dir() else "file"
    # zipfile has changed the name to the system's separators and cut it at a NUL.
    name = info.orig_filename if os.sep == "/" else info.filename
    return _Member(name, kind, info.file_size, lambda: archive.open(info))
