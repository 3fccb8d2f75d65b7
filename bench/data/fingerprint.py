"""Fingerprints of files: sha256 over content, computed once and kept by what the file system says of a file.

The same files give the same fingerprint on every machine and in every order. When a file is first read, its
structure is checked too, so that a truncated download is named before anything runs. The results are kept
under ``<cache>/hashes``, one JSON file per root folder; losing it only costs reading the files again.

A file counts as unchanged while its modification time, size, change time and inode are the same: copies and
moves that keep size and modification time are seen, since they change one of the others. Not seen is a
change that the file system does not note (bytes written to the disk below it, a clock set back).
`reading_anew` reads all the same; ``anobench data check`` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.core.errors import AnobenchError, DataError
from bench.core.files import cache_folder
from bench.data.whole import truncated

log = logging.getLogger(__name__)

SCHEMA = 2
#: Files that changed less than this long ago may change again within one tick of the file system's clock:
#: their entries are used but not kept.
SETTLED_NS = 100_000_000
#: Larger files are hashed piece by piece and not checked as images.
WHOLE_BYTES = 64 * 2**20
CHUNK = 256

#: Modification time in ns, size, change time in ns, inode: a file with another one is read again.
Stamp = tuple[int, int, int, int]
#: Stamp, sha256, and what is wrong with the file (empty if nothing). Plain tuples, for speed: the cache may
#: have 100,000 of them.
Entry = tuple[Stamp, str, str]

_STAMPS = ("mtimes_ns", "sizes", "ctimes_ns", "inodes")

_lock = threading.Lock()
_tables: dict[Path, dict[str, Entry]] = {}
#: While `reading_anew`: the files that turned out to differ from what was kept of them.
_stale: list[str] | None = None


@contextlib.contextmanager
def reading_anew() -> Iterator[list[str]]:
    """Read every file that is asked for, whatever is kept of it.

    Yields
    ------
    list of str
        Files whose content has changed behind an unchanged stamp, as they are found.
    """
    global _stale
    before, _stale = _stale, []
    try:
        yield _stale
    finally:
        _stale = before


def file_sha256(path: Path) -> str:
    """Return the sha256 (hex) of one file, kept by its resolved path and `Stamp`.

    Raises
    ------
    DataError
        The file cannot be read.

    Examples
    --------
    >>> _ = (folder / "weights.bin").write_bytes(b"abc")
    >>> bench.file_sha256(folder / "weights.bin")[:8]
    'ba7816bf'
    """
    resolved = Path(os.path.realpath(path))
    return entries_of(resolved.parent, [resolved.name])[0][1]


def file_hashes(root: Path, files: Sequence[Path | str]) -> list[str]:
    """Return the sha256 (hex) of each file's content, in their order, kept as those of `files_fingerprint`.

    Raises
    ------
    DataError
        A file cannot be read.
    ValueError
        A file is not under `root`.
    """
    return [entry[1] for entry in entries_of(Path(os.path.realpath(root)), _relative(root, files))]


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
        A file cannot be read, is empty, or is a truncated image (see `bench.data.whole`) or parquet file;
        the message names it.
    ValueError
        A file is not under `root`.
    """
    names = _relative(root, files)
    return combined(root, names, entries_of(Path(os.path.realpath(root)), names))


def combined(root: Path, names: Sequence[str], entries: Sequence[Entry]) -> str:
    """Return the fingerprint of files whose entries are known: see `files_fingerprint`."""
    broken = sorted((name, entry[2]) for name, entry in zip(names, entries, strict=True) if entry[2])
    if broken:
        name, verdict = broken[0]
        more = f" (and {len(broken) - 1} more files are damaged)" if len(broken) > 1 else ""
        raise DataError(f"{root / name}: {verdict}{more}; fetch or export it again")
    lines = sorted(f"{name}\0{entry[0][1]}\0{entry[1]}\n" for name, entry in zip(names, entries, strict=True))
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


def entries_of(root: Path, names: Sequence[str]) -> list[Entry]:
    """Return what is known of files under a resolved root, reading those that are new or have changed."""
    where = _table_path(root)
    with _lock:
        table = _tables.get(where)
        if table is None:
            table = _tables[where] = _load(where)
    prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118
    found: dict[str, Entry] = {}
    unread: list[str] = []
    for name in dict.fromkeys(names):
        entry = table.get(name)
        if entry is not None and entry[0] == _stat(prefix + name) and _stale is None:
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
        if _stale is not None:
            _stale.extend(
                prefix + name for name in unread if name in table and _differs(table[name], found[name])
            )
        with _lock:
            table.update({name: found[name] for name in unread if _changed_at(found[name]) < settled})
            _save(where, root, table)
    return [found[name] for name in names]


def _differs(kept: Entry, found: Entry) -> bool:
    return kept[0] == found[0] and kept[1] != found[1]


def _changed_at(entry: Entry) -> int:
    """Return when a file was last written or replaced, in ns."""
    mtime_ns, _, ctime_ns, _ = entry[0]
    return max(mtime_ns, ctime_ns)


def _stat(path: str) -> Stamp:
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', '') or error})") from None


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells whether a file has changed."""
    return status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino


def _read(path: str) -> Entry:
    stamp = _stat(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            if stamp[1] > WHOLE_BYTES:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(-4, os.SEEK_END)
                return stamp, sha256, _verdict(path, b"PAR1" + file.read())
            content = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return stamp, hashlib.sha256(content).hexdigest(), _verdict(path, content)


def _verdict(path: str, content: bytes) -> str:
    """Return what is structurally wrong with a file; empty if nothing."""
    if not content:
        return "this file is empty"
    if path.endswith(".parquet") and not (content.startswith(b"PAR1") and content.endswith(b"PAR1")):
        return "this parquet file is truncated (it does not end with PAR1)"
    why = truncated(content)
    return f"this {why}" if why else ""


def _table_path(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:24]
    return cache_folder() / "hashes" / f"{name}.json"


def _load(where: Path) -> dict[str, Entry]:
    try:
        table = json.loads(where.read_bytes())
        if table["schema"] != SCHEMA:
            return {}
        # Columns: one list a field is read twice as fast as one a file.
        stamps = zip(*(table[field] for field in _STAMPS), strict=True)
        entries = zip(stamps, table["sha256"], table["verdicts"], strict=True)
        return dict(zip(table["names"], entries, strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.info("%s cannot be used (%s): the files are read again", where, error)
        return {}


def _save(where: Path, root: Path, table: dict[str, Entry]) -> None:
    from bench.core.files import write_atomically

    stamps, sha256, verdicts = zip(*table.values(), strict=True) if table else ((), (), ())
    content = json.dumps(
        {
            "schema": SCHEMA,
            "root": os.fspath(root),
            "names": list(table),
            **{field: [stamp[at] for stamp in stamps] for at, field in enumerate(_STAMPS)},
            "sha256": sha256,
            "verdicts": verdicts,
        }
    )
    try:
        write_atomically(where, content.encode("utf-8", "surrogateescape"), durable=False)
    except AnobenchError as error:
        log.info("file hashes are not kept: %s", error)
