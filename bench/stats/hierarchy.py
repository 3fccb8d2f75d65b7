"""The hierarchical bootstrap: data sets are drawn, within them tasks, and seeds.

For the overall mean and the mean rank of methods, as intervals over data sets *like these*. The units are
data sets: the classes of one data set and the seeds of one method are drawn within it and never count as n.

The interval is the percentile interval, expanded for few units (Hesterberg): plain percentiles of n resampled
units are too narrow by √((n - 1) / n) and by the difference of Student's t to the normal distribution.
Drawing tasks and seeds again inside a data set, although the spread between data sets holds part of theirs,
makes the interval slightly too wide rather than too narrow (Davison and Hinkley, section 3.8).

References
----------
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata, t

Floats = NDArray[np.float64]
LEVELS = ("datasets", "tasks", "seeds")
#: Resampled data sets are ranked in pieces of about so many values.
PIECE_VALUES = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """What resamples gave, each of shape (draws, m).

    Attributes
    ----------
    mean : ndarray
        Mean over data sets of the means over their tasks.
    rank : ndarray
        Mean over tasks of the rank within the task, 1 = best (highest); equal ones share the mean of theirs.
    """

    mean: Floats
    rank: Floats


def hierarchical(
    values: Sequence[ArrayLike],
    *,
    blocks: Sequence[int] | None = None,
    draws: int = 2000,
    seed: int = 0,
    levels: Sequence[str] = LEVELS,
) -> Replicates:
    """Resample data sets, within each drawn one its tasks and its seeds; the same for all methods.

    Parameters
    ----------
    values : sequence of array_like, each of shape (m, tasks, seeds)
        One for each data set: the metric of m methods. A method without seeds repeats its value.
    blocks : sequence of int, optional
        The block of each data set; those of one block (they share images, say) are drawn together. By default
        every data set is a block.
    draws, seed : int
    levels : sequence of str
        Which of ``datasets``, ``tasks`` and ``seeds`` are drawn; the others stay as they are.

    Raises
    ------
    ValueError
        No data set, unlike numbers of methods, a NaN, or an unknown level.
    """
    held = [np.asarray(value, np.float64) for value in values]
    if not held or any(each.ndim != 3 or len(each) != len(held[0]) for each in held):
        raise ValueError("expected for each data set values (methods, tasks, seeds) of the same methods")
    if any(np.isnan(each).any() for each in held) or not set(levels) <= set(LEVELS):
        raise ValueError(f"expected values without NaN, and levels of {', '.join(LEVELS)}, got {levels}")
    of = np.arange(len(held)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    n_blocks = int(of.max()) + 1
    times = np.ones((n_blocks, draws), np.int64)
    if "datasets" in levels:
        times = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), draws).T
    m = len(held[0])
    mean, rank = np.zeros((m, draws)), np.zeros((m, draws))
    n_sets, n_tasks = np.zeros(draws), np.zeros(draws)
    for value, block in zip(held, of, strict=True):
        n_sets += times[block]
        n_tasks += times[block] * value.shape[1]
        # Each copy of a drawn data set is resampled inside by itself.
        for copy_of, means, ranks in _inside(value, np.repeat(np.arange(draws), times[block]), levels, rng):
            np.add.at(mean.T, copy_of, means.T)
            np.add.at(rank.T, copy_of, ranks.T * value.shape[1])
    return Replicates((mean / n_sets).T, (rank / n_tasks).T)


def expanded_interval(replicates: ArrayLike, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the expanded percentile interval of a quantity resampled over n units.

    Parameters
    ----------
    replicates : array_like, shape (draws,)
    n : int
        Units drawn: blocks. At least 2; with fewer than about 5 the interval is the range of the replicates,
        and covers less than its level.
    level : float

    References
    ----------
    Hesterberg 2015, section 4.2.
    """
    if n < 2:
        raise ValueError("one unit has no spread: nothing can be said over units like it")
    tail = float(norm.cdf(np.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1)))
    low, high = np.quantile(np.asarray(replicates, np.float64), [tail, 1 - tail])
    return float(low), float(high)


def _inside(
    value: Floats, copies: NDArray[np.int64], levels: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], Floats, Floats]]:
    """Yield for pieces of a data set's copies: whose they are, mean and mean rank of each, (m, copies)."""
    m, n_tasks, n_seeds = value.shape
    size = max(1, PIECE_VALUES // (m * n_tasks))
    for start in range(0, len(copies), size):
        piece = copies[start : start + size]
        tasks = _weights(n_tasks, len(piece), "tasks" in levels, rng)
        if "seeds" in levels and n_seeds > 1:
            at = np.einsum("mts,sn->mtn", value, _weights(n_seeds, len(piece), True, rng))
            ranks = rankdata(-at, axis=0)
        else:
            at = value.mean(axis=2, keepdims=True)
            ranks = rankdata(-at, axis=0)
            at, ranks = (np.broadcast_to(each, (m, n_tasks, len(piece))) for each in (at, ranks))
        yield piece, np.einsum("mtn,tn->mn", at, tasks), np.einsum("mtn,tn->mn", ranks, tasks)


def _weights(n: int, copies: int, drawn: bool, rng: np.random.Generator) -> Floats:
    """Return the share of each of n units in each copy, shape (n, copies): how often it was drawn."""
    if not drawn or n == 1:
        return np.full((n, copies), 1 / n)
    return rng.multinomial(n, np.full(n, 1 / n), copies).T / n
