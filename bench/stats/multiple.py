"""Many comparisons at once: Holm's adjustment, and letters that say what is not significantly different.

References
----------
Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", JCGS 13, 2004.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.stats import Floats


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
