"""Shards: rows of features on disk.

A shard is ``<uuid>.npy`` (the values) and ``<uuid>.json`` (its manifest: which rows, the sha256 of the
values). Both are written under a temporary name, flushed to disk and renamed, the manifest last: a shard with
a manifest is complete, so any number of processes may add shards without a lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.files import write_file

STORE_SCHEMA = 1
Rows = NDArray[np.int64]


class CorruptShard(Exception):
    """A shard that does not match its manifest; its rows must be computed again."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """The manifest of a shard.

    Attributes
    ----------
    path : Path
        Of the manifest.
    rows : ndarray, (n,), int64
        Row numbers in the source, in the order of the values.
    seconds : float
        Time to compute them.
    sha256 : str
        Of the values' file.
    nbytes : int
        Size of the values' file.
    replaces : tuple of str
        Names of older shards whose rows are all in this one.
    """

    path: Path
    rows: Rows
    seconds: float
    sha256: str
    nbytes: int
    replaces: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def values_path(self) -> Path:
        return self.path.with_suffix(".npy")


def write(
    folder: Path, rows: Rows, values: NDArray[Any], seconds: float, *, replaces: tuple[str, ...] = ()
) -> Shard:
    """Add a shard; returns once it is safely on disk.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; nothing is left behind.
    """
    name = uuid.uuid4().hex
    path = folder / f"{name}.json"
    sha256, nbytes = _write_values(path.with_suffix(".npy"), values)
    shard = Shard(path, rows, seconds, sha256, nbytes, replaces)
    manifest = {
        "schema": STORE_SCHEMA,
        "rows": _runs(rows),
        "shape": list(values.shape),
        "dtype": values.dtype.str,
        "seconds": seconds,
        "sha256": sha256,
        "bytes": nbytes,
        "replaces": list(replaces),
    }
    try:
        write_file(path, json.dumps(manifest, separators=(",", ":")).encode())
    except OSError:
        with contextlib.suppress(OSError):
            path.with_suffix(".npy").unlink()
        raise
    return shard


def _write_values(path: Path, values: NDArray[Any]) -> tuple[str, int]:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(values))
    body = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    digest = hashlib.sha256(head.getvalue())
    digest.update(body)
    write_file(path, head.getvalue(), body)
    return digest.hexdigest(), len(head.getvalue()) + len(body)


def manifest_paths(folder: Path) -> list[Path]:
    """Return the paths of a key's manifests."""
    return [path for path in sorted(folder.glob("*.json")) if path.name != "key.json"]


def read_manifest(path: Path) -> Shard:
    """Read a manifest.

    Raises
    ------
    CorruptShard
        It is damaged or of another schema version.
    FileNotFoundError
        It was compacted or evicted meanwhile.
    """
    text = path.read_bytes()
    try:
        data = json.loads(text)
        if data["schema"] != STORE_SCHEMA:
            raise CorruptShard(
                f"{path}: its schema is {data['schema']!r}, this anobench reads {STORE_SCHEMA}"
            )
        rows = np.concatenate(
            [np.empty(0, np.int64), *(np.arange(a, b, dtype=np.int64) for a, b in data["rows"])]
        )
        shard = Shard(
            path, rows, float(data["seconds"]), data["sha256"], int(data["bytes"]), tuple(data["replaces"])
        )
        if len(rows) != data["shape"][0]:
            raise CorruptShard(f"{path}: it lists {len(rows)} rows, but its shape says {data['shape'][0]}")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptShard(f"{path}: not a manifest ({type(error).__name__}: {error})") from None
    return shard


def verify_values(shard: Shard) -> None:
    """Compare the values with the manifest's checksum.

    Raises
    ------
    CorruptShard
        They differ, or the file is missing.
    """
    try:
        with shard.values_path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptShard(f"{shard.values_path}: cannot be read ({error.strerror or error})") from None
    if found != shard.sha256:
        raise CorruptShard(
            f"{shard.values_path}: its checksum is {found[:12]}…, its manifest says {shard.sha256[:12]}…"
        )


def open_values(shard: Shard, *, verified: bool = False) -> NDArray[Any]:
    """Map the values of a shard into memory, read-only, after `verify_values` unless that was done.

    Raises
    ------
    CorruptShard
        The file is not an array, or does not match the manifest.
    """
    if not verified:
        verify_values(shard)
    try:
        values: NDArray[Any] = np.load(shard.values_path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptShard(f"{shard.values_path}: cannot be mapped ({error})") from None
    if len(values) != len(shard.rows):
        raise CorruptShard(f"{shard.values_path}: {len(values)} rows instead of {len(shard.rows)}")
    return values


def let_go(values: NDArray[Any]) -> None:
    """Take mapped values out of this process's memory; the kernel has them, or reads them again, when asked.

    Otherwise all feature maps that a process has read count as its memory until it ends.
    """
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def remove(shard: Shard) -> None:
    """Delete a shard, manifest first, so that no reader finds a manifest without values."""
    for path in (shard.path, shard.values_path):
        with contextlib.suppress(OSError):
            path.unlink()


def set_aside(shard_path: Path) -> None:
    """Keep a corrupt shard from being read again, without deleting it."""
    with contextlib.suppress(OSError):
        shard_path.rename(shard_path.with_suffix(".json.corrupt"))


def _runs(rows: Rows) -> list[list[int]]:
    """Return ascending rows as [start, stop) runs: all rows of a source are one."""
    if not len(rows):
        return []
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    starts, stops = rows[np.r_[0, cuts]], rows[np.r_[cuts - 1, len(rows) - 1]] + 1
    return [[int(start), int(stop)] for start, stop in zip(starts, stops, strict=True)]
