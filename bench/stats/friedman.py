"""Many methods over many data sets: Friedman's test, Iman and Davenport's F, Nemenyi's critical difference.

References
----------
Friedman, "The use of ranks to avoid the assumption of normality implicit in the analysis of variance", JASA
32, 1937.
Iman and Davenport, "Approximations of the critical region of the Friedman statistic", Communications in
Statistics 9, 1980.
Nemenyi, "Distribution-free multiple comparisons", PhD thesis, Princeton, 1963.
Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, f, rankdata, studentized_range

Floats = NDArray[np.float64]


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
        From the F distribution with k - 1 and (k - 1)(n - 1) degrees of freedom: the one to use. Never below
        `least_p`, which the approximation would undercut where all data sets agree.
    n, k : int
    """

    ranks: Floats
    chi2: float
    p_chi2: float
    f: float
    p: float
    n: int
    k: int


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
    ranks = rankdata(-held, axis=1)
    sums = ranks.sum(axis=0)
    # Integers and halves: exact, so that "all equal" and "all agree" are seen.
    between = float(((sums - n * (k + 1) / 2) ** 2).sum())
    total = float(((ranks - (k + 1) / 2) ** 2).sum())
    if total == 0:
        return Friedman(sums / n, 0.0, 1.0, 0.0, 1.0, n, k)
    statistic = (k - 1) * between / total
    rest = n * (k - 1) - statistic
    ratio = math.inf if n * total - between <= 1e-9 else (n - 1) * statistic / rest
    p = float(f.sf(ratio, k - 1, (k - 1) * (n - 1))) if n > 1 else 1.0
    return Friedman(
        ranks=sums / n,
        chi2=statistic,
        p_chi2=float(chi2.sf(statistic, k - 1)),
        f=ratio,
        p=max(p, least_p(n, k)),
        n=n,
        k=k,
    )


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


def nemenyi(ranks: ArrayLike, n: int) -> Floats:
    """Return Nemenyi's p values of all pairs, from the mean ranks of k methods on n data sets.

    Parameters
    ----------
    ranks : array_like, shape (k,)
    n : int

    Returns
    -------
    ndarray, shape (k, k)
        Symmetric, adjusted for all pairs, 1 on the diagonal.
    """
    mean: Floats = np.asarray(ranks, np.float64)
    k = len(mean)
    p = np.ones((k, k))
    upper = np.triu_indices(k, 1)
    q = np.abs(mean[upper[0]] - mean[upper[1]]) / math.sqrt(k * (k + 1) / (12 * n))
    p[upper] = np.clip(studentized_range.sf(q, k, np.inf), 0, 1)
    p.T[upper] = p[upper]
    return p
