"""Samples: what is compared, and how much it varies over test images and seeds. Numbers only, no text."""

from __future__ import annotations

from collections.abc import Callable
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

    def variance(self) -> Variance:
        return variance_over_images(self.parts, self.strata)

    def variance_of_pairs(self) -> Variance:
        return variance_of_pairs(self.parts, self.strata)


@dataclass(frozen=True, slots=True, eq=False)
class ImageReplicates:
    """The means of m methods on resampled test images, where no image has a part of its own in them.

    Attributes
    ----------
    replicates : ndarray, shape (m, tasks, replicates)
        Of each task, with its weight in the mean; the tasks' images are other ones.
    freedom : ndarray, shape (tasks,)
        Degrees of freedom: what so few images allow, however many replicates there are.
    """

    replicates: Floats
    freedom: Floats

    def variance(self) -> Variance:
        return Variance.of(self.replicates.var(axis=2, ddof=1), self.freedom).sum(axis=1)

    def variance_of_pairs(self) -> Variance:
        """Return the variances of the differences, shape (m, m); exactly 0 for methods that are the same."""
        m, tasks, _ = self.replicates.shape
        squares = np.zeros((m, m, tasks))
        for a, b in zip(*np.triu_indices(m, 1), strict=True):
            apart = (self.replicates[a] - self.replicates[b]).var(axis=1, ddof=1)
            squares[a, b] = squares[b, a] = apart
        return Variance.of(squares, self.freedom).sum(axis=2)


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
    images : tuple of ImageParts or ImageReplicates, or None
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
    images: tuple[ImageParts | ImageReplicates, ...] | None
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
        found = self._over_images(lambda each: each.variance()) + seeds
        return Variance(np.where(self.told, found.value, np.nan), found.freedom)

    def variance_of_pairs(self) -> Variance:
        """Return the variances of all differences, shape (m, m); seeds are paired."""
        every = np.concatenate(self.values, axis=1)
        seeds = variance_over_seeds(every[:, None] - every[None, :], self.weights)
        found = self._over_images(lambda each: each.variance_of_pairs()) + seeds
        return Variance(np.where(self.told[:, None] & self.told, found.value, np.nan), found.freedom)

    def _over_images(self, of: Callable[[ImageParts | ImageReplicates], Variance]) -> Variance:
        return stacked([of(each) for each in self.images or ()]).sum(axis=0)


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
