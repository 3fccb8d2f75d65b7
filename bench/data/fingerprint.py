"""Fingerprints of files: sha256 over content, computed once and kept by modification time and size.

The same files give the same fingerprint on every machine and in every order. When a file is first read, its
structure is checked too, so that a truncated download is named before anything runs. The results are kept
under ``<cache>/hashes``, one JSON file per root folder; losing it only costs reading the files again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.core.errors import AnobenchError, DataError
from bench.core.files import cache_folder

log = logging.getLogger(__name__)

SCHEMA = 1
#: Files that changed less than this long ago may change again within one tick of the file system's clock:
#: their entries are used but not kept.
SETTLED_NS = 100_000_000
#: Larger files are hashed piece by piece and not checked as images.
WHOLE_BYTES = 64 * 2**20
CHUNK = 256

_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"

#: Modification time in ns, size, sha256, and what is wrong with the file (empty if nothing). A plain tuple,
#: for speed: the cache may have 100,000 of them.
_Entry = tuple[int, int, str, str]

_lock = threading.Lock()
_tables: dict[Path, dict[str, _Entry]] = {}


def file_sha256(path: Path) -> str:
    """Return the sha256 (hex) of one file, kept by (resolved path, modification time, size).

    Raises
    ------
    DataError
        The file cannot be read.
    """
    resolved = Path(os.path.realpath(path))
    return _entries(resolved.parent, [resolved.name])[0][2]


def file_hashes(root: Path, files: Sequence[Path | str]) -> list[str]:
    """Return the sha256 (hex) of each file's content, in their order, kept as those of `files_fingerprint`.

    Raises
    ------
    DataError
        A file cannot be read.
    ValueError
        A file is not under `root`.
    """
    return [entry[2] for entry in _entries(Path(os.path.realpath(root)), _relative(root, files))]


def files_fingerprint(root: Path, files: Sequence[Path | str]) -> str:
    """Return a sha256 (hex) over the sorted (path relative to `root`, size, content sha256) of `files`.

    Parameters
    ----------
    root : Path
        The folder they are in; its own location does not matter.
    files : sequence of Path or str
        In any order; relative paths are relative to `root`. Strings are faster for very many files.

    Raises
    ------
    DataError
        A file cannot be read, is empty, or is a truncated image (PNG without its IEND chunk, JPEG without
        its end marker) or parquet file; the message names it.
    ValueError
        A file is not under `root`.
    """
    names = _relative(root, files)
    entries = _entries(Path(os.path.realpath(root)), names)
    broken = sorted((name, entry[3]) for name, entry in zip(names, entries, strict=True) if entry[3])
    if broken:
        name, verdict = broken[0]
        more = f" (and {len(broken) - 1} more files are damaged)" if len(broken) > 1 else ""
        raise DataError(f"{root / name}: {verdict}{more}; fetch or export it again")
    lines = sorted(f"{name}\0{entry[1]}\0{entry[2]}\n" for name, entry in zip(names, entries, strict=True))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _relative(root: Path, files: Sequence[Path | str]) -> list[str]:
    """Return posix paths relative to `root`, as strings, which is ten times faster than `Path`."""
    prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118
    if os.sep == "/" and all(type(file) is str and file[:1] not in "/." for file in files):
        return list(files)  # type: ignore[arg-type]
    names = []
    for file in files:
        text = os.fspath(file)
        if text.startswith(prefix):
            text = text[len(prefix) :]
        elif os.path.isabs(text):  # noqa: PTH117
            text = os.path.relpath(text, os.path.abspath(root))  # noqa: PTH100
        if text.startswith(os.pardir + os.sep):
            raise ValueError(f"{file} is not under {root}")
        names.append(text if os.sep == "/" else text.replace(os.sep, "/"))
    return names


def _entries(root: Path, names: Sequence[str]) -> list[_Entry]:
    """Return the entries of the files, reading those that are new or have changed."""
    where = _table_path(root)
    with _lock:
        table = _tables.get(where)
        if table is None:
            table = _tables[where] = _load(where)
    prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118
    found: dict[str, _Entry] = {}
    unread: list[str] = []
    for name in dict.fromkeys(names):
        entry = table.get(name)
        if entry is not None and entry[:2] == _stat(prefix + name):
            found[name] = entry
        else:
            unread.append(name)
    if unread:
        parts = [unread[i : i + CHUNK] for i in range(0, len(unread), CHUNK)]
        with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
            for part, new in zip(
                parts, pool.map(lambda part: [_read(prefix + name) for name in part], parts), strict=True
            ):
                found.update(zip(part, new, strict=True))
        settled = time.time_ns() - SETTLED_NS
        with _lock:
            table.update({name: found[name] for name in unread if found[name][0] < settled})
            _save(where, root, table)
    return [found[name] for name in names]


def _stat(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return status.st_mtime_ns, status.st_size


def _read(path: str) -> _Entry:
    mtime_ns, size = _stat(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            if size > WHOLE_BYTES:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(-4, os.SEEK_END)
                return mtime_ns, size, sha256, _verdict(path, b"PAR1" + file.read())
            content = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return mtime_ns, size, hashlib.sha256(content).hexdigest(), _verdict(path, content)


def _verdict(path: str, content: bytes) -> str:
    """Return what is structurally wrong with a file; empty if nothing."""
    if not content:
        return "this file is empty"
    if content.startswith(_PNG) and content.rfind(_PNG_END) < 0:
        return "this PNG image is truncated (it has no IEND chunk)"
    # In a scan's data 0xFF is always followed by 0x00 or a restart marker; an end marker before the last
    # scan belongs to an embedded thumbnail.
    if content.startswith(_JPEG) and content.rfind(_JPEG_END) < max(content.rfind(_JPEG_SCAN), 0):
        return "this JPEG image is truncated (it has no end marker)"
    if path.endswith(".parquet") and not (content.startswith(b"PAR1") and content.endswith(b"PAR1")):
        return "this parquet file is truncated (it does not end with PAR1)"
    return ""


def _table_path(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:24]
    return cache_folder() / "hashes" / f"{name}.json"


def _load(where: Path) -> dict[str, _Entry]:
    try:
        table = json.loads(where.read_bytes())
        if table["schema"] != SCHEMA:
            return {}
        # Columns: one list a field is read twice as fast as one a file.
        columns = [table[field] for field in ("mtimes_ns", "sizes", "sha256", "verdicts")]
        return dict(zip(table["names"], zip(*columns, strict=True), strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.info("%s cannot be used (%s): the files are read again", where, error)
        return {}


def _save(where: Path, root: Path, table: dict[str, _Entry]) -> None:
    from bench.core.files import write_atomically

    mtimes_ns, sizes, sha256, verdicts = zip(*table.values(), strict=True) if table else ((), (), (), ())
    content = json.dumps(
        {
            "schema": SCHEMA,
            "root": os.fspath(root),
            "names": list(table),
            "mtimes_ns": mtimes_ns,
            "sizes": sizes,
            "sha256": sha256,
            "verdicts": verdicts,
        }
    )
    try:
        write_atomically(where, content.encode("utf-8", "surrogateescape"), durable=False)
    except AnobenchError as error:
        log.info("file hashes are not kept: %s", error)
