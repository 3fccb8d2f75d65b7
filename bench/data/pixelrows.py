"""Images: the pixels of a view at one size, by row, uint8 on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.images import Images, Resizing

#: Pixels of a view are kept up to this size; above it they are read again when asked for.
KEEP_BYTES = 2 * 2**30
_READ = 64


class PixelRows:
    """The images of a view, read and resized once, for training in which each is asked for many times.

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
        first = next(images[:1].batches(1, size=size))
        self.shape = tuple(first.shape[1:])
        self._kept: torch.Tensor | None = None
        if first.numel() * len(images) <= keep_bytes:
            self._kept = first.new_empty((len(images), *self.shape))
            self._have = np.zeros(len(images), np.bool_)

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
            return next(self._images[rows].batches(len(rows), size=self._size))
        missing = np.unique(rows[~self._have[rows]])
        for start in range(0, len(missing), _READ):
            part = missing[start : start + _READ]
            batch = next(self._images[part].batches(len(part), size=self._size))
            self._kept[torch.from_numpy(part).to(batch.device)] = batch
            self._have[part] = True
        return self._kept[torch.from_numpy(rows).to(self._kept.device)]
