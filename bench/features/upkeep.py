"""Upkeep of the feature store: merging of small shards, the size limit, listing, checking.

It takes no lock: keys that a running process uses (see `bench.features.leases`) are not evicted, and their
superseded shards not deleted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ByteSize, TypeAdapter, ValidationError

from bench.core.errors import AnobenchError
from bench.features import shards
from bench.features.leases import pinned
from bench.features.shards import CorruptShard, Shard

log = logging.getLogger(__name__)

DEFAULT_LIMIT = "50GB"
#: Small shards of a key that are merged, their size, and that of a merged one.
MANY, SMALL_BYTES, MERGED_BYTES = 16, 128 * 2**20, 256 * 2**20


def parse_size(text: str) -> int | None:
    """Read ``"50GB"``, ``"1.5 TiB"`` or ``"none"`` as bytes.

    Raises
    ------
    AnobenchError
        Not a size.
    """
    if text.strip().lower() == "none":
        return None
    try:
        return int(TypeAdapter(ByteSize).validate_python(text.strip()))
    except ValidationError:
        raise AnobenchError(
            f"{text!r} is not a size; expected a number with a unit (50GB, 500MiB), or none"
        ) from None


def cache_limit() -> int | None:
    """Return the size limit of the store in bytes: ``ANOBENCH_CACHE_LIMIT``, 50 GB by default."""
    given = os.environ.get("ANOBENCH_CACHE_LIMIT", DEFAULT_LIMIT)
    try:
        return parse_size(given)
    except AnobenchError as error:
        raise AnobenchError(f"ANOBENCH_CACHE_LIMIT: {error}") from None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key as listed: folder, description, size in bytes, rows, time of last use."""

    folder: Path
    described: dict[str, Any]
    nbytes: int
    rows: int
    used: float


def key_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of all keys."""
    for folder in sorted(root.glob("[0-9a-f][0-9a-f]/*")):
        if folder.is_dir():
            yield folder


def manifests(folder: Path, *, replaced: bool = False) -> list[Shard]:
    """Return the readable manifests of a key: those that are not replaced by another, or those that are."""
    found = []
    for path in shards.manifest_paths(folder):
        with contextlib.suppress(CorruptShard, OSError):
            found.append(shards.read_manifest(path))
    names = {name for shard in found for name in shard.replaces}
    return [shard for shard in found if (shard.name in names) == replaced]


def size_of(folder: Path) -> int:
    """Return the bytes that a key takes on disk."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())
    return 0


def last_used(folder: Path) -> float:
    for path in (folder / "key.json", folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def info(folder: Path) -> KeyInfo:
    """Describe one key for a listing."""
    try:
        described = json.loads((folder / "key.json").read_bytes())
    except (OSError, ValueError):
        described = {}
    parts = [shard.rows for shard in manifests(folder)]
    rows = len(np.unique(np.concatenate(parts))) if parts else 0
    return KeyInfo(folder, described, size_of(folder), rows, last_used(folder))


def evict(root: Path, limit: int, *, dry_run: bool = False) -> list[Path]:
    """Delete the least recently used keys, except those in use, until the store is within `limit` bytes.

    Returns
    -------
    list of Path
        The folders deleted, or with `dry_run` those that would be.
    """
    sizes = {folder: size_of(folder) for folder in key_folders(root)}
    total, gone = sum(sizes.values()), []
    for folder in sorted(sizes, key=last_used):
        if total <= limit:
            break
        if pinned(folder):
            continue
        if not dry_run:
            delete(folder)
        gone.append(folder)
        total -= sizes[folder]
    if total > limit and not dry_run:
        log.info("feature store: %.1f GB, above its limit of %.1f GB, are in use", total / 1e9, limit / 1e9)
    return gone


def delete(folder: Path) -> None:
    """Delete a key, manifests first, so that no reader takes half of it for all."""
    for pattern in ("*.json", "*", ".*"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def check_key(folder: Path) -> tuple[list[str], int]:
    """Compare the shards of a key with their checksums and set damaged ones aside.

    Returns
    -------
    list of str, int
        The faults of the damaged ones, and the number of sound ones.
    """
    damaged, sound = [], 0
    for path in shards.manifest_paths(folder):
        try:
            shards.verify_values(shards.read_manifest(path))
            sound += 1
        except FileNotFoundError:
            continue
        except CorruptShard as error:
            damaged.append(str(error))
            shards.set_aside(path)
    return damaged, sound


def delete_scraps(folder: Path) -> int:
    """Delete the remains of damaged shards and interrupted writes; return the bytes freed."""
    freed = 0
    old = time.time() - 3600
    manifests_there = {path.stem for path in folder.glob("*.json")}
    scraps = [*folder.glob("*.corrupt"), *folder.glob(".*.tmp")]
    scraps += [path for path in folder.glob("*.npy") if path.stem not in manifests_there]
    for path in scraps:
        with contextlib.suppress(OSError):
            status = path.stat()
            # Another process may still be writing a young file.
            if path.suffix == ".corrupt" or status.st_mtime < old:
                path.unlink()
                freed += status.st_size
    return freed


def compact(folder: Path) -> bool:
    """Merge the small shards of a key if there are many; return whether there were.

    The merged shard names those it replaces; readers skip these, and they are deleted once no other process
    uses the key.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    small = [shard for shard in manifests(folder) if shard.nbytes < SMALL_BYTES]
    merging: list[Shard] = []
    for shard in small:
        if sum(one.nbytes for one in merging) + shard.nbytes <= MERGED_BYTES:
            merging.append(shard)
    if len(merging) >= MANY:
        try:
            opened = [shards.open_values(shard) for shard in merging]
        except CorruptShard:
            return False  # the next reader sets that shard aside
        rows, values = _merge([shard.rows for shard in merging], opened)
        seconds = sum(shard.seconds for shard in merging)
        shards.write(folder, rows, values, seconds, replaces=tuple(shard.name for shard in merging))
    old = manifests(folder, replaced=True)
    if old and not pinned(folder, by_others=True):
        for shard in old:
            shards.remove(shard)
    return len(merging) >= MANY


def _merge(rows: list[shards.Rows], values: list[NDArray[Any]]) -> tuple[shards.Rows, NDArray[Any]]:
    """Join shards in ascending order of row, each row once, copying the values once."""
    merged, first = np.unique(np.concatenate(rows), return_index=True)
    out = np.empty((len(merged), *values[0].shape[1:]), values[0].dtype)
    start = 0
    for part in values:
        mine = (first >= start) & (first < start + len(part))
        out[mine] = part[first[mine] - start]
        start += len(part)
    return merged, out
