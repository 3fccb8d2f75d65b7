"""Means, differences and their intervals over data sets *like these*: independent data sets are the units.

The classes of one data set and the seeds of one method lie within it: their spread is part of that between
data sets and never counts by itself. Data sets that share images form one block. A mean counts every data set
alike, so that a block of two has twice the weight of a block of one.

References
----------
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2.1 (studentised intervals).
Cochran, "Sampling Techniques", 1977, section 6.4 (variance of a ratio).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.stats import Floats
from bench.stats.interval import share_interval
from bench.stats.variance import Variance

#: From so many blocks on intervals are bootstrap intervals, which follow a skewed distribution.
BOOTSTRAP_FROM = 8
DRAWS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Blocked:
    """Values of m methods on data sets, by block.

    Attributes
    ----------
    sums : ndarray, shape (n, m)
        Of each block.
    weights : ndarray, shape (n,)
        Numbers of data sets.
    """

    sums: Floats
    weights: Floats

    @property
    def mean(self) -> Floats:
        """Over data sets, shape (m,)."""
        found: Floats = self.sums.sum(axis=0) / self.weights.sum()
        return found

    @property
    def variance(self) -> Variance:
        """Of the means over blocks, shape (m,), with n - 1 degrees of freedom; NaN for a single block."""
        n = len(self.weights)
        if n < 2:
            return Variance.of(np.full(self.sums.shape[1], np.nan), 1)
        rest = self.sums - self.weights[:, None] * self.mean
        return Variance.of((rest**2).sum(axis=0) * n / (n - 1) / self.weights.sum() ** 2, n - 1)

    def differences(self) -> Blocked:
        """Return the differences of every two methods, row minus column, as m² values in a row."""
        n, m = self.sums.shape
        return Blocked((self.sums[:, :, None] - self.sums[:, None, :]).reshape(n, m * m), self.weights)


def blocked(values: ArrayLike, blocks: Sequence[int]) -> Blocked:
    """Return values by block.

    Parameters
    ----------
    values : array_like, shape (data sets, m)
        Means over tasks and seeds.
    blocks : sequence of int
        The block of each data set.
    """
    held: Floats = np.asarray(values, np.float64)
    if held.ndim != 2 or len(held) != len(blocks) or not len(held) or np.isnan(held).any():
        raise ValueError(f"expected values (data sets, m) without NaN and a block each, got {held.shape}")
    _, of = np.unique(np.asarray(blocks), return_inverse=True)
    sums = np.zeros((int(of.max()) + 1, held.shape[1]))
    np.add.at(sums, of, held)
    return Blocked(sums, np.bincount(of).astype(np.float64))


def mean_intervals(held: Blocked, *, shares: bool = True, level: float = 0.95, seed: int = 0) -> Floats:
    """Return intervals of the methods' means over data sets like these, shape (m, 2); NaN for one block.

    Parameters
    ----------
    held : Blocked
    shares : bool
        The values are shares of 1: with few blocks the intervals are Student's t on the logit scale, half as
        wide as a bootstrap's at the same coverage, and always within (0, 1). Else Student's t.
    level : float
    seed : int
        Of the resamples.
    """
    mean, variance = held.mean, held.variance
    if len(held.weights) >= BOOTSTRAP_FROM:
        found = _studentised(held, level, seed)
        return np.clip(found, 0.0, 1.0) if shares else found
    if shares:
        inside = share_interval(mean, variance, level=level)
        return np.where(np.isnan(inside) & (variance.value == 0)[:, None], mean[:, None], inside)
    reach = variance.reach(level)
    return np.stack([mean - reach, mean + reach], axis=1)


def _studentised(held: Blocked, level: float, seed: int) -> Floats:
    """Return mean - q · se for the upper and lower quantile q of (resampled mean - mean) / its own se."""
    n, tail = len(held.weights), (1 - level) / 2
    mean, se = held.mean, np.sqrt(held.variance.value)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
    weight = (times @ held.weights)[:, None]
    rest = held.sums - held.weights[:, None] * mean  # about the mean, so that no digits are lost
    off = times @ rest / weight
    squares = times @ rest**2 - 2 * off * (times @ (rest * held.weights[:, None]))
    squares += off**2 * (times @ held.weights**2)[:, None]
    own = np.sqrt(np.maximum(squares, 0.0) * n / (n - 1)) / weight
    found = np.stack([mean, mean], axis=1)
    for at in np.flatnonzero(se > 0):
        there = own[:, at] > 1e-9 * se[at]  # not where a resample is one block many times
        t_values = off[there, at] / own[there, at]
        found[at] -= se[at] * np.quantile(t_values, [1 - tail, tail])
    return found
