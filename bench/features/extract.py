"""Extraction: rows of a source, read ahead by a thread, through a network or ``pixels`` and ``hog``."""

from __future__ import annotations

import time
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

    Images are read and decoded in the background, one batch ahead of the network.

    Parameters
    ----------
    layers : sequence of str
        The layers whose maps to compute; empty for the pooled vectors.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:

        def read(some: Rows) -> Future[PixelArrays]:
            return pool.submit(lambda: extractor.on_host(source.read(some)))

        started = time.perf_counter()
        at, ahead = 0, read(rows[: extractor.batch_size])
        while at < len(rows):
            pixels = ahead.result()
            some = rows[at : at + len(pixels)]
            at += len(some)
            if at < len(rows):
                ahead = read(rows[at : at + extractor.batch_size])
            if layers:
                values = {f"map:{layer}": maps for layer, maps in extractor.maps(pixels, layers).items()}
            else:
                values = {"pooled": extractor.pooled(pixels)}
            synchronise(device)
            yield Computed(some, values, time.perf_counter() - started)
            started = time.perf_counter()
