"""AUPIMO: what is found of each defective image at false positive rates that only good images set.

FPR(t) is the mean over the good images of the share of their pixels with a score of at least t. A defective
image's score is the mean of its pixel recall over ln FPR, from 1e-5 to 1e-4: very few false pixels. So only
the highest scores of the good images matter, and few need to be kept.

References
----------
Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance",
BMVC 2024, equations 3 to 6. Their code has thresholds on a grid; here they are the good images' own scores.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bounds of the false positive rate.
LOWER, UPPER = 1e-5, 1e-4


class NormalTail:
    """The highest scores of the good images, in bounded memory.

    Parameters
    ----------
    images : int
        Good images that will be added.
    most_pixels : int
        Of the largest of them.
    upper : float
        The highest false positive rate that will be asked for.
    """

    def __init__(self, images: int, most_pixels: int, *, upper: float = UPPER) -> None:
        self._images, self._upper = images, upper
        # A rate of at most `upper` means at most so many pixels, however sizes differ.
        self._most = math.ceil(upper * images * most_pixels) + 1
        self._scores, self._weights = np.empty(0, np.float32), np.empty(0)
        #: All scores above it are kept, and the weight of those equal to it.
        self._cut, self._at_cut = -np.inf, 0.0
        #: Pixels of all images so far.
        self.pixels = 0

    def add(self, scores: NDArray[Any]) -> None:
        """Add the scores (h, w) of a good image."""
        values = np.asarray(scores, np.float32).ravel()
        weight = 1.0 / (values.size * self._images)
        self.pixels += values.size
        self._at_cut += weight * np.count_nonzero(values == self._cut)
        values = values[values > self._cut]
        self._scores = np.concatenate([self._scores, values])
        self._weights = np.concatenate([self._weights, np.full(len(values), weight)])
        if len(self._scores) > self._most:
            self._cut = np.partition(self._scores, -self._most)[-self._most]
            self._at_cut = float(self._weights[self._scores == self._cut].sum())
            kept = self._scores > self._cut
            self._scores, self._weights = self._scores[kept], self._weights[kept]

    def curve(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the distinct scores, falling, and FPR at each, to just beyond the highest asked for."""
        scores, inverse = np.unique(-self._scores, return_inverse=True)
        weights = np.bincount(inverse.ravel(), weights=self._weights, minlength=len(scores))
        if self._at_cut:
            scores, weights = np.append(scores, -self._cut), np.append(weights, self._at_cut)
        return (-scores).astype(np.float32), np.cumsum(weights)


def aupimo(
    lesion: NDArray[Any],
    curve: tuple[NDArray[np.float32], NDArray[np.float64]],
    *,
    lower: float = LOWER,
    upper: float = UPPER,
) -> float:
    """Return the AUPIMO of one defective image.

    Parameters
    ----------
    lesion : ndarray, shape (m,)
        Scores of its defective pixels.
    curve : tuple of ndarray
        From `NormalTail.curve`.
    lower, upper : float
        Bounds of the false positive rate.

    Returns
    -------
    float
        In [0, 1]; NaN if no pixel is defective, or without good images. Between the rates that the scores
        give, recall is linear in ln FPR; below the first, which cannot be had in logarithms, in FPR.
    """
    thresholds, rates = curve
    if not len(lesion) or not len(rates) or not 0 < lower < upper <= 1:
        return float("nan")
    ordered = np.sort(np.asarray(lesion, np.float32))
    recall = 1 - np.searchsorted(ordered, thresholds, side="left") / len(ordered)
    area, first = 0.0, float(rates[0])
    if lower < first:
        # A straight line from no false pixel to those of the highest score.
        start = 1 - np.searchsorted(ordered, thresholds[0], side="right") / len(ordered)
        end, slope = min(first, upper), (recall[0] - start) / first
        area = start * math.log(end / lower) + slope * (end - lower)
    logs = np.log(rates)
    low, high = math.log(max(lower, first)), math.log(upper)
    if low < high:
        inside = (logs > low) & (logs < high)
        x = np.concatenate(([low], logs[inside], [high]))
        y = np.interp(x, logs, recall)
        area += float(np.dot(np.diff(x), y[1:] + y[:-1])) / 2
    return float(min(max(area / math.log(upper / lower), 0.0), 1.0))
