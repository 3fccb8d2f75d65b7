"""The feature provider: what `Images` ask for features, feature_maps and pixels.

Pooled vectors come from memory (the matrices used last), else from the feature store, else from the network;
so each image goes through each backbone once, whatever views, methods, seeds and suites ask for it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.errors import BackboneError, DataError
from bench.core.files import cache_folder
from bench.data.images import Resizing
from bench.data.resize import resize, stack
from bench.data.source import Source
from bench.features.backbone import Backbone, Backbones
from bench.features.device import synchronise, torch_threads
from bench.features.extract import Extractor, extract, make_extractor
from bench.features.part import FeatureRows
from bench.features.rowcache import PixelCache, RowCache
from bench.features.spec import PixelsTable
from bench.features.store import FLUSH_ROWS, Store, StoreKey
from bench.features.usage import FeatureUsage, Tally

if TYPE_CHECKING:
    from bench.features.trainable import Trainable

Rows = NDArray[np.int64]
#: Networks kept built; a suite's cells are ordered so that one is rarely built twice.
KEPT_NETWORKS = 2
Progress = Callable[[str, int, int], None]


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
        Type in which features are kept; they are rounded to it before anyone sees them.
    batch_size : int, optional
        Of networks: 16 on a CPU and 256 on a GPU by default.
    hot_bytes : int
        Feature matrices used last are kept on the device up to this size.
    threads : int, optional
        Of networks on a CPU; by default those that torch has. The features are the same with any number.
    """

    def __init__(
        self,
        backbones: Backbones,
        device: str | torch.device = "cpu",
        cache: Path | Literal["default"] | None = "default",
        progress: Progress | None = None,
        *,
        storage: Literal["float32", "float16"] = "float32",
        batch_size: int | None = None,
        hot_bytes: int = 2**30,
        threads: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.backbones, self.progress, self.storage = backbones, progress, storage
        self._batch_size, self._threads = batch_size, threads
        self._store = Store(cache_folder() / "features" if cache == "default" else cache)
        self._extractors: dict[str, Extractor] = {}
        self._resolved: dict[str, Backbone] = {}
        self._identities: dict[tuple[str, bool], str] = {}
        self._hot = RowCache(self.device, hot_bytes)
        self._pixels = PixelCache(self.device, hot_bytes // 2)
        self._passes = 0
        self._tally = Tally()

    def usage(self) -> FeatureUsage:
        """Return what was spent since the last call, and start counting anew."""
        usage, self._tally = self._tally.usage(), Tally()
        return usage

    @contextlib.contextmanager
    def counting(self, tally: Tally) -> Iterator[None]:
        """Count what is asked for inside the block in this tally."""
        before, self._tally = self._tally, tally
        try:
            yield
        finally:
            self._tally = before

    @property
    def forward_passes(self) -> int:
        """Images pushed through networks so far; padding of the last batch is not counted."""
        return self._passes + sum(extractor.passes for extractor in self._extractors.values())

    def features(self, source: Source, rows: Rows, backbone: str) -> torch.Tensor:
        """Return pooled vectors, shape (n, d), float32, on the device.

        Raises
        ------
        BackboneError
            The backbone is unknown, or its weights are missing or not what they should be.
        DataError
            An image cannot be decoded; rows computed before it are kept.
        """
        with self._clock():
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
        with self._clock():
            if not layers:
                raise BackboneError(f"backbone {backbone}: no layers were asked for; name at least one")
            found = self._collect(source, rows, self._resolve(backbone), tuple(dict.fromkeys(layers)))
            return {layer: found[f"map:{layer}"] for layer in layers}

    def pixels(self, source: Source, rows: Rows, size: Resizing | None) -> torch.Tensor:
        """Return images, shape (n, 3, h, w), uint8, on the device.

        Raises
        ------
        DataError
            An image cannot be decoded, or they differ in size and `size` is None.
        """
        with self._clock():
            pictures = self._pixels.read(source, rows)
            if isinstance(pictures, torch.Tensor):
                return _resized(pictures, size).contiguous()
            return stack([_resized(picture, size) for picture in pictures]).contiguous()

    def network(self, backbone: str) -> Trainable:
        """Return a new copy of a backbone's network, to be trained.

        Raises
        ------
        BackboneError
            The backbone is unknown, is no network, or its weights are missing or not what they should be.
        """
        from bench.features.trainable import Trainable

        return Trainable(self._resolve(backbone), self.device)

    def _collect(
        self, source: Source, rows: Rows, backbone: Backbone, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """Bring together what memory, the store and the network have."""
        wanted = np.unique(rows)
        if not len(wanted):  # the shape of a row is only known from a row
            first = np.zeros(min(1, len(source)), np.int64)
            if not len(first):
                raise DataError(f"{source.name} has no images")
            return {what: value[:0] for what, value in self._collect(source, first, backbone, layers).items()}
        parts = {
            what: self._part(source, backbone, what)
            for what in [f"map:{layer}" for layer in layers] or ["pooled"]
        }
        for part in parts.values():
            part.from_store(part.matrix.lacking(wanted), wanted)
        todo = np.unique(np.concatenate([part.matrix.lacking(wanted) for part in parts.values()]))
        if len(todo):
            self._compute(
                source,
                backbone,
                todo,
                {k: p for k, p in parts.items() if len(p.matrix.lacking(wanted))},
                wanted,
            )
        for part in parts.values():
            self._count(part, wanted, todo, len(source))
            self._hot.keep(part.digest, part.matrix)
        return {what: part.matrix.take(rows) for what, part in parts.items()}

    def _part(self, source: Source, backbone: Backbone, what: str) -> FeatureRows:
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
            precision=backbone.precision_on(self.device.type),
            dtype=self.storage,
        )
        # Pixels are quicker made than read.
        kept = self._store.rows(key, keep=not isinstance(backbone.spec, PixelsTable))
        limit = self._hot.limit if pooled else 0
        return FeatureRows(key.digest, kept, self._hot.open(key.digest, len(source)), limit)

    def _compute(
        self, source: Source, backbone: Backbone, todo: Rows, parts: dict[str, FeatureRows], wanted: Rows
    ) -> None:
        """Push rows through the network, into the matrices and the store."""
        layers = [what.removeprefix("map:") for what in parts if what != "pooled"]
        label, total, done = f"{source.name} · {backbone.name}", len(todo), 0
        blocks = [todo[start : start + FLUSH_ROWS] for start in range(0, len(todo), FLUSH_ROWS)]
        if any(part.kept.shared() for part in parts.values()):
            # Another process may be at the same rows: begin elsewhere, and look at what it has done.
            turn = os.getpid() % len(blocks)
            blocks = blocks[turn:] + blocks[:turn]
        extractor: Extractor | None = None
        try:
            for number, block in enumerate(blocks):
                if number:
                    for part in parts.values():
                        part.from_store(part.matrix.lacking(block), wanted)
                lacking = np.unique(np.concatenate([part.matrix.lacking(block) for part in parts.values()]))
                done += len(block) - len(lacking)
                if not len(lacking):
                    continue
                extractor = extractor or self._extractor(backbone)
                with torch_threads(self._threads):
                    for batch in extract(extractor, source, lacking, layers, self.device):
                        for what, part in parts.items():
                            part.computed(batch.rows, batch.values[what], batch.seconds / len(parts), wanted)
                        done += len(batch.rows)
                        if self.progress is not None:
                            self.progress(label, done, total)
        finally:
            for part in parts.values():
                part.kept.close()

    def _count(self, part: FeatureRows, wanted: Rows, todo: Rows, n: int) -> None:
        """Count rows that were not asked for since the last `usage`."""
        asked = self._tally.asked.setdefault(part.digest, np.zeros(n, np.bool_))
        new = wanted[~asked[wanted]]
        asked[new] = True
        computed = int(np.isin(new, todo, assume_unique=True).sum())
        self._tally.computed += computed
        self._tally.reused += len(new) - computed
        self._tally.cold += float(part.kept.seconds(new).sum())

    def _resolve(self, name: str) -> Backbone:
        if name not in self._resolved:
            self._resolved[name] = self.backbones.get(name)
        return self._resolved[name]

    def _extractor(self, backbone: Backbone) -> Extractor:
        if backbone.name not in self._extractors:
            while len(self._extractors) >= KEPT_NETWORKS:
                self._passes += self._extractors.pop(next(iter(self._extractors))).passes
            self._extractors[backbone.name] = make_extractor(backbone, self.device, self._batch_size)
        return self._extractors[backbone.name]

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        synchronise(self.device)
        started = time.perf_counter()
        try:
            yield
            synchronise(self.device)
        finally:
            self._tally.seconds += time.perf_counter() - started


class Meter:
    """A provider as one cell sees it: the same features, counted for this cell.

    Parameters
    ----------
    provider : FeatureProvider
    """

    def __init__(self, provider: FeatureProvider) -> None:
        self._provider, self._tally = provider, Tally()
        self.device = provider.device

    def usage(self) -> FeatureUsage:
        """Return what this cell spent since the last call, and start counting anew."""
        usage, self._tally = self._tally.usage(), Tally()
        return usage

    def features(self, source: Source, rows: Rows, backbone: str) -> torch.Tensor:
        with self._provider.counting(self._tally):
            return self._provider.features(source, rows, backbone)

    def feature_maps(
        self, source: Source, rows: Rows, backbone: str, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        with self._provider.counting(self._tally):
            return self._provider.feature_maps(source, rows, backbone, layers)

    def pixels(self, source: Source, rows: Rows, size: Resizing | None) -> torch.Tensor:
        with self._provider.counting(self._tally):
            return self._provider.pixels(source, rows, size)

    def network(self, backbone: str) -> Trainable:
        return self._provider.network(backbone)


def _resized(pictures: torch.Tensor, size: Resizing | None) -> torch.Tensor:
    if size is None:
        return pictures
    return size(pictures) if callable(size) else resize(pictures, size)
