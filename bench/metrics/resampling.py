"""Pixel metrics of resampled test images: replicates of a bootstrap, in one pass and bounded memory.

The pixels of one image belong together, so whole images are drawn, good and defective ones apart, and n - 1
of n, which makes the variance over replicates unbiased. The draws are the task's, not the method's: the
differences of two methods' replicates are replicates of their difference.

A histogram of 65,536 codes for each replicate would take a gigabyte, so codes are joined to about a thousand
bins, finest where few pixels score higher. A metric of bins is a little off; by as much as it is off on the
images as they are, its replicates are shifted.

References
----------
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6.
Rao and Wu, "Resampling inference with complex survey data", JASA 83, 1988 (n - 1 of the n of a stratum).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.metrics.pixel import PIXEL_METRICS, CodeHistogram, pixel_metrics

#: Replicates of a task, and bins of its scores.
REPLICATES, BINS = 500, 1024


def image_draws(
    labels: NDArray[np.uint8], *, seed: int, replicates: int = REPLICATES
) -> NDArray[np.int64] | None:
    """Return how often each replicate has each image, shape (replicates, n); None where nothing can be said.

    Parameters
    ----------
    labels : ndarray, shape (n,), uint8
        1 = anomalous. Of each label n - 1 are drawn; a single defective image does not tell how they vary.
    seed : int
    replicates : int
    """
    rng, found = np.random.default_rng(seed), np.zeros((replicates, len(labels)), np.int64)
    if np.count_nonzero(labels == 1) < 2:
        return None
    for label in (0, 1):
        at = np.flatnonzero(labels == label)
        if len(at):
            found[:, at] = rng.multinomial(max(1, len(at) - 1), np.full(len(at), 1 / len(at)), replicates)
    return found


class Resampled:
    """The binned histograms of all replicates, to which images are added one by one.

    Parameters
    ----------
    draws : ndarray, shape (replicates, n), int64
        Of `image_draws`.
    starts : ndarray, shape (bins,), int64
        First codes of the bins (`bin_starts`).
    """

    def __init__(self, draws: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        self._draws, self._starts = draws, starts
        shape = len(draws), len(self._starts)
        self._normal, self._defective = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._overlap, self._regions = np.zeros(shape), np.zeros(len(draws), np.int64)

    def add(self, image: int, found: CodeHistogram) -> None:
        """Add an image, by its place among the labels."""
        times, binned = self._draws[:, image], self._binned(found)
        self._normal += np.multiply.outer(times, binned.normal)
        if found.regions:
            self._defective += np.multiply.outer(times, binned.defective)
            self._overlap += np.multiply.outer(times, binned.overlap)
            self._regions += times * found.regions

    def _binned(self, found: CodeHistogram) -> CodeHistogram:
        normal, defective, overlap = (
            np.add.reduceat(each, self._starts) for each in (found.normal, found.defective, found.overlap)
        )
        return CodeHistogram(normal, defective, overlap, found.regions)

    def replicates(self, pooled: CodeHistogram) -> Mapping[str, NDArray[np.float64]]:
        """Return the replicates of each metric of `PIXEL_METRICS`, shape (replicates,), to seven digits.

        Parameters
        ----------
        pooled : CodeHistogram
            Of all images, as they are.

        Returns
        -------
        dict of str to ndarray
            Without metrics that are undefined in a replicate, as where few masks mark anything.
        """
        exact, binned = pixel_metrics(pooled), pixel_metrics(self._binned(pooled))
        every = [
            pixel_metrics(CodeHistogram(normal, defective, overlap, int(regions)))
            for normal, defective, overlap, regions in zip(
                self._normal, self._defective, self._overlap, self._regions, strict=True
            )
        ]
        found = {}
        for name in PIXEL_METRICS:
            if all(name in each for each in every):
                values = np.array([each[name] + exact[name] - binned[name] for each in every])
                found[name] = values.astype(np.float32).astype(np.float64)
        return found


def bin_starts(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first code of each bin, rising, from 0: equal steps of the cube root of the share above.

    So a fifth of the bins is for the highest percent of the pixels, and a tenth for the highest thousandth.

    Parameters
    ----------
    pixels : ndarray, shape (65536,), int64
        About how many pixels of all images have each code.
    """
    above = np.cumsum(pixels[::-1])[::-1] / max(1, int(pixels.sum()))
    of = np.floor((1 - np.cbrt(above)) * BINS)
    return np.flatnonzero(np.diff(of, prepend=-1.0) > 0)
