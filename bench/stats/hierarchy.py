"""The hierarchical bootstrap: data sets are drawn, within them tasks, and seeds.

For the overall mean and the mean rank of methods over data sets *like these*; `bench.stats.overall` makes
intervals of it. The units are blocks of data sets: the classes of one data set and the seeds of one method
are drawn within it and never count as n.

References
----------
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats import Floats

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
    mean_se, rank_se : ndarray
        Their standard errors over the blocks of the resample; NaN for a single block.
    """

    mean: Floats
    rank: Floats
    mean_se: Floats
    rank_se: Floats


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
        One for each data set: the metric of m methods, higher is better. A method without seeds repeats its
        value.
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
    if not held or any(each.ndim != 3 or len(each) != len(held[0]) or not each.size for each in held):
        raise ValueError("expected for each data set values (methods, tasks, seeds) of the same methods")
    if any(np.isnan(each).any() for each in held) or not set(levels) <= set(LEVELS):
        raise ValueError(f"expected values without NaN, and levels of {', '.join(LEVELS)}, got {levels}")
    if blocks is not None and len(blocks) != len(held):
        raise ValueError(f"expected a block for each of {len(held)} data sets, got {len(blocks)}")
    of = np.arange(len(held)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    n = int(of.max()) + 1
    rng = np.random.default_rng(seed)
    times = np.ones((n, draws), np.int64)
    if "datasets" in levels:
        times = rng.multinomial(n, np.full(n, 1 / n), draws).T
    m = len(held[0])
    # Sums are taken about the means, so that the spread of blocks loses no digits.
    centre = np.mean([each.mean(axis=(1, 2)) for each in held], axis=0)
    mean, rank = _Ratio(m, draws, n, centre), _Ratio(m, draws, n, np.full(m, (m + 1) / 2))
    for block in range(n):
        sets = [value for value, its in zip(held, of, strict=True) if its == block]
        # Each copy of a drawn block is resampled inside by itself.
        for copy_of, means, ranks in _inside(sets, np.repeat(np.arange(draws), times[block]), levels, rng):
            mean.add(copy_of, means, len(sets))
            rank.add(copy_of, ranks, sum(value.shape[1] for value in sets))
    return Replicates(mean.value, rank.value, mean.se, rank.se)


class _Ratio:
    """Sums over blocks, of which the ratio of sums and its linearised standard error follow.

    References
    ----------
    Cochran, "Sampling Techniques", 1977, section 6.4.
    """

    def __init__(self, m: int, draws: int, n: int, centre: Floats) -> None:
        self.n, self.centre = n, centre
        self.sums, self.squares, self.products = (np.zeros((draws, m)) for _ in range(3))
        self.weight, self.weight_squares = np.zeros((draws, 1)), np.zeros((draws, 1))

    def add(self, copy_of: NDArray[np.int64], sums: Floats, weight: int) -> None:
        """Add blocks that belong to the given draws: sums (m, copies) over what counts with this weight."""
        about = sums.T - weight * self.centre
        np.add.at(self.sums, copy_of, about)
        np.add.at(self.squares, copy_of, about**2)
        np.add.at(self.products, copy_of, weight * about)
        np.add.at(self.weight, copy_of, float(weight))
        np.add.at(self.weight_squares, copy_of, float(weight) ** 2)

    @property
    def value(self) -> Floats:
        value: Floats = self.centre + self.sums / self.weight
        return value

    @property
    def se(self) -> Floats:
        if self.n < 2:
            return np.full_like(self.sums, np.nan)
        off = self.sums / self.weight
        rest = self.squares - 2 * off * self.products + off**2 * self.weight_squares
        se: Floats = np.sqrt(np.maximum(rest, 0.0) * self.n / (self.n - 1)) / self.weight
        return se


def _inside(
    sets: Sequence[Floats], copies: NDArray[np.int64], levels: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], Floats, Floats]]:
    """Yield for pieces of a block's copies: whose they are, sums of means and of ranks, (m, copies)."""
    m = len(sets[0])
    size = max(1, PIECE_VALUES // (m * max(value.shape[1] for value in sets)))
    for start in range(0, len(copies), size):
        piece = copies[start : start + size]
        mean, rank = np.zeros((m, len(piece))), np.zeros((m, len(piece)))
        for value in sets:
            n_tasks, n_seeds = value.shape[1:]
            tasks = _weights(n_tasks, len(piece), "tasks" in levels, rng)
            if "seeds" in levels and n_seeds > 1:
                at = np.einsum("mts,sn->mtn", value, _weights(n_seeds, len(piece), True, rng))
                ranks = _ranks(at)
            else:
                at = value.mean(axis=2, keepdims=True)
                ranks = _ranks(at)
                at, ranks = (np.broadcast_to(each, (m, n_tasks, len(piece))) for each in (at, ranks))
            mean += np.einsum("mtn,tn->mn", at, tasks)
            rank += n_tasks * np.einsum("mtn,tn->mn", ranks, tasks)
        yield piece, mean, rank


def _ranks(at: Floats) -> Floats:
    """Return the ranks along the first axis, 1 = highest; equal ones share the mean of theirs."""
    twice = np.ones(at.shape, np.int32)
    for row in at:
        twice += (row > at).astype(np.int32) + (row >= at)
    ranks: Floats = twice / 2
    return ranks


def _weights(n: int, copies: int, drawn: bool, rng: np.random.Generator) -> Floats:
    """Return the share of each of n units in each copy, shape (n, copies): how often it was drawn."""
    if not drawn or n == 1:
        return np.full((n, copies), 1 / n)
    return rng.multinomial(n, np.full(n, 1 / n), copies).T / n
