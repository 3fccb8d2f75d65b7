"""The feature provider: where `Images` get features, feature_maps and pixels.

Pooled vectors come from memory (the arrays used last), else from the feature store, else from the network;
so each image goes through each backbone once, whatever views, methods, seeds and suites ask for it.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.errors import BackboneError, DataError
from bench.core.files import cache_folder
from bench.data.images import Resizing
from bench.data.resize import InputView, resize
from bench.data.source import Source
from bench.features.backbone import Backbone, Backbones
from bench.features.device import arithmetic, cache_bytes, give_back, synchronise, torch_threads
from bench.features.extract import Extractor, extract_rows, make_extractor
from bench.features.rowcache import FeatureRows, RowCache, read_images
from bench.features.shards import Rows
from bench.features.spec import NetworkTable, PixelsTable
from bench.features.store import FLUSH_ROWS, Store, StoreKey

if TYPE_CHECKING:
    from bench.features.trainable import Trainable

#: Networks kept built; a suite's cells are ordered so that one is rarely built twice.
KEPT_NETWORKS = 2


@dataclass(slots=True)
class FeatureUsage:
    """The cost of features since the last question.

    Attributes
    ----------
    seconds : float
        Wall time inside the provider, reading the store and building networks included.
    cold_seconds : float
        Cost of extracting all requested rows, by the recorded seconds a row, each row counted once.
    computed_rows, reused_rows : int
        Distinct rows computed by a backbone, and taken from the store or memory.
    """

    seconds: float = 0.0
    cold_seconds: float = 0.0
    computed_rows: int = 0
    reused_rows: int = 0


class FeatureProvider:
    """Turns rows of a source into tensors on a device.

    Parameters
    ----------
    backbones : Backbones
    device : str or torch.device
    cache : Path or None
        Folder of the feature store; None keeps features in memory only. By default ``features`` in the cache
        folder (``ANOBENCH_CACHE``).
    progress : callable, optional
        Called with (what, rows done, rows to do) after each batch of an extraction.
    storage : {"float32", "float16"}
        Type in which features are stored; they are rounded to it before use.
    batch_size : int, optional
        Of networks: 16 on a CPU and 64 on a GPU by default.
    hot_bytes : int, optional
        Feature arrays used last stay on the device up to this size; by default `device.cache_bytes`.
    threads : int, optional
        Of networks on a CPU; by default torch's. The features are the same with any number.
    """

    def __init__(
        self,
        backbones: Backbones,
        device: str | torch.device = "cpu",
        cache: Path | Literal["default"] | None = "default",
        progress: Callable[[str, int, int], None] | None = None,
        *,
        storage: Literal["float32", "float16"] = "float32",
        batch_size: int | None = None,
        hot_bytes: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.backbones, self.progress, self.storage = backbones, progress, storage
        self._batch_size, self._threads = batch_size, threads
        self._store = Store(cache_folder() / "features" if cache == "default" else cache)
        self._extractors: dict[str, Extractor] = {}
        self._resolved: dict[str, Backbone] = {}
        self._identities: dict[tuple[str, bool], str] = {}
        hot_bytes = cache_bytes(self.device) if hot_bytes is None else hot_bytes
        self._hot = RowCache(hot_bytes)
        self._pixels = RowCache(hot_bytes // 2) if self.device.type != "cpu" else None
        self._passes: Counter[type] = Counter()
        self._usage, self._asked = FeatureUsage(), dict[str, NDArray[np.bool_]]()
        #: What seconds are taken with, here and in `bench.run.runner`.
        self.clock: Callable[[], float] = time.perf_counter

    def seconds(self) -> float:
        """Return the clock's seconds once the device has finished its work."""
        synchronise(self.device)
        return self.clock()

    def metered(self) -> FeatureProvider:
        """Return this provider with a `usage` of its own: the same memory, store and networks."""
        other = copy.copy(self)
        other.usage()
        return other

    def usage(self) -> FeatureUsage:
        """Return the usage since the last call, and restart the count."""
        usage, self._usage, self._asked = self._usage, FeatureUsage(), {}
        return usage

    @property
    def forward_passes(self) -> int:
        """Images pushed through networks so far, without the padding of a last batch."""
        return self._passes[NetworkTable]

    def features(self, source: Source, rows: Rows, backbone: str) -> torch.Tensor:
        """Return pooled vectors, shape (n, d), float32, on the device.

        Raises
        ------
        BackboneError
            The backbone is unknown, or its weights are missing or wrong.
        DataError
            An image cannot be decoded; rows computed before it are kept.
        """
        with self._metering():
            return self._collect(source, rows, self._resolve(backbone), ())["pooled"]

    def feature_maps(
        self, source: Source, rows: Rows, backbone: str, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the maps of the named layers, each (n, c, h, w), float32, on the device.

        Raises
        ------
        BackboneError
            As for `features`; or a layer is unknown or has no map.
        DataError
        """
        with self._metering():
            if not layers:
                raise BackboneError(f"backbone {backbone}: no layers are given; name at least one")
            found = self._collect(source, rows, self._resolve(backbone), tuple(dict.fromkeys(layers)))
            return {layer: found[f"map:{layer}"] for layer in layers}

    def view(self, source: Source, row: int, backbone: str) -> InputView:
        """Return what a backbone sees of an image; raises as `features` does."""
        with self._metering():
            image = source.read(np.array([row]))[0]
            return self._extractor(self._resolve(backbone)).view(image.shape[0], image.shape[1])

    def pixels(self, source: Source, rows: Rows, size: Resizing | None) -> torch.Tensor:
        """Return images, shape (n, 3, h, w), uint8, on the device.

        Raises
        ------
        DataError
            An image cannot be decoded, or they differ in size and `size` is None.
        """
        with self._metering():
            shrink = lambda images: _resized(images, size)  # noqa: E731
            return read_images(source, rows, self.device, self._pixels, shrink=shrink).contiguous()

    def network(self, backbone: str) -> Trainable:
        """Return a new copy of a backbone's network, to be trained; raises as `features` does."""
        from bench.features.trainable import Trainable

        return Trainable(self._resolve(backbone), self.device)

    def _collect(
        self, source: Source, rows: Rows, backbone: Backbone, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """Return the features, from memory, the store or the network."""
        wanted = np.unique(rows)
        if not len(wanted):  # the shape of a row is only known from a row
            first = np.zeros(min(1, len(source)), np.int64)
            if not len(first):
                raise DataError(f"{source.name} has no images")
            return {what: value[:0] for what, value in self._collect(source, first, backbone, layers).items()}
        parts = {
            what: self._part(source, backbone, what, wanted)
            for what in [f"map:{layer}" for layer in layers] or ["pooled"]
        }
        for part in parts.values():
            part.load(part.missing(wanted))
        todo = _missing(parts, wanted)
        if len(todo):
            unfinished = {what: part for what, part in parts.items() if len(part.missing(wanted))}
            self._compute(source, backbone, todo, unfinished)
        for part in parts.values():
            self._count(part, wanted, todo, len(source))
        return {what: part.take(rows) for what, part in parts.items()}

    def _part(self, source: Source, backbone: Backbone, what: str, wanted: Rows) -> FeatureRows:
        pooled = what == "pooled"
        name = (backbone.name, pooled)
        if name not in self._identities:
            self._identities[name] = backbone.identity() if pooled else backbone.map_identity()
        key = StoreKey(
            source=source.name,
            fingerprint=source.fingerprint,
            backbone=backbone.name,
            identity=self._identities[name],
            what=what,
            precision=arithmetic(backbone.precision_on(self.device.type), self.device),
            dtype=self.storage,
        )
        # Pixels are made faster than they are read.
        stored = self._store.rows(key, len(source), keep=not isinstance(backbone.spec, PixelsTable))
        limit = self._hot.limit if pooled else 0
        return FeatureRows(stored, self._hot, len(source), wanted, self.device, limit)

    def _compute(self, source: Source, backbone: Backbone, todo: Rows, parts: dict[str, FeatureRows]) -> None:
        """Push rows through the network, into memory and the store."""
        layers = [what.removeprefix("map:") for what in parts if what != "pooled"]
        label, total, done = f"{source.name} · {backbone.name}", len(todo), 0
        blocks = [todo[start : start + FLUSH_ROWS] for start in range(0, len(todo), FLUSH_ROWS)]
        if any(part.stored.shared() for part in parts.values()):
            # Another process may compute the same rows: start elsewhere, and reload its results later.
            turn = os.getpid() % len(blocks)
            blocks = blocks[turn:] + blocks[:turn]
        try:
            for number, block in enumerate(blocks):
                for part in parts.values() if number else ():
                    part.load(part.missing(block))
                missing = _missing(parts, block)
                done += len(block) - len(missing)
                if not len(missing):
                    continue
                extractor = self._extractor(backbone)
                with torch_threads(self._threads):
                    for batch in extract_rows(extractor, source, missing, layers, self.device):
                        for what, part in parts.items():
                            part.add(batch.rows, batch.values[what], batch.seconds / len(parts))
                        done += len(batch.rows)
                        self._passes[type(backbone.spec)] += len(batch.rows)
                        if self.progress is not None:
                            self.progress(label, done, total)
        finally:
            for part in parts.values():
                part.stored.close()
            if self.device.type == "cpu" and isinstance(backbone.spec, NetworkTable):
                give_back()

    def _count(self, part: FeatureRows, wanted: Rows, todo: Rows, n: int) -> None:
        """Count rows that were not asked for since the last `usage`."""
        asked = self._asked.setdefault(part.stored.key.digest, np.zeros(n, np.bool_))
        new = wanted[~asked[wanted]]
        asked[new] = True
        computed = int(np.isin(new, todo, assume_unique=True).sum())
        self._usage.computed_rows += computed
        self._usage.reused_rows += len(new) - computed
        self._usage.cold_seconds += float(part.stored.seconds(new).sum())

    def _resolve(self, name: str) -> Backbone:
        if name not in self._resolved:
            self._resolved[name] = self.backbones.get(name)
        return self._resolved[name]

    def _extractor(self, backbone: Backbone) -> Extractor:
        if backbone.name not in self._extractors:
            while len(self._extractors) >= KEPT_NETWORKS:
                del self._extractors[next(iter(self._extractors))]
            self._extractors[backbone.name] = make_extractor(backbone, self.device, self._batch_size)
        return self._extractors[backbone.name]

    @contextlib.contextmanager
    def _metering(self) -> Iterator[None]:
        started = self.seconds()
        try:
            yield
            synchronise(self.device)
        finally:
            self._usage.seconds += self.clock() - started


def _missing(parts: Mapping[str, FeatureRows], rows: Rows) -> Rows:
    """Return the rows that are missing in any part, ascending."""
    return np.unique(np.concatenate([part.missing(rows) for part in parts.values()]))


def _resized(images: torch.Tensor, size: Resizing | None) -> torch.Tensor:
    if size is None:
        return images
    return size(images) if callable(size) else resize(images, size)
