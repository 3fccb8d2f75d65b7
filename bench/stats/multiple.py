"""Many comparisons at once: Holm's adjustment, and what it says of all methods together.

With all pairs adjusted, the chance that any two equal methods are found to differ is at most alpha. So with
confidence 1 - alpha *all at once*: letters part only methods that differ, the best method is among those that
none is significantly better than, and a method's rank lies between the numbers of methods that are
significantly better and worse.

References
----------
Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
Mogstad, Romano, Shaikh and Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods
and academic achievement across countries", Review of Economic Studies 91, 2024 (confidence sets for ranks).
Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", JCGS 13, 2004.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from bench.stats import Floats
from bench.stats.variance import Variance

#: Half a point of AUROC: a smaller difference is none for practical purposes.
ROPE = 0.005


def holm(p: ArrayLike) -> Floats:
    """Return Holm-adjusted p values, in the order given; they control the family-wise error.

    Parameters
    ----------
    p : array_like, shape (n,)
        In [0, 1], or NaN for a test that could not be made, which stays NaN and does not count.

    Raises
    ------
    ValueError
        A p value outside [0, 1].
    """
    raw: Floats = np.asarray(p, np.float64)
    if raw.ndim != 1 or (raw < 0).any() or (raw > 1).any():
        raise ValueError(f"expected p values in [0, 1], shape (n,), got {raw}")
    there = np.flatnonzero(~np.isnan(raw))
    order = there[np.argsort(raw[there], kind="stable")]
    adjusted = np.full(len(raw), np.nan)
    steps = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted


def holm_pairs(p: ArrayLike) -> Floats:
    """Return the Holm-adjusted p values of all pairs.

    Parameters
    ----------
    p : array_like, shape (m, m)
        Symmetric; the diagonal is not looked at.

    Returns
    -------
    ndarray, shape (m, m)
        Symmetric, 1 on the diagonal.
    """
    raw: Floats = np.asarray(p, np.float64)
    upper = np.triu_indices(len(raw), 1)
    adjusted = np.ones_like(raw)
    adjusted[upper] = holm(raw[upper])
    adjusted.T[upper] = adjusted[upper]
    return adjusted


def significantly_better(difference: Floats, adjusted: Floats, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Return of which pairs the row is significantly better than the column, shape (m, m).

    Parameters
    ----------
    difference : ndarray, shape (m, m)
        Row minus column.
    adjusted : ndarray, shape (m, m)
        Of `holm_pairs`; NaN for pairs that cannot be told apart.
    alpha : float
    """
    return np.asarray((difference > 0) & (adjusted <= alpha), bool)


def possible_bests(better: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the methods that no other is significantly better than, shape (m,): the best is among them."""
    return np.asarray(~better.any(axis=0), bool)


def rank_sets(better: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first and the last rank that each method may have, shape (m, 2); 1 = best."""
    m = len(better)
    return np.stack([1 + better.sum(axis=0), m - better.sum(axis=1)], axis=1)


def equivalent(
    difference: Floats, variance: Variance, *, rope: float = ROPE, alpha: float = 0.05
) -> NDArray[np.bool_]:
    """Return which pairs differ by less than `rope`: by two one-sided t tests, with Holm's adjustment.

    Parameters
    ----------
    difference : ndarray, shape (m, m)
    variance : Variance, shape (m, m)
        NaN for pairs of which nothing can be told.
    rope : float
        Region of practical equivalence, in the unit of the differences.
    alpha : float
    """
    inside = rope - np.abs(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(variance.value > 0, inside / np.sqrt(variance.value), np.sign(inside) * np.inf)
    p = stdtr(variance.freedom, -statistic)
    p = np.where(np.isnan(variance.value), np.nan, p)
    found: NDArray[np.bool_] = np.asarray(holm_pairs(p) <= alpha, bool)
    np.fill_diagonal(found, True)
    return found


def groups(different: ArrayLike) -> list[tuple[int, ...]]:
    """Return the groups of methods that are not significantly different.

    Two methods share a group if, and only if, they are not significantly different: "not different" is not
    transitive, so that a method may be in several groups.

    Parameters
    ----------
    different : array_like, shape (m, m), bool
        Which pairs are significantly different; symmetric.

    Returns
    -------
    list of tuple of int
        Each sorted, in the order of their first members. A method that differs from all
        others is a group of its own.
    """
    matrix = np.asarray(different, bool)
    found = [set(range(len(matrix)))] if len(matrix) else []
    for a, b in np.argwhere(np.triu(matrix, 1)):
        halves = []
        for group in found:
            parted = {a, b} <= group
            halves += [group - {a}, group - {b}] if parted else [group]
        # A group that lies in another says nothing of its own.
        found = []
        for group in sorted(halves, key=len, reverse=True):
            if not any(group <= other for other in found):
                found.append(group)
    return sorted(tuple(sorted(int(at) for at in group)) for group in found)


def letters(different: ArrayLike) -> list[str]:
    """Return letters for each method: those that share one are not significantly different.

    Parameters
    ----------
    different : array_like, shape (m, m), bool
        As for `groups`; methods from best to worst.

    Returns
    -------
    list of str
        ``["a", "ab", "b"]``: the first and the third differ, the second from neither. After ``z`` come
        ``aa``, ``ab``, … and the letters of a method are then divided by spaces.
    """
    found = groups(different)
    names = [_name(at) for at in range(len(found))]
    between = "" if len(found) <= 26 else " "
    return [
        between.join(name for name, group in zip(names, found, strict=True) if at in group)
        for at in range(len(np.asarray(different)))
    ]


def _name(at: int) -> str:
    return (_name(at // 26 - 1) if at >= 26 else "") + chr(ord("a") + at % 26)
