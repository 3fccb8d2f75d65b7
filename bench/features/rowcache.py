"""Rows in memory: the arrays used last, features on their way into one, and pixels on a GPU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch

from bench.core.errors import BackboneError
from bench.data.resize import to_tensor
from bench.data.rowarray import RowArray
from bench.data.source import Source
from bench.features.preprocess import on_device
from bench.features.shards import Rows
from bench.features.store import KeyRows


class RowCache:
    """The arrays used last, bounded in bytes.

    Parameters
    ----------
    limit : int
        Bytes of all arrays together; the one used last stays even if it alone is larger.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[str, RowArray[torch.Tensor]] = OrderedDict()

    def open(self, key: str, n: int) -> RowArray[torch.Tensor]:
        """Return the array kept under a key, or an empty one of n rows."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return RowArray(n)

    def keep(self, key: str, array: RowArray[torch.Tensor]) -> None:
        self._kept[key] = array
        self._kept.move_to_end(key)
        while sum(each.nbytes for each in self._kept.values()) > self.limit and len(self._kept) > 1:
            self._kept.popitem(last=False)


class FeatureRows:
    """One kind of features of one source, from memory, the store and the network.

    Their array has all rows of the source and stays in the cache; if that is too large, it has only the rows
    wanted now.

    Parameters
    ----------
    stored : KeyRows
    cache : RowCache
    n : int
        Rows of the source.
    wanted : Rows
        Ascending, each once.
    device : torch.device
    limit : int
        Bytes that an array of all rows may take.
    """

    def __init__(
        self, stored: KeyRows, cache: RowCache, n: int, wanted: Rows, device: torch.device, limit: int
    ) -> None:
        self.stored, self._cache, self._wanted = stored, cache, wanted
        self._device, self._limit, self._n = device, limit, n
        self._array = cache.open(stored.key.digest, n)
        self._only_wanted = False

    def missing(self, rows: Rows) -> Rows:
        """Return which of `rows` are not in memory yet, ascending."""
        if self._only_wanted:
            return self._wanted[self._array.missing(self._places(rows))]
        return self._array.missing(rows)

    def load(self, rows: Rows) -> None:
        """Read those of `rows` that the store has."""
        if not len(rows):
            return
        self.stored.refresh()
        there = rows[self.stored.have(rows)]
        for at, values in self.stored.read(there):
            self._put(there[at], torch.from_numpy(np.ascontiguousarray(values)))

    def add(self, rows: Rows, values: torch.Tensor, seconds: float) -> None:
        """Take in computed rows, and store them.

        Raises
        ------
        BackboneError
            A value is NaN, infinite, or too large for the type in which it is stored; no row is kept.
        """
        # Rounded to the stored type at once: those who compute and those who read later see the same numbers.
        rounded = values.to(getattr(torch, self.stored.key.dtype))
        if not bool(torch.isfinite(rounded).all()):
            raise self._unusable(rows, values)
        self._put(rows, rounded)
        self.stored.add(rows, rounded.cpu().numpy(), seconds)

    def take(self, rows: Rows) -> torch.Tensor:
        """Return rows, float32, on the device, for the caller to change as it likes."""
        places = self._places(rows)
        if not self._only_wanted:
            self._cache.keep(self.stored.key.digest, self._array)
        elif len(places) == len(self._wanted) and bool((places[1:] > places[:-1]).all()):
            return self._array.release()  # maps can take gigabytes: no second copy
        return self._array.take(places)

    def _put(self, rows: Rows, values: torch.Tensor) -> None:
        values = values.to(self._device, torch.float32)
        if not self._array.nbytes and values[:1].nbytes * self._n > self._limit:
            self._array, self._only_wanted = RowArray(len(self._wanted)), True
        self._array.put(self._places(rows), values)

    def _places(self, rows: Rows) -> Rows:
        return np.searchsorted(self._wanted, rows) if self._only_wanted else rows

    def _unusable(self, rows: Rows, values: torch.Tensor) -> BackboneError:
        key, bad = self.stored.key, ~torch.isfinite(values.flatten(1)).all(1)
        if not bad.any():
            return BackboneError(
                f"backbone {key.backbone}: features leave the range of float16; keep float32"
            )
        first = rows[int(bad.nonzero()[0, 0])]
        return BackboneError(
            f"backbone {key.backbone}: the features of {int(bad.sum())} of {len(rows)} images of "
            f"{key.source} are NaN or infinite (the first: image {first}); expected finite numbers: look "
            "for damaged weights, or give the backbone precision float32"
        )


def read_images(
    source: Source,
    rows: Rows,
    device: torch.device,
    cache: RowCache | None = None,
    *,
    shrink: Callable[[torch.Tensor], torch.Tensor] = lambda images: images,
) -> torch.Tensor:
    """Return images on the device, each brought to one size by `shrink`: (b, 3, h, w), uint8.

    Parameters
    ----------
    cache : RowCache, optional
        Keeps the images of sources that fit into it, for a GPU; on the host the source itself keeps them.

    Raises
    ------
    DataError
        They still differ in size.
    """
    if cache is None:
        return on_device(source.read(rows), device, shrink)
    kept = cache.open(source.fingerprint, len(source))
    missing = kept.missing(rows) if kept.nbytes else rows
    if len(missing) or not kept.nbytes:
        pixels = source.read(missing)
        if (
            not isinstance(pixels, np.ndarray)
            or not 0 < pixels[:1].nbytes * len(source) <= cache.limit
            or (kept.nbytes and (pixels.shape[3], *pixels.shape[1:3]) != kept.row_shape)
        ):
            return on_device(pixels if len(missing) == len(rows) else source.read(rows), device, shrink)
        kept.put(missing, to_tensor(pixels, device))
        cache.keep(source.fingerprint, kept)
    return shrink(kept.take(rows))
