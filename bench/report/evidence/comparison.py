"""Comparison: what may be said of methods' means, and of their differences. Numbers only, no text.

Two scopes. Over *data sets* the blocks are independent data sets, and what is found holds for data sets like
these; it takes many of them. On *images* the data sets are fixed and their test images (and the methods'
seeds) are what is resampled: what is found holds for these data sets and no others. Which of the two a
compared has, it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.stats import Floats
from bench.stats.across import Across, across
from bench.stats.bootstrap import with_seeds
from bench.stats.multiple import holm_pairs, letters
from bench.stats.overall import LEAST, overall
from bench.stats.power import smallest_difference, smallest_difference_of
from bench.stats.signedrank import pairs_needed

Scope = Literal["data sets", "images", ""]

ALPHA = 0.05
#: With fewer independent data sets there is hardly a bootstrap over them, and the Bayesian test is mostly its
#: prior.
ENOUGH_FOR_INTERVAL = LEAST


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is compared: a metric, or a summary of a curve, of m methods on n data sets.

    Attributes
    ----------
    rows : tuple of int
        The methods, as rows of the board.
    blocks : tuple of int
        The independent data set that each of the n belongs to.
    values : tuple of ndarray, each of shape (m, tasks, seeds)
    replicates : tuple of ndarray, each of shape (m, draws), or None
        Means over tasks and seeds under resamples of the images.
    why : str
        Why there are no replicates.
    comparable : bool
        False where the cells were not measured alike: then nothing is tested.
    """

    rows: tuple[int, ...]
    blocks: tuple[int, ...]
    values: tuple[Floats, ...]
    replicates: tuple[Floats, ...] | None
    why: str = ""
    comparable: bool = True

    @property
    def n(self) -> int:
        """Number of independent data sets."""
        return len(set(self.blocks))

    @property
    def by_block(self) -> Floats:
        """Means over seeds, tasks and the data sets of a block, shape (n, m)."""
        means, of = np.stack([value.mean(axis=(1, 2)) for value in self.values]), np.array(self.blocks)
        return np.stack([means[of == block].mean(axis=0) for block in sorted(set(self.blocks))])

    @property
    def by_seed(self) -> Floats:
        """Means over data sets for each seed, shape (m, seeds)."""
        found: Floats = np.mean([value.mean(axis=1) for value in self.values], axis=0)
        return found


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
    rank_interval : ndarray, shape (m, 2)
        Of the mean rank over tasks, over data sets; NaN for a single one.
    scope : {"data sets", "images", ""}
        Of the tests; empty where nothing could be tested.
    difference, low, high, adjusted : ndarray, shape (m, m)
        Mean difference, its interval, and its p value with Holm's correction for all pairs.
    letters : tuple of str
        Methods that share a letter are not significantly different; ``a`` is the best. Empty for one method.
    smallest : float
        The smallest difference that the tests would have found with probability 0.8, for the median pair, at
        the first step of Holm's correction; NaN where nothing was tested.
    across : Across or None
        The tests over data sets; None for a single one.
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
    rank_interval: Floats
    scope: Scope
    difference: Floats
    low: Floats
    high: Floats
    adjusted: Floats
    letters: tuple[str, ...]
    smallest: float
    across: Across | None
    by_block: Floats
    why: str

    @property
    def interval_scope(self) -> Scope:
        """The scope of `interval`."""
        if self.n >= ENOUGH_FOR_INTERVAL and np.isfinite(self.over_datasets).all():
            return "data sets"
        return "images" if np.isfinite(self.on_images).all() else ""

    @property
    def interval(self) -> Floats:
        """The intervals to show, shape (m, 2): over data sets if they are enough, else on images."""
        return self.over_datasets if self.interval_scope == "data sets" else self.on_images


