"""Extraction: rows of a source, read ahead by a thread, through a network in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.resize import Pictures
from bench.data.source import Source
from bench.features.backbone import Backbone
from bench.features.device import synchronise
from bench.features.spec import NetworkTable


class Extractor(Protocol):
    """What turns images into features: `Network` or `Handcrafted`."""

    batch_size: int

    def on_host(self, pictures: Pictures) -> Pictures: ...

    def pooled(self, pictures: Pictures) -> torch.Tensor: ...

    def maps(self, pictures: Pictures, layers: Sequence[str]) -> dict[str, torch.Tensor]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Features of some rows, by what was read (``"pooled"`` or ``"map:<layer>"``), and what they took."""

    rows: NDArray[np.int64]
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
        from bench.features.network import Network

        return Network(backbone, device, batch_size)
    from bench.features.handcrafted import Handcrafted

    return Handcrafted(backbone, device)


def extract(
    extractor: Extractor, source: Source, rows: NDArray[np.int64], layers: Sequence[str], device: torch.device
) -> Iterator[Computed]:
    """Yield the features of `rows`, a batch at a time.

    Images are read and decoded in the background, one batch ahead of the network.

    Parameters
    ----------
    layers : sequence of str
        Whose maps; empty for the pooled vectors.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:

        def read(some: NDArray[np.int64]) -> Future[Pictures]:
            return pool.submit(lambda: extractor.on_host(source.read(some)))

        started = time.perf_counter()
        at, ahead = 0, read(rows[: extractor.batch_size])
        while at < len(rows):
            pictures = ahead.result()
            some = rows[at : at + len(pictures)]
            at += len(some)
            if at < len(rows):
                ahead = read(rows[at : at + extractor.batch_size])
            if layers:
                values = {f"map:{layer}": maps for layer, maps in extractor.maps(pictures, layers).items()}
            else:
                values = {"pooled": extractor.pooled(pictures)}
            synchronise(device)
            now = time.perf_counter()
            yield Computed(some, values, now - started)
            started = time.perf_counter()
