"""Extraction: rows of a source, read ahead by a thread, through a network or ``pixels`` and ``hog``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from bench.core.errors import BackboneError
from bench.data.resize import InputView, PixelArrays, resize
from bench.data.source import Source
from bench.features.backbone import Backbone
from bench.features.device import synchronise
from bench.features.preprocess import on_device
from bench.features.shards import Rows
from bench.features.spec import HogTable, NetworkTable, PixelsTable

#: So many batches are read ahead of the network, if they take no more bytes than these.
AHEAD, AHEAD_BYTES = 3, 2**30


class Extractor(Protocol):
    """Turns images into features: a `FrozenNetwork` or `Handcrafted`."""

    batch_size: int

    def on_host(self, pixels: PixelArrays) -> PixelArrays: ...

    def pooled(self, pixels: PixelArrays) -> torch.Tensor: ...

    def maps(self, pixels: PixelArrays, layers: Sequence[str]) -> dict[str, torch.Tensor]: ...

    def view(self, height: int, width: int) -> InputView: ...


class Handcrafted:
    """Computes ``pixels`` and ``hog`` (histograms of oriented gradients, Dalal and Triggs, 2005).

    Parameters
    ----------
    backbone : Backbone
        Whose `spec` is a `PixelsTable` or a `HogTable`.
    device : torch.device
        Where the result goes; ``hog`` itself is computed on the host.
    """

    batch_size = 64

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        assert isinstance(backbone.spec, PixelsTable | HogTable)
        self.backbone, self.device, self._spec = backbone, device, backbone.spec

    def on_host(self, pixels: PixelArrays) -> PixelArrays:
        return pixels

    def pooled(self, pixels: PixelArrays) -> torch.Tensor:
        """Return the vectors, shape (b, d), float32, on the device."""
        on = self.device if isinstance(self._spec, PixelsTable) else torch.device("cpu")
        size = (self._spec.size, self._spec.size)
        small = on_device(pixels, on, lambda images: resize(images, size))
        if isinstance(self._spec, PixelsTable):
            return small.flatten(1).to(torch.float32) / 255
        spec = self._spec
        from skimage.feature import hog

        vectors = [
            hog(
                image.permute(1, 2, 0).numpy(),
                orientations=spec.orientations,
                pixels_per_cell=(spec.cell, spec.cell),
                cells_per_block=(spec.block, spec.block),
                channel_axis=-1,
            )
            for image in small
        ]
        return torch.from_numpy(np.stack(vectors).astype(np.float32)).to(self.device)

    def maps(self, pixels: PixelArrays, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Raise BackboneError: there are no maps."""
        del pixels
        raise BackboneError(
            f"backbone {self.backbone.name} has no feature maps ({', '.join(layers)}); choose a network"
        )

    def view(self, height: int, width: int) -> InputView:
        """Return what it sees of images of this size."""
        del height, width
        return InputView(self._spec.size, self._spec.size)


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Features of some rows, by kind (``"pooled"`` or ``"map:<layer>"``), and the seconds they took."""

    rows: Rows
    values: dict[str, torch.Tensor]
    seconds: float


def make_extractor(backbone: Backbone, device: torch.device, batch_size: int | None = None) -> Extractor:
    """Build the extractor of a backbone.

    Raises
    ------
    BackboneError
        It cannot be built.
    """
    if isinstance(backbone.spec, NetworkTable):
        from bench.features.network import FrozenNetwork

        return FrozenNetwork(backbone, device, batch_size)
    return Handcrafted(backbone, device)


def extract_rows(
    extractor: Extractor, source: Source, rows: Rows, layers: Sequence[str], device: torch.device
) -> Iterator[Computed]:
    """Yield the features of `rows`, a batch at a time.

    Images are read and decoded in the background, some batches ahead of the network.

    Parameters
    ----------
    layers : sequence of str
        The layers whose maps to compute; empty for the pooled vectors.
    """
    started = time.perf_counter()
    for some, pixels in _read_ahead(extractor, source, rows):
        if layers:
            values = {f"map:{layer}": maps for layer, maps in extractor.maps(pixels, layers).items()}
        else:
            values = {"pooled": extractor.pooled(pixels)}
        synchronise(device)
        yield Computed(some, values, time.perf_counter() - started)
        started = time.perf_counter()


def _read_ahead(extractor: Extractor, source: Source, rows: Rows) -> Iterator[tuple[Rows, PixelArrays]]:
    """Yield the images of `rows` batch by batch while a thread reads the next ones.

    Batches differ in how long they take to read, and the network in how long it takes: with several waiting
    neither stops for the other at once. One thread reads, as a source need not bear more; it decodes in
    several (`bench.data.source.decoding_threads`).
    """

    def read(some: Rows) -> PixelArrays:
        return extractor.on_host(source.read(some))

    waiting: deque[tuple[Rows, Future[PixelArrays]]] = deque()
    asked, most = 0, 1
    pool = ThreadPoolExecutor(1, thread_name_prefix="read")
    try:
        while asked < len(rows) or waiting:
            while asked < len(rows) and len(waiting) <= most:
                some = rows[asked : asked + extractor.batch_size]
                waiting.append((some, pool.submit(read, some)))
                asked += len(some)
            some, reading = waiting.popleft()
            pixels = reading.result()
            most = max(1, min(AHEAD, AHEAD_BYTES // max(1, sum(image.nbytes for image in pixels))))
            yield some, pixels
    finally:
        pool.shutdown(cancel_futures=True)
