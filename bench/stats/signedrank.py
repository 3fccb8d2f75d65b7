"""Wilcoxon's signed-rank test across data sets, with its effect size.

A pair is one data set: means over its tasks and seeds, which are not independent of one another. The
signed-rank test is exact up to `EXACT` pairs, ties and zeros included: given the ranks of the absolute
differences, each sign is + or - with probability 1/2, and the distribution of the rank sum follows by
counting. Zeros are ranked with the others and then left out (Pratt), so that they weaken a result rather than
vanish. Differences are compared to `DIGITS` decimals: 0.9 - 0.8 and 0.8 - 0.7 are a tie, whatever rounding
makes of them.

References
----------
Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures", JASA 54, 1959.
Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from bench.stats import Floats

#: The signed-rank test counts exactly up to so many pairs; the normal approximation is good beyond.
EXACT = 100
#: Decimals of a difference that count; the rest is rounding.
DIGITS = 12


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences.

    Attributes
    ----------
    p : float
        Two-sided; 1 if all differences are 0.
    estimate : float
        Hodges and Lehmann's: the median of the means of all pairs of differences.
    low, high : float
        The interval that belongs to the test: differences that it would not reject (with ties, about so).
        Infinite where too few pairs allow none at this level.
    effect : float
        Matched-pairs rank-biserial correlation, in [-1, 1]: rank sum of the positive minus that of the
        negative differences, as a share of all.
    n : int
        Number of pairs.
    zeros : int
        How many of them are equal.
    """

    p: float
    estimate: float
    low: float
    high: float
    effect: float
    n: int
    zeros: int


def wilcoxon(differences: ArrayLike, *, level: float = 0.95) -> SignedRank:
    """Return Wilcoxon's signed-rank test of paired differences, one for each data set.

    Parameters
    ----------
    differences : array_like, shape (n,)
    level : float
        Of the interval.

    Raises
    ------
    ValueError
        There is no difference, or one is NaN or infinite.
    """
    d = _checked(differences)
    ranks = rankdata(np.abs(d))
    positive, negative = float(ranks[d > 0].sum()), float(ranks[d < 0].sum())
    total = positive + negative
    low, high = _interval(d, level)
    return SignedRank(
        p=signed_rank_p(ranks[d != 0], min(positive, negative)),
        estimate=float(np.median(_walsh(d))),
        low=low,
        high=high,
        effect=(positive - negative) / total if total else 0.0,
        n=len(d),
        zeros=int((d == 0).sum()),
    )


def signed_rank_p(ranks: Floats, smaller: float) -> float:
    """Return the two-sided p value of a rank sum, given the ranks of the nonzero differences.

    Parameters
    ----------
    ranks : ndarray, shape (n,)
        Midranks: multiples of 1/2.
    smaller : float
        The smaller of the rank sums of the positive and of the negative differences.
    """
    if not len(ranks):
        return 1.0
    if len(ranks) <= EXACT:
        doubled = np.round(2 * ranks).astype(np.int64)
        return float(min(1.0, 2 * _distribution(doubled)[: round(2 * smaller) + 1].sum()))
    centre, spread = ranks.sum() / 2, math.sqrt(float((ranks**2).sum()) / 4)
    return float(min(1.0, 2 * norm.cdf((smaller + 0.5 - centre) / spread)))


def least_p(n: int) -> float:
    """Return the smallest two-sided p value that a signed-rank test of n pairs can have."""
    return min(1.0, 2.0 ** (1 - n))


def pairs_needed(alpha: float = 0.05, comparisons: int = 1) -> int:
    """Return how many data sets it takes before any outcome could be significant.

    Parameters
    ----------
    alpha : float
    comparisons : int
        The number of tests among which Holm's procedure corrects: the first must reach alpha / comparisons.

    References
    ----------
    Demšar 2006, section 3.1.3: with five data sets a two-sided signed-rank test cannot reach 0.05.
    """
    n = 1
    while least_p(n) > alpha / comparisons:
        n += 1
    return n


def _interval(d: Floats, level: float) -> tuple[float, float]:
    """Return the differences that the test would not reject: an order statistic of the Walsh averages.

    References
    ----------
    Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", 2014, section 3.3.
    """
    averages, cut = np.sort(_walsh(d)), walsh_cut(len(d), level)
    if cut < 1:
        return -math.inf, math.inf
    return float(averages[cut - 1]), float(averages[-cut])


def walsh_cut(n: int, level: float = 0.95) -> int:
    """Return which Walsh average, from below and from above, bounds the interval of n pairs; 0 if none does.

    The test rejects "no difference" at 1 - level if, and only if, 0 lies outside the interval (without ties).
    """
    if n <= EXACT:
        # Rank sums of 1 … n: the largest count of averages that may be cut off at either end.
        tail = np.cumsum(_distribution(np.arange(1, n + 1)))
        return int(np.count_nonzero(tail <= (1 - level) / 2 * (1 + 1e-12)))
    spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, math.floor(n * (n + 1) / 4 + float(norm.ppf((1 - level) / 2)) * spread))


def _distribution(ranks: NDArray[np.int64]) -> Floats:
    """Return the probability of each sum from 0 of ranks, each in it with probability 1/2."""
    ways = np.zeros(int(ranks.sum()) + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] += ways[: len(ways) - rank].copy()
        ways /= 2
    return ways


def _walsh(d: Floats) -> Floats:
    """Return the means of all pairs of differences, each with itself included."""
    first, second = np.triu_indices(len(d))
    averages: Floats = (d[first] + d[second]) / 2
    return averages


def _checked(differences: ArrayLike) -> Floats:
    d: Floats = np.asarray(differences, np.float64)
    if d.ndim != 1 or not len(d) or not np.isfinite(d).all():
        raise ValueError(f"expected finite differences, shape (n,) with n >= 1, got {d}")
    rounded: Floats = np.round(d, DIGITS)
    return rounded
