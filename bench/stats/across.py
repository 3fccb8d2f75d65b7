"""All methods over all data sets: every pair by the signed-rank test with Holm, and Friedman's test.

The blocks are data sets. With few of them no outcome could be significant; then that is said, and how many it
would take, instead of a p value that could not have been small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats import Floats
from bench.stats.friedman import Friedman, critical_difference, friedman
from bench.stats.friedman import data_sets_needed as friedman_needs
from bench.stats.multiple import holm_pairs
from bench.stats.signedrank import SignedRank, pairs_needed, wilcoxon


@dataclass(frozen=True, slots=True, eq=False)
class Across:
    """Comparisons of m methods over n data sets; the matrices are of shape (m, m), row minus column.

    Attributes
    ----------
    n : int
        Data sets (blocks).
    difference : ndarray
        Mean difference.
    estimate, low, high : ndarray
        Hodges and Lehmann's estimate of the difference and the interval that belongs to the test.
    effect : ndarray
        Matched-pairs rank-biserial correlation.
    p, adjusted : ndarray
        Of the signed-rank test, and with Holm's correction for all pairs.
    needed : int
        So many data sets it takes before any pair could be significant after the correction.
    friedman : Friedman or None
        None for a single data set.
    friedman_needs : int
        So many data sets it takes before Friedman's test could be significant.
    critical_difference : float or None
        Nemenyi's, of mean ranks; None where Friedman's test is not significant or could not be.
    alpha : float
    """

    n: int
    difference: Floats
    estimate: Floats
    low: Floats
    high: Floats
    effect: Floats
    p: Floats
    adjusted: Floats
    needed: int
    friedman: Friedman | None
    friedman_needs: int
    critical_difference: float | None
    alpha: float

    @property
    def enough(self) -> bool:
        """Whether any pair could have been significant."""
        return self.n >= self.needed

    @property
    def different(self) -> NDArray[np.bool_]:
        """Which pairs are significantly different, shape (m, m)."""
        return self.adjusted <= self.alpha


def across(values: ArrayLike, *, alpha: float = 0.05) -> Across:
    """Compare every pair of methods over data sets.

    Parameters
    ----------
    values : array_like, shape (n, m)
        One row for each data set (block), one column for each method; higher is better. Means over the tasks
        and seeds of the data set.
    alpha : float
        Level of the tests; 1 - alpha that of the intervals.

    Raises
    ------
    ValueError
        Fewer than two methods, no data set, or a NaN.
    """
    held = np.asarray(values, np.float64)
    if held.ndim != 2 or held.shape[1] < 2 or not len(held) or np.isnan(held).any():
        raise ValueError(f"expected values (n, m) with n >= 1, m >= 2 and no NaN, got shape {held.shape}")
    n, m = held.shape
    pairs = {(a, b): wilcoxon(held[:, a] - held[:, b], level=1 - alpha) for a in range(m) for b in range(a)}
    p = _matrix(m, pairs, lambda found: found.p, lambda found: found.p, diagonal=1.0)
    omnibus = friedman(held) if n > 1 else None
    seen = omnibus is not None and omnibus.p <= alpha
    return Across(
        n=n,
        difference=held.mean(axis=0)[:, None] - held.mean(axis=0)[None, :],
        estimate=_matrix(m, pairs, lambda found: found.estimate, lambda found: -found.estimate),
        low=_matrix(m, pairs, lambda found: found.low, lambda found: -found.high),
        high=_matrix(m, pairs, lambda found: found.high, lambda found: -found.low),
        effect=_matrix(m, pairs, lambda found: found.effect, lambda found: -found.effect),
        p=p,
        adjusted=holm_pairs(p),
        needed=pairs_needed(alpha, m * (m - 1) // 2),
        friedman=omnibus,
        friedman_needs=friedman_needs(m, alpha),
        critical_difference=critical_difference(n, m, alpha=alpha) if seen else None,
        alpha=alpha,
    )


def _matrix(
    m: int,
    pairs: Mapping[tuple[int, int], SignedRank],
    of: Callable[[SignedRank], float],
    of_swapped: Callable[[SignedRank], float],
    *,
    diagonal: float = 0.0,
) -> Floats:
    """Return what each pair gave, and what it gives the other way round, as a matrix (m, m)."""
    matrix = np.full((m, m), diagonal)
    for (a, b), found in pairs.items():
        matrix[a, b], matrix[b, a] = of(found), of_swapped(found)
    return matrix
