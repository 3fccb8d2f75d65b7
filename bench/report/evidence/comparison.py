"""Comparison: what may be said of methods' means, and of their differences. Numbers only, no text.

Two scopes. Over *data sets* the units are independent data sets, and what is found holds for data sets like
these; it takes many of them. On *images* the data sets are fixed and their test images, and the methods'
seeds, are what varies: what is found holds for these data sets and no others. Which of the two a comparison
has, it says; and of which methods too few seeds are there to say anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.report.evidence.samples import Flags, Samples, on_images
from bench.stats import Floats
from bench.stats.friedman import Friedman, friedman
from bench.stats.multiple import (
    ROPE,
    equivalent,
    holm_pairs,
    letters,
    possible_bests,
    rank_sets,
    significantly_better,
)
from bench.stats.overdatasets import Blocked, mean_intervals
from bench.stats.power import smallest_difference
from bench.stats.seeds import seeds_needed
from bench.stats.variance import Variance

Scope = Literal["data sets", "images", ""]

ALPHA = 0.05
#: With fewer independent data sets an interval over them says next to nothing, and the Bayesian test is
#: mostly its prior.
ENOUGH_FOR_INTERVAL = 5


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Means of m methods and what separates them; matrices of shape (m, m), row minus column.

    Attributes
    ----------
    rows : tuple of int
    n, needed : int
        Independent data sets; how many it takes before a pair could differ significantly over data sets.
    mean : ndarray, shape (m,)
        Over data sets, each with the same weight.
    on_images, over_datasets : ndarray, shape (m, 2)
        Intervals of the mean in the two scopes; NaN where there is none.
    scope : {"data sets", "images", ""}
        Of the tests; empty where nothing could be tested.
    told : ndarray, shape (m,), bool
        Of which methods anything is claimed: the others have too few seeds.
    seeds_needed : int
        With so many seeds all could be told.
    difference, low, high, adjusted : ndarray, shape (m, m)
        Difference of the means, its interval, and its p value with Holm's correction for all pairs.
    better : ndarray, shape (m, m), bool
        The row is significantly better than the column.
    equivalent : ndarray, shape (m, m), bool
        The difference is less than `rope`.
    rope : float
    letters : tuple of str
        Methods that share a letter are not significantly different; ``a`` is the best. Empty for one of which
        nothing can be told.
    smallest : float
        The smallest difference that the tests would have found with probability 0.8, for the median pair, at
        the first step of Holm's correction; NaN where nothing was tested.
    friedman : Friedman or None
        Over data sets; None for a single one.
    by_block : ndarray, shape (n, m)
        Means on each independent data set.
    why : str
        Why nothing was tested on images.
    """

    rows: tuple[int, ...]
    n: int
    needed: int
    mean: Floats
    on_images: Floats
    over_datasets: Floats
    scope: Scope
    told: Flags
    seeds_needed: int
    difference: Floats
    low: Floats
    high: Floats
    adjusted: Floats
    better: Flags
    equivalent: Flags
    rope: float
    letters: tuple[str, ...]
    smallest: float
    friedman: Friedman | None
    by_block: Floats
    why: str

    @property
    def interval_scope(self) -> Scope:
        """The scope of `interval`."""
        if self.n >= ENOUGH_FOR_INTERVAL and np.isfinite(self.over_datasets).all():
            return "data sets"
        return "images" if np.isfinite(self.on_images).any() else ""

    @property
    def interval(self) -> Floats:
        """The intervals to show, shape (m, 2): over data sets if they are enough, else on images."""
        return self.over_datasets if self.interval_scope == "data sets" else self.on_images

    @property
    def possible_bests(self) -> Flags:
        """The methods that may be the best, shape (m,): told, and none is significantly better."""
        return self.told & possible_bests(self.better) if self.scope else np.zeros(len(self.rows), bool)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """The first and the last rank by the mean that each method may have, shape (m, 2)."""
        return rank_sets(self.better)


