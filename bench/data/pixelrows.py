"""The pixels of a view at one size, by row, as uint8 on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images, Resizing
from bench.data.rowarray import RowArray

if TYPE_CHECKING:
    import torch

#: Views with more bytes of pixels than this are read again each time.
KEEP_BYTES = 2 * 2**30
_READ = 64


def filled_parts(n: int, size: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the rows of n images in parts of one size, the last filled up, and how many of a part count.

    Networks may compute a row's last bits by how many come with it: in parts of one size no score depends on
    the other images.

    Examples
    --------
    >>> for rows, count in bench.filled_parts(5, 3):
    ...     print(rows, count)
    [0 1 2] 3
    [3 4 4] 2
    """
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        yield np.pad(rows, (0, size - len(rows)), mode="edge"), len(rows)


class PixelRows:
    """The images of a view, read and resized once, for training that uses each many times.

    Parameters
    ----------
    images : Images
        At least one.
    size : (int, int) or callable, optional
        As in `Images.batches`.
    keep_bytes : int
        Above it nothing is kept.
    """

    def __init__(self, images: Images, size: Resizing | None = None, *, keep_bytes: int = KEEP_BYTES) -> None:
        self._images, self._size = images, size
        first = self._read(np.arange(1))
        self.shape = tuple(first.shape[1:])
        fits = first.nbytes * len(images) <= keep_bytes
        self._kept: RowArray[torch.Tensor] | None = RowArray(len(images)) if fits else None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the images of some rows, shape (b, 3, h, w), uint8.

        Raises
        ------
        DataError
            An image cannot be decoded, or they differ in size.
        """
        if self._kept is None:
            return self._read(rows)
        missing = self._kept.missing(rows)
        for start in range(0, len(missing), _READ):
            part = missing[start : start + _READ]
            self._kept.put(part, self._read(part))
        return self._kept.take(rows)

    def _read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return next(self._images[rows].batches(len(rows), size=self._size))
