"""Many methods over many data sets: Friedman's test, Iman and Davenport's F, Nemenyi's critical difference.

With few data sets Iman and Davenport's F rejects too often (three methods on three data sets: 19 % at 5 %).
There the p value comes from the permutations themselves, as Friedman defined the test: all of them where they
are few, else a random sample.

References
----------
Friedman, "The use of ranks to avoid the assumption of normality implicit in the analysis of variance", JASA
32, 1937.
Iman and Davenport, "Approximations of the critical region of the Friedman statistic", Communications in
Statistics 9, 1980.
Phipson and Smyth, "Permutation p-values should never be zero", Statistical Applications in Genetics and
Molecular Biology 9, 2010.
Nemenyi, "Distribution-free multiple comparisons", PhD thesis, Princeton, 1963.
Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, f, rankdata, studentized_range

from bench.stats import Floats

#: Decimals of a value that count; the rest is rounding.
DIGITS = 12
#: Up to so many arrangements of the ranks all are counted.
ARRANGEMENTS = 60_000
#: Else so many are drawn, if there are at most so many ranks; beyond, F is good.
DRAWS, RANKS = 20_000, 100


@dataclass(frozen=True, slots=True, eq=False)
class Friedman:
    """Friedman's test of n data sets × k methods.

    Attributes
    ----------
    ranks : ndarray, shape (k,)
        Mean rank of each method, 1 = best (highest).
    chi2 : float
        Friedman's statistic, corrected for ties.
    p_chi2 : float
        From the chi-squared distribution with k - 1 degrees of freedom.
    f : float
        Iman and Davenport's statistic; infinite where all data sets agree.
    p : float
        The one to use. Exact where there are at most `ARRANGEMENTS` of the ranks; from `DRAWS` random ones up
        to `RANKS` ranks; else `p_f`, but never below `least_p`, which it undercuts where all data sets agree.
    n, k : int
    p_f : float
        From the F distribution with k - 1 and (k - 1)(n - 1) degrees of freedom.
    """

    ranks: Floats
    chi2: float
    p_chi2: float
    f: float
    p: float
    n: int
    k: int
    p_f: float

    @property
    def w(self) -> float:
        """Kendall's coefficient of concordance, in [0, 1]: how much the data sets agree, the effect size."""
        return self.chi2 / (self.n * (self.k - 1))


def friedman(values: ArrayLike) -> Friedman:
    """Return Friedman's test with Iman and Davenport's correction.

    Parameters
    ----------
    values : array_like, shape (n, k)
        One row for each data set, one column for each method; higher is better. Equal values share the mean
        of their ranks.

    Raises
    ------
    ValueError
        Fewer than 2 methods, no data set, or a value is NaN.
    """
    held: Floats = np.asarray(values, np.float64)
    if held.ndim != 2 or held.shape[1] < 2 or not len(held) or np.isnan(held).any():
        raise ValueError(f"expected values (n, k) with n >= 1, k >= 2 and no NaN, got shape {held.shape}")
    n, k = held.shape
    ranks = rankdata(-np.round(held, DIGITS), axis=1)
    sums = ranks.sum(axis=0)
    # Integers and halves: exact, so that "all equal" and "all agree" are seen.
    between = float(_between(sums, n))
    total = float(((ranks - (k + 1) / 2) ** 2).sum())
    if total == 0:
        return Friedman(sums / n, 0.0, 1.0, 0.0, 1.0, n, k, 1.0)
    statistic = (k - 1) * between / total
    rest = n * (k - 1) - statistic
    ratio = math.inf if n * total - between <= 1e-9 else (n - 1) * statistic / rest
    p_f = float(f.sf(ratio, k - 1, (k - 1) * (n - 1))) if n > 1 else 1.0
    return Friedman(
        ranks=sums / n,
        chi2=statistic,
        p_chi2=float(chi2.sf(statistic, k - 1)),
        f=ratio,
        p=_p(ranks, between, p_f),
        n=n,
        k=k,
        p_f=p_f,
    )


def _p(ranks: Floats, between: float, p_f: float) -> float:
    """Return the p value of the spread of rank sums, exact or by permutation, and else that of F."""
    n, k = ranks.shape
    every = math.lgamma(k + 1) * (n - 1) <= math.log(ARRANGEMENTS) + 1e-9
    if not every and n * k > RANKS:
        return max(p_f, least_p(n, k))
    # What is permuted has no order: the same data sets and methods otherwise arranged give the same p value.
    null = _null(tuple(sorted(tuple(row) for row in np.sort(ranks, axis=1).tolist())), every)
    beyond = len(null) - int(np.searchsorted(null, between - 1e-9))
    return beyond / len(null) if every else max((1 + beyond) / (1 + len(null)), least_p(n, k))


@lru_cache(maxsize=64)
def _null(rows: tuple[tuple[float, ...], ...], every: bool) -> Floats:
    """Return the sorted spreads of rank sums over every arrangement of ranks, or over random ones."""
    ranks = np.array(rows)
    if every:
        sums = _all_sums(ranks)
    else:
        drawn = np.broadcast_to(ranks, (DRAWS, *ranks.shape))
        sums = np.random.default_rng(0).permuted(drawn, axis=2).sum(axis=1)
    return np.sort(_between(sums, len(ranks)))


def _between(sums: Floats, n: int) -> Floats:
    """Return the sum of squares of rank sums, shape (..., k), about their mean; monotone in the statistic."""
    spread: Floats = ((sums - n * (sums.shape[-1] + 1) / 2) ** 2).sum(axis=-1)
    return spread


def _all_sums(ranks: Floats) -> Floats:
    """Return the rank sums of all arrangements, the first data set's ranks kept, shape (k! ** (n - 1), k)."""
    sums = ranks[:1]
    for row in ranks[1:]:
        arranged = np.array(list(permutations(row)))
        sums = (sums[:, None, :] + arranged[None, :, :]).reshape(-1, ranks.shape[1])
    return sums


def least_p(n: int, k: int) -> float:
    """Return the probability that n data sets rank k equal methods alike: no outcome is rarer."""
    return math.exp(-(n - 1) * math.lgamma(k + 1))


def data_sets_needed(k: int, alpha: float = 0.05) -> int:
    """Return how many data sets it takes before any outcome of Friedman's test could be significant."""
    n = 1
    while least_p(n, k) > alpha:
        n += 1
    return n


@lru_cache(maxsize=256)
def critical_difference(n: int, k: int, *, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks: pairs further apart are significantly different.

    Parameters
    ----------
    n : int
        Data sets.
    k : int
        Methods.
    alpha : float
    """
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))
