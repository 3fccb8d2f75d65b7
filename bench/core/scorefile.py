"""The scores file of one cell: its scores, and what is kept beside them, as an npz of plain numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import ArchiveError, said
from bench.core.truth import NO_ARRAYS

#: What may be kept beside a cell's scores, arrays of one dimension: AUPIMO of each test image (NaN for a good
#: one); pixel metrics of resampled test images; how many pixels have which scores, and what is kept of each
#: map (`bench.metrics.pixelthreshold`); scores of normal images that the method was not fitted on, the fold
#: of each, what the method of each fold says of the test images, and what is kept of the normal images' maps.
BESIDE = (
    "aupimo",
    "pixel_auroc_resampled",
    "pixel_ap_resampled",
    "pixel_f1max_resampled",
    "aupro_resampled",
    "aupro5_resampled",
    "pixels_scores",
    "pixels_normal",
    "pixels_defective",
    "pixels_overlap",
    "maps",
    "calibration",
    "calibration_fold",
    "calibration_test",
    "calibration_maps",
    "calibration_pixels",
)


def pack_scores(scores: NDArray[Any], beside: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of a scores file: equal for equal scores."""
    packed = io.BytesIO()
    arrays: dict[str, Any] = {name: _short(values) for name, values in {"scores": scores, **beside}.items()}
    np.savez(packed, **arrays)
    return packed.getvalue()


def _short(values: NDArray[Any]) -> NDArray[Any]:
    """Return values as float32 where that keeps every digit, which halves an archive."""
    with np.errstate(all="ignore"):
        short = values.astype(np.float32)
    return short if np.array_equal(short, values, equal_nan=True) else values.astype(np.float64)


def unpack_scores(packed: bytes) -> dict[str, NDArray[Any]]:
    """Return ``scores`` and those of `BESIDE` that are there, each of shape (m,), float32 or float64.

    Raises
    ------
    ArchiveError
        It is no scores file, or a score is NaN.
    """
    found: dict[str, NDArray[Any]] = {}
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            for name in ("scores", *(each for each in BESIDE if each in arrays.files)):
                values: NDArray[Any] = arrays[name]
                if values.dtype not in (np.float32, np.float64) or values.ndim != 1:
                    raise ValueError(f"{values.dtype} of shape {values.shape}")
                found[name] = values
        if np.isnan(found["scores"]).any():
            raise ValueError("a score is NaN")
    except NO_ARRAYS as error:
        raise ArchiveError(f"not a cell's scores ({said(error)})") from None
    return found
