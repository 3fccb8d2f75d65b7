"""What stays in memory: the feature matrices used last, and decoded pixels on a GPU."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.resize import to_tensor
from bench.data.source import Source

Rows = NDArray[np.int64]


class Matrix:
    """Rows of one key, filled bit by bit: all rows of the source if these fit, else those wanted now.

    Parameters
    ----------
    n : int
        Rows of the source.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.device, self.values = device, torch.empty(0)
        self._n, self._there = n, np.zeros(n, np.bool_)
        #: Row number to place in `values`; None while the place is the row number.
        self._wanted: Rows | None = None
        self.allocated = False

    @property
    def nbytes(self) -> int:
        return self.values.numel() * self.values.element_size()

    @property
    def whole(self) -> bool:
        """Whether it has a place for every row of the source, and so may serve later calls."""
        return self.allocated and self._wanted is None

    def lacking(self, rows: Rows) -> Rows:
        return rows[~self._there[rows]]

    def allocate(self, shape: tuple[int, ...], wanted: Rows, limit: int) -> None:
        """Make room for rows of this shape; within `limit` bytes for the whole source."""
        if self.allocated:
            return
        fits = 4 * self._n * int(np.prod(shape)) <= limit
        self._wanted = None if fits else wanted
        n = self._n if fits else len(wanted)
        self.values = torch.empty((n, *shape), dtype=torch.float32, device=self.device)
        self.allocated = True

    def put(self, rows: Rows, values: torch.Tensor) -> None:
        self.values[self._places(rows)] = values.to(self.values)
        self._there[rows] = True

    def take(self, rows: Rows) -> torch.Tensor:
        """Return the given rows, copied: who gets them may change them."""
        places = self._places(rows)
        if (
            len(places) == len(self.values)
            and self._wanted is not None
            and bool((places[1:] > places[:-1]).all())
        ):
            return self.values
        return self.values.index_select(0, places)

    def _places(self, rows: Rows) -> torch.Tensor:
        places = rows if self._wanted is None else np.searchsorted(self._wanted, rows)
        return torch.from_numpy(places).to(self.device)


class RowCache:
    """The matrices used last, bounded in bytes."""

    def __init__(self, device: torch.device, limit: int) -> None:
        self.device, self.limit = device, limit
        self._kept: OrderedDict[str, Matrix] = OrderedDict()

    def open(self, digest: str, n: int) -> Matrix:
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]
        return Matrix(n, self.device)

    def keep(self, digest: str, matrix: Matrix) -> None:
        if not matrix.whole:
            return
        self._kept[digest] = matrix
        self._kept.move_to_end(digest)
        while sum(one.nbytes for one in self._kept.values()) > self.limit and len(self._kept) > 1:
            self._kept.popitem(last=False)


class PixelCache:
    """Decoded images of small-image sources, as uint8 on a GPU; on the host the source keeps them."""

    def __init__(self, device: torch.device, limit: int) -> None:
        self.device, self.limit = device, limit
        self._kept: OrderedDict[str, Matrix] = OrderedDict()

    def read(self, source: Source, rows: Rows) -> torch.Tensor | list[torch.Tensor]:
        """Return images (b, 3, h, w), or a list of (1, 3, h, w) where they differ in size."""
        kept = self._kept.get(source.fingerprint)
        missing = rows if kept is None else kept.lacking(np.unique(rows))
        if len(missing) or kept is None:
            pictures = source.read(missing)
            if not isinstance(pictures, np.ndarray):
                return [to_tensor(picture[None], self.device) for picture in pictures]
            tensor = to_tensor(pictures, self.device)
            if self.device.type == "cpu" or pictures[:1].nbytes * len(source) > self.limit:
                return tensor
            if kept is None:
                kept = self._open(source, tuple(tensor.shape[1:]))
            kept.put(missing, tensor)
        return kept.take(rows)

    def _open(self, source: Source, shape: tuple[int, ...]) -> Matrix:
        matrix = Matrix(len(source), self.device)
        matrix.values = torch.empty((len(source), *shape), dtype=torch.uint8, device=self.device)
        matrix.allocated = True
        self._kept[source.fingerprint] = matrix
        while sum(one.nbytes for one in self._kept.values()) > self.limit and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return matrix
