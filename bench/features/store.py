"""The feature store: each row of each source through each backbone once, on disk.

::

    <cache>/features/v1/<first two digits>/<key>/key.json      description; its time is that of the last use
                                                <uuid>.npy      values, .json their manifest (see shards)
                                                .pin-<process>  a running process reads here

The key is a sha256 over source fingerprint, backbone identity, kind (pooled vectors or the maps of a layer),
precision of the network and type of the numbers. If the folder cannot be written, the rows stay in memory,
with one warning.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.determinism import canonical_json
from bench.core.files import write_file
from bench.features import leases as pins
from bench.features import shards, upkeep
from bench.features.shards import CorruptShard, Rows, Shard

log = logging.getLogger(__name__)

#: Rows, bytes or seconds between two flushes: the most that a crash loses.
FLUSH_ROWS, FLUSH_BYTES, FLUSH_SECONDS = 2048, 64 * 2**20, 20.0
#: Bytes kept in memory if the folder cannot be written.
MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKey:
    """Everything that determines a row's values, and two names for listings.

    Attributes
    ----------
    source, backbone : str
        For listings only.
    what : str
        ``"pooled"`` or ``"map:<layer>"``.
    precision : str
        The network's, and the kind of device where that is no CPU: ``"float32"``, ``"float32 on cuda"``.
    dtype : {"float32", "float16"}
        Of the numbers kept.
    """

    source: str
    fingerprint: str
    backbone: str
    identity: str
    what: str
    precision: str
    dtype: str

    @property
    def digest(self) -> str:
        return _digest(self)


@functools.lru_cache(maxsize=1024)
def _digest(key: StoreKey) -> str:
    parts = {name: value for name, value in asdict(key).items() if name not in ("source", "backbone")}
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


class Store:
    """All keys under one folder.

    Parameters
    ----------
    root : Path or None
        None keeps everything in memory.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = None if root is None else root / f"v{shards.STORE_SCHEMA}"
        self._limit = None if root is None else upkeep.cache_limit()
        #: Bytes of rows that could not be written, and whether their limit was reached.
        self.in_memory, self._warned = 0, False
        self._open: dict[str, KeyRows] = {}

    def rows(self, key: StoreKey, n: int, *, keep: bool = True) -> KeyRows:
        """Return the rows of a key, for a source of n; with ``keep=False`` only their cost is kept."""
        digest = key.digest
        if digest not in self._open:
            folder = None if self.root is None or not keep else self.root / digest[:2] / digest
            self._open[digest] = KeyRows(key, n, folder, self, keep=keep)
        return self._open[digest]

    def write_failed(self, error: OSError, folder: Path) -> None:
        """Continue in memory, with one warning."""
        if self.root is None:
            return
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        log.warning(
            "%s; features computed from now on stay in this process's memory and are lost when it ends. %s",
            f"the disk of the feature store ({folder}) is full"
            if full
            else f"the feature store {folder} cannot be written ({error.strerror or error})",
            "Free space (anobench cache prune), or set ANOBENCH_CACHE to a folder on another disk."
            if full
            else "Set ANOBENCH_CACHE to a folder that can be written.",
        )
        self.root = None

    def may_keep(self, nbytes: int) -> bool:
        """Return whether this much more may stay in memory; rows that may not are computed again."""
        if self.in_memory + nbytes > MEMORY_BYTES:
            if not self._warned:
                log.warning("features in memory reach %d GiB; more are not kept", MEMORY_BYTES // 2**30)
            self._warned = True
            return False
        self.in_memory += nbytes
        return True

    def make_room(self) -> None:
        """Evict the least recently used keys that no running process uses, down to the limit."""
        if self.root is not None and self._limit is not None:
            upkeep.evict(self.root, self._limit)


class KeyRows:
    """The rows of one key: on disk, from any process, and in memory."""

    def __init__(self, key: StoreKey, n: int, folder: Path | None, store: Store, *, keep: bool) -> None:
        self.key, self._folder, self._store, self._keep = key, folder, store, keep
        self._parts: list[tuple[Shard | None, NDArray[Any]]] = []
        self._known: set[str] = set()
        # For each row of the source: which part it is in (-1: none), at which place, and what it cost.
        self._part = np.full(n, -1, np.int32)
        self._place = np.zeros(n, np.int64)
        self._cost = np.zeros(n)
        self._waiting: list[tuple[Rows, NDArray[Any], float]] = []
        self._flushed = time.monotonic()

    def refresh(self) -> None:
        """Open the shards added since, by this or any other process."""
        if self._folder is None or not self._folder.is_dir():
            return
        pins.pin(self._folder)
        pins.touch(self._folder)
        found = []
        for path in shards.manifest_paths(self._folder):
            if path.stem in self._known:
                continue
            try:
                found.append(shards.read_manifest(path))
            except FileNotFoundError:
                continue
            except CorruptShard as error:
                self._corrupt(path, error)
        replaced = {name for shard in found for name in shard.replaces}
        for shard in found:
            self._known.add(shard.name)
            if shard.name not in replaced:
                self._take(shard)

    def _take(self, shard: Shard) -> None:
        try:
            values = shards.open_values(shard)
            if shard.rows.max(initial=0) >= len(self._part):
                raise CorruptShard(f"{shard.path}: it names rows beyond the {len(self._part)} of the source")
        except CorruptShard as error:
            if shard.path.exists():
                self._corrupt(shard.path, error)
            return
        self._add(shard.rows, values, shard.seconds, shard)

    def _corrupt(self, path: Path, error: CorruptShard) -> None:
        self._known.add(path.stem)
        log.warning("feature store: a corrupt shard is set aside and its rows are computed again: %s", error)
        shards.set_aside(path)

    def _add(self, rows: Rows, values: NDArray[Any], seconds: float, shard: Shard | None) -> None:
        if not len(rows):
            return
        new = self._part[rows] < 0
        self._part[rows[new]] = len(self._parts)
        self._place[rows[new]] = np.flatnonzero(new)
        self._cost[rows[new]] = seconds / len(rows)
        self._parts.append((shard, values))

    def shared(self) -> bool:
        """Return whether another running process uses this key."""
        return self._folder is not None and pins.pinned(self._folder, by_others=True)

    def have(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which of the rows are there, (n,)."""
        return self._part[rows] >= 0

    def seconds(self, rows: Rows) -> NDArray[np.float64]:
        """Return the time to compute each row, (n,); 0 for those that are not there."""
        return self._cost[rows]

    def read(self, rows: Rows) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield (positions in `rows`, their values), some MB at a time."""
        part = self._part[rows]
        for number in np.unique(part):
            at = np.flatnonzero(part == number)
            values = self._parts[number][1]
            step = max(1, FLUSH_BYTES // max(1, values[:1].nbytes))
            for start in range(0, len(at), step):
                some = at[start : start + step]
                yield some, values[self._place[rows[some]]]
                shards.let_go(values)

    def add(self, rows: Rows, values: NDArray[Any], seconds: float) -> None:
        """Add newly computed rows; they are written with the next flush."""
        self._cost[rows] = seconds / max(1, len(rows))
        if not self._keep:
            return
        self._waiting.append((rows, values, seconds))
        n = sum(len(part[0]) for part in self._waiting)
        nbytes = sum(part[1].nbytes for part in self._waiting)
        late = time.monotonic() - self._flushed > FLUSH_SECONDS
        if n >= FLUSH_ROWS or nbytes >= FLUSH_BYTES or late:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows as one shard."""
        self._flushed = time.monotonic()
        if not self._waiting:
            return
        rows = np.concatenate([part[0] for part in self._waiting])
        values = np.concatenate([part[1] for part in self._waiting])
        seconds = sum(part[2] for part in self._waiting)
        self._waiting = []
        order = np.argsort(rows, kind="stable")
        if not np.array_equal(order, np.arange(len(rows))):
            rows, values = rows[order], values[order]
        shard = None
        if self._folder is not None and self._store.root is not None:
            try:
                self._describe(self._folder)
                shard = shards.write(self._folder, rows, values, seconds)
                self._known.add(shard.name)
                values = shards.open_values(shard, verified=True)
            except OSError as error:
                self._store.write_failed(error, self._folder)
        if shard is None and not self._store.may_keep(values.nbytes):
            return
        self._add(rows, values, seconds, shard)

    def _describe(self, folder: Path) -> None:
        if not (folder / "key.json").exists():
            described = {"schema": shards.STORE_SCHEMA, **asdict(self.key)}
            write_file(folder / "key.json", json.dumps(described, indent=1).encode())
        pins.pin(folder)

    def close(self) -> None:
        """Flush, merge small shards if there are many, and make room if the store is too large."""
        self.flush()
        if self._folder is not None and self._store.root is not None:
            try:
                upkeep.compact(self._folder)
                self._store.make_room()
            except OSError as error:
                log.info("feature store: upkeep of %s failed: %s", self._folder, error)