def compare_methods(samples: Samples) -> Comparison:
    """Return what may be said of a samples.

    Pairs are tested over data sets by the signed-rank test if they are enough for any pair to be significant
    after Holm's correction; else, where scores are at hand, on the images of these data sets.
    """
    m, n = len(samples.rows), samples.n
    blocks = samples.by_block
    over = across(blocks) if n > 1 and m > 1 and samples.comparable else None
    means, ranks = _over_datasets(samples)
    on = _on_images(samples)
    difference = blocks.mean(axis=0)[:, None] - blocks.mean(axis=0)[None, :]
    if over is not None and over.enough:
        scope: Scope = "data sets"
        low, high, adjusted = over.low, over.high, over.adjusted
        smallest = _smallest_over(blocks)
    elif samples.replicates is not None and m > 1 and samples.comparable:
        scope = "images"
        difference, low, high, p, se = _pairs(samples)
        adjusted = holm_pairs(p)
        comparisons = m * (m - 1) // 2
        smallest = smallest_difference_of(
            float(np.median(se[np.triu_indices(m, 1)])), alpha=ALPHA / comparisons
        )
    else:
        scope, smallest = "", float("nan")
        low, high, adjusted = (np.full((m, m), np.nan) for _ in range(3))
    mean = samples.by_seed.mean(axis=1)
    return Comparison(
        rows=samples.rows,
        n=n,
        needed=pairs_needed(ALPHA, m * (m - 1) // 2) if m > 1 else 0,
        mean=mean,
        on_images=on,
        over_datasets=means,
        rank_interval=ranks,
        scope=scope,
        difference=difference,
        low=low,
        high=high,
        adjusted=adjusted,
        letters=_letters(mean, adjusted) if scope else (),
        smallest=smallest,
        across=over,
        by_block=blocks,
        why=samples.why,
    )


def _letters(mean: Floats, adjusted: Floats) -> tuple[str, ...]:
    order = np.argsort(-mean, kind="stable")
    found = letters((adjusted <= ALPHA)[np.ix_(order, order)])
    of = dict(zip(order.tolist(), found, strict=True))
    return tuple(of[at] for at in range(len(mean)))


def _over_datasets(samples: Samples) -> tuple[Floats, Floats]:
    """Return the intervals of means and of mean ranks over data sets; NaN for a single one."""
    m = len(samples.rows)
    if samples.n < 2 or not samples.comparable:
        return np.full((m, 2), np.nan), np.full((m, 2), np.nan)
    found = overall(samples.values, blocks=samples.blocks)
    return np.stack([found.mean.low, found.mean.high], axis=1), np.stack(
        [found.rank.low, found.rank.high], axis=1
    )


def _on_images(samples: Samples) -> Floats:
    m = len(samples.rows)
    if samples.replicates is None:
        return np.full((m, 2), np.nan)
    drawn, seeds = np.mean(samples.replicates, axis=0), samples.by_seed
    found = [with_seeds(seeds[at], drawn[at]) for at in range(m)]
    return np.array([(each.low, each.high) for each in found])


def _pairs(samples: Samples) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return difference, low, high, p and standard error of all pairs under one resample of the images."""
    drawn: Floats = np.mean(samples.replicates or (), axis=0)
    seeds, m = samples.by_seed, len(samples.rows)
    difference, low, high, se = (np.zeros((m, m)) for _ in range(4))
    p = np.ones((m, m))
    for a in range(m):
        for b in range(a):
            found = with_seeds(seeds[a] - seeds[b], drawn[a] - drawn[b])
            difference[a, b], difference[b, a] = found.estimate, -found.estimate
            low[a, b], low[b, a] = found.low, -found.high
            high[a, b], high[b, a] = found.high, -found.low
            p[a, b] = p[b, a] = found.p
            se[a, b] = se[b, a] = found.se
    return difference, low, high, p, se


def _smallest_over(blocks: Floats) -> float:
    n, m = blocks.shape
    spreads = [np.std(blocks[:, a] - blocks[:, b], ddof=1) for a in range(m) for b in range(a)]
    return smallest_difference(float(np.median(spreads)), n, alpha=ALPHA / len(spreads))


def best(compared: Comparison, rows: Sequence[int] | None = None) -> int:
    """Return the position of the method with the best mean (among some rows)."""
    held = [at for at, row in enumerate(compared.rows) if rows is None or row in rows]
    return max(held, key=lambda at: (compared.mean[at], -at))
