"""Maps and masks of different sizes: a map comes to the mask's size, by one stated rule.

A map is interpolated bilinearly between the centres of its pixels (torch's ``align_corners=False``), and a
pixel outside of what it covers takes the score of the nearest pixel inside. A mask keeps its own size, or for
the preset ``256nearest`` takes the nearest pixel of a grid of 256 x 256.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The map covers the whole image: top, left, height, width as fractions of the image's.
WHOLE = (0.0, 0.0, 1.0, 1.0)
#: Beyond what float16 holds, and finite: an infinite score times a weight of 0 would be NaN.
_BEYOND = np.float32(131_008)


def fitted(
    scores: NDArray[Any], shape: tuple[int, int], covers: tuple[float, ...] = WHOLE
) -> NDArray[np.float32]:
    """Return a map at the size of an image.

    Parameters
    ----------
    scores : ndarray, shape (h, w)
        Real numbers or infinities within float16's range.
    shape : tuple of int
        Height and width of the result, in pixels.
    covers : tuple of float
        Top, left, height and width of the part that the map shows, as fractions of the image's.

    Returns
    -------
    ndarray, shape `shape`, float32
    """
    values = np.asarray(scores, np.float32)
    if values.shape == shape and covers == WHOLE:
        return values
    values = np.clip(values, -_BEYOND, _BEYOND)
    low, high, part = _between(values.shape[0], shape[0], covers[0], covers[2])
    values = values[low] * (1 - part)[:, None] + values[high] * part[:, None]
    low, high, part = _between(values.shape[1], shape[1], covers[1], covers[3])
    values = np.ascontiguousarray(values.T)
    return np.ascontiguousarray((values[low] * (1 - part)[:, None] + values[high] * part[:, None]).T)


def _between(
    given: int, wanted: int, start: float, extent: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return for each wanted pixel the two given ones that it lies between, and how far on the way."""
    centres = (np.arange(wanted) + 0.5) / wanted
    at = np.clip((centres - start) / extent * given - 0.5, 0, given - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, given - 1), (at - low).astype(np.float32)


def nearest_mask(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask's pixels nearest to the centres of a grid; small regions may vanish."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(np.intp)
        for wanted, given in zip(shape, mask.shape, strict=True)
    )
    picked: NDArray[np.bool_] = mask[rows[:, None], columns[None, :]]
    return picked
