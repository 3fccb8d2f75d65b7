"""Masks: where the defect of each test image is, read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class LazyMasks(Sequence[Mask]):
    """One boolean array (h, w) per test image, made or read each time it is asked for.

    Parameters
    ----------
    read : callable
        Row to its mask.
    rows : sequence of int
        Which rows these are, in the order of the test images; a slice or a selection shares `read`.
    """

    def __init__(self, read: Callable[[int], Mask], rows: Sequence[int]) -> None:
        self._read, self._rows = read, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mask: ...
    @overload
    def __getitem__(self, index: slice) -> LazyMasks: ...
    def __getitem__(self, index: int | slice) -> Mask | LazyMasks:
        if isinstance(index, slice):
            return LazyMasks(self._read, self._rows[index])
        return self._read(int(self._rows[index]))

    @classmethod
    def selection(cls, masks: Sequence[Mask], positions: Sequence[int]) -> LazyMasks:
        """View some of the masks, in the order of `positions`, without reading any."""
        return cls(masks.__getitem__, positions)