def compare_methods(samples: Samples, *, rope: float = ROPE) -> Comparison:
    """Return what may be said of the means of some methods.

    Pairs are tested over data sets by the paired t test if there are enough of them for any pair to be
    significant after Holm's correction whatever their distribution (`data_sets_needed`); else, where scores
    are at hand, on the images of these data sets.

    Parameters
    ----------
    samples : Samples
    rope : float
        A smaller difference is none for practical purposes.
    """
    m, held = len(samples.rows), samples.blocked
    n, mean, needed = len(held.weights), held.mean, data_sets_needed(m)
    pairs, scope, told = _pairs(samples, held, needed)
    difference = mean[:, None] - mean[None, :]
    least = 2.0 ** (1 - n) if scope == "data sets" else samples.least_p
    p = pairs.p(difference, least=least)
    adjusted = holm_pairs(p) if scope else np.full((m, m), np.nan)
    reach = _reach(pairs, mean, samples.margin if scope == "images" else 0.0)
    better = significantly_better(difference, adjusted, ALPHA)
    by_block = held.sums / held.weights[:, None]
    return Comparison(
        rows=samples.rows,
        n=n,
        needed=needed,
        mean=mean,
        on_images=on_images(samples),
        over_datasets=mean_intervals(held, shares=samples.shares)
        if n > 1 and samples.comparable
        else np.full((m, 2), np.nan),
        scope=scope,
        told=told,
        seeds_needed=max(seeds_needed(samples.tasks), samples.seeds_needed),
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        adjusted=adjusted,
        better=better,
        equivalent=equivalent(difference, _with_unseen(pairs, reach), rope=rope),
        rope=rope,
        letters=_letters(mean, better, told) if scope else (),
        smallest=_smallest(pairs) if scope else float("nan"),
        friedman=friedman(by_block) if n > 1 and m > 1 and samples.comparable else None,
        by_block=by_block,
        why=samples.why,
    )


def data_sets_needed(methods: int, alpha: float = ALPHA) -> int:
    """Return how many data sets it takes before a pair of methods could differ, whatever the distribution.

    An exact test of the signs of n differences has no p value below 2 / 2ⁿ, so that none is claimed; with
    Holm's correction the smallest must reach alpha over the number of pairs.
    """
    pairs, n = max(1, methods * (methods - 1) // 2), 1
    while 2.0 ** (1 - n) > alpha / pairs:
        n += 1
    return n


def _pairs(samples: Samples, held: Blocked, needed: int) -> tuple[Variance, Scope, Flags]:
    """Return the variances of all differences, over what, and of which methods anything can be told."""
    m, n = len(samples.rows), len(held.weights)
    if m > 1 and samples.comparable and n >= needed:
        # Whatever seeds leave open is part of the spread over data sets.
        found = held.differences().variance
        return Variance(found.value.reshape(m, m), found.freedom.reshape(m, m)), "data sets", np.ones(m, bool)
    if m > 1 and samples.comparable and samples.images is not None:
        return samples.variance_of_pairs(), "images", samples.told
    return Variance.of(np.full((m, m), np.nan), np.inf), "", samples.told


def _reach(pairs: Variance, mean: Floats, margin: float) -> Floats:
    """Return half the widths of the intervals; of perfect methods, which do not vary, the margin."""
    perfect = (mean == 0) | (mean == 1)
    unknown = (pairs.value == 0) & perfect[:, None] & perfect & ~np.eye(len(mean), dtype=bool)
    return np.where(unknown, margin, pairs.reach())


def _with_unseen(pairs: Variance, reach: Floats) -> Variance:
    """Return the variances with those that stand for the reach of perfect methods, which do not vary."""
    return Variance(np.where(pairs.value == 0, (reach / 2) ** 2, pairs.value), pairs.freedom)


def _smallest(pairs: Variance) -> float:
    upper = np.triu_indices(len(pairs.value), 1)
    there = ~np.isnan(pairs.value[upper])
    if not there.any():
        return float("nan")
    se, freedom = np.sqrt(pairs.value[upper][there]), pairs.freedom[upper][there]
    return smallest_difference(
        float(np.median(se)), freedom=float(np.median(freedom)), alpha=ALPHA / int(there.sum())
    )


def _letters(mean: Floats, better: Flags, told: Flags) -> tuple[str, ...]:
    order = [at for at in np.argsort(-mean, kind="stable") if told[at]]
    different = (better | better.T)[np.ix_(order, order)]
    found = dict(zip(order, letters(different), strict=True))
    return tuple(found.get(at, "") for at in range(len(mean)))


def best(compared: Comparison, rows: Sequence[int] | None = None) -> int:
    """Return the position of the method with the best mean (among some rows)."""
    held = [at for at, row in enumerate(compared.rows) if rows is None or row in rows]
    return max(held, key=lambda at: (compared.mean[at], -at))
