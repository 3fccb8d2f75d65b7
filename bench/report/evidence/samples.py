"""Samples: what is compared, and how much it varies over test images and seeds. Numbers only, no text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.stats import Floats
from bench.stats.delong import Strata, variance_of_pairs, variance_over_images
from bench.stats.interval import share_interval
from bench.stats.overdatasets import Blocked, blocked
from bench.stats.seeds import LEAST_FREEDOM, variance_over_seeds
from bench.stats.variance import Variance, stacked

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ImageParts:
    """What the test images of a block of data sets add to the means of m methods.

    Attributes
    ----------
    parts : ndarray, shape (m, n)
        To the mean over all data sets, with its weights.
    strata : ndarray, shape (n,)
        See `bench.stats.delong`.
    """

    parts: Floats
    strata: Strata


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is compared: AUROC, or a summary of a curve, of m methods on data sets.

    Attributes
    ----------
    rows : tuple of int
        The methods, as rows of the board.
    blocks : tuple of int
        The independent data set that each data set belongs to.
    values : tuple of ndarray, each of shape (m, tasks, seeds)
        By data set. What does not depend on a seed repeats its value.
    told : ndarray, shape (m,), bool
        Whether what seeds leave open about a method can be told.
    images : tuple of ImageParts, or None
        By block; without them nothing can be said on these images.
    margin : float
        How far below 1 the mean of perfect AUROCs may lie, with so few images.
    least_p : float
        The least p value that so few images allow.
    shares : bool
        The values are shares of 1.
    seeds_needed : int
        With so many seeds all could be told.
    why : str
        Why there are no images.
    comparable : bool
        False where the cells were not measured alike: then nothing is tested.
    """

    rows: tuple[int, ...]
    blocks: tuple[int, ...]
    values: tuple[Floats, ...]
    told: Flags
    images: tuple[ImageParts, ...] | None
    margin: float = 0.0
    least_p: float = 0.0
    shares: bool = True
    seeds_needed: int = 0
    why: str = ""
    comparable: bool = True

    @property
    def tasks(self) -> int:
        return sum(value.shape[1] for value in self.values)

    @property
    def blocked(self) -> Blocked:
        """Means over seeds and tasks, by block."""
        return blocked(np.stack([value.mean(axis=(1, 2)) for value in self.values]), self.blocks)

    @property
    def weights(self) -> Floats:
        """Of the tasks in the mean, shape (tasks,): data sets count alike, and the tasks of one alike."""
        n = len(self.values)
        return np.concatenate([np.full(value.shape[1], 1 / (n * value.shape[1])) for value in self.values])

    def with_freedom(self) -> Samples:
        """Return the samples with those methods told alone whose variance over seeds can be.

        Where seeds differ much on few of the tasks, these alone tell how much: with fewer than
        `LEAST_FREEDOM` degrees of freedom more seeds are needed.
        """
        seeds = variance_over_seeds(np.concatenate(self.values, axis=1), self.weights)
        short = self.told & (seeds.freedom < LEAST_FREEDOM)
        if not short.any():
            return self
        runs = self.values[0].shape[2] - 1
        more = int(1 + np.ceil(LEAST_FREEDOM * runs / float(seeds.freedom[short].min())))
        return replace(self, told=self.told & ~short, seeds_needed=max(self.seeds_needed, more))

    def variance(self) -> Variance:
        """Return the variances of the means over these images and over seeds, shape (m,); NaN if not told."""
        seeds = variance_over_seeds(np.concatenate(self.values, axis=1), self.weights)
        found = _total(self.images, variance_over_images) + seeds
        return Variance(np.where(self.told, found.value, np.nan), found.freedom)

    def variance_of_pairs(self) -> Variance:
        """Return the variances of all differences, shape (m, m); seeds are paired."""
        every = np.concatenate(self.values, axis=1)
        seeds = variance_over_seeds(every[:, None] - every[None, :], self.weights)
        found = _total(self.images, variance_of_pairs) + seeds
        return Variance(np.where(self.told[:, None] & self.told, found.value, np.nan), found.freedom)


def on_images(samples: Samples, *, level: float = 0.95) -> Floats:
    """Return the intervals of the means on these images, shape (m, 2); NaN where nothing can be told.

    Those of shares are always at 95 %.
    """
    m = len(samples.rows)
    if samples.images is None:
        return np.full((m, 2), np.nan)
    mean, variance = samples.blocked.mean, samples.variance()
    if not samples.shares:
        reach = np.where(variance.value > 0, variance.reach(level), np.nan)
        return np.stack([mean - reach, mean + reach], axis=1)
    found = share_interval(mean, variance)
    for at in np.flatnonzero(samples.told & np.isnan(found[:, 0]) & ~np.isnan(variance.value)):
        low, high = (1 - samples.margin, 1.0) if mean[at] > 0.5 else (0.0, samples.margin)
        found[at] = (low, high) if mean[at] in (0.0, 1.0) else mean[at]
    return found


def _total(images: Sequence[ImageParts] | None, of: Callable[[Floats, Strata], Variance]) -> Variance:
    return stacked([of(each.parts, each.strata) for each in images or ()]).sum(axis=0)
