"""DeLong: variance, intervals and paired tests of the AUROC on one test set.

The AUROC is the mean of `bench.stats.placements`, and its variance that of their means: all pairs of m
methods cost O(m n log n + m² n).

Degenerate cases: two methods that order the images alike have difference 0, variance 0 and p = 1, also where
both AUROCs are 1. A difference without variance (every placement of one method exceeds that of the other by
the same) has p = 0, the limit, as in pROC. With fewer than two images of a class no variance is known: NaN.

The interval of a difference is difference ± z · se, the test turned round, unless one of the AUROCs lies so
near to 0 or 1 that less than `FEW` images of the smaller class stand for its errors. There z · se covers too
little (81 to 92 % in simulations with 20 to 100 images a class), as the variance is estimated from next to
nothing; the two logit intervals are then joined by square-and-add. p stays DeLong's: in that case the test is
conservative.

References
----------
DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from bench.stats import Floats
from bench.stats.interval import auroc_interval as auroc_interval
from bench.stats.interval import newcombe_interval as newcombe_interval
from bench.stats.interval import square_and_add
from bench.stats.placements import Placements as Placements
from bench.stats.placements import placements as placements

#: With fewer errors than this, in images of the smaller class, an AUROC counts as near to 0 or 1.
FEW = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Comparisons of each of m methods with each other on one test set; all of shape (m, m).

    Attributes
    ----------
    difference : ndarray
        AUROC of the row's method minus that of the column's.
    se : ndarray
        Standard error of the difference.
    p : ndarray
        Two-sided p value, not adjusted; 1 on the diagonal.
    low, high : ndarray
        Interval of each difference.
    """

    difference: Floats
    se: Floats
    p: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two methods with its interval and p value.

    Attributes
    ----------
    estimate, low, high : float
    se : float
        Standard error.
    p : float
        Two-sided.
    """

    estimate: float
    low: float
    high: float
    se: float
    p: float


def delong_pairs(held: Placements, *, level: float = 0.95) -> Pairs:
    """Return the paired test of every method against every other, on placements of one test set.

    Placements of several seeds of a method may be averaged first: their mean is the placement of the mean
    AUROC.

    Parameters
    ----------
    held : Placements
    level : float
        Of the intervals.

    References
    ----------
    DeLong et al. 1988, equations 4 to 8.
    """
    auroc, covariance = held.auroc, held.covariance
    difference = auroc[:, None] - auroc[None, :]
    own = np.diag(covariance)
    variance = own[:, None] + own[None, :] - 2 * covariance
    # Where methods are nearly alike the subtraction leaves rounding: there, the placements' own difference.
    for a, b in np.argwhere(np.triu(variance <= 1e-6 * (own[:, None] + own[None, :]), 1)):
        variance[a, b] = variance[b, a] = _variance_of_difference(held, a, b)
        difference[a, b] = (held.anomalous[a] - held.anomalous[b]).mean()
        difference[b, a] = -difference[a, b]
    np.fill_diagonal(variance, 0.0)
    se = np.sqrt(variance)
    low, high = _intervals(held, covariance, difference, se, level)
    return Pairs(difference, se, _p(difference, se), low, high)


def _intervals(
    held: Placements, covariance: Floats, difference: Floats, se: Floats, level: float
) -> tuple[Floats, Floats]:
    """Return low and high: difference ± z · se, and square-and-add where an AUROC is near to 0 or 1."""
    reach = float(ndtri((1 + level) / 2)) * se
    auroc, own = held.auroc, np.diag(covariance)
    sizes = {"anomalous": held.anomalous.shape[1], "normal": held.normal.shape[1]}
    extreme = np.minimum(auroc, 1 - auroc) * min(sizes.values()) < FEW
    # Methods that order the images alike differ by nothing; two perfect ones need not be alike.
    perfect = own == 0
    here = (extreme[:, None] | extreme[None, :]) & ((se > 0) | (perfect[:, None] & perfect[None, :]))
    np.fill_diagonal(here, False)
    if not here.any() or np.isnan(own).any():
        return difference - reach, difference + reach
    bounds = np.array(
        [auroc_interval(float(a), float(v), **sizes, level=level) for a, v in zip(auroc, own, strict=True)]
    )
    scale = np.sqrt(own[:, None] * own[None, :])
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    low, high = square_and_add(auroc, bounds, correlation)
    return np.where(here, low, difference - reach), np.where(here, high, difference + reach)


def _variance_of_difference(held: Placements, a: int, b: int) -> float:
    parts = [each[a] - each[b] for each in (held.anomalous, held.normal)]
    return float(sum(_spread(part) / len(part) for part in parts))


def _spread(values: Floats) -> float:
    """Return the variance (n - 1), exactly 0 where all are equal up to rounding."""
    if len(values) < 2:
        return float("nan")
    return 0.0 if np.ptp(values) < 1e-13 else float(values.var(ddof=1))


def _p(difference: Floats, se: Floats) -> Floats:
    """Return two-sided p values; 1 where there is no difference, also without variance."""
    nothing = np.abs(difference) < 1e-13
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(nothing, 0.0, np.abs(difference) / se)
    p: Floats = 2 * norm.sf(z)
    return np.where(nothing & np.isfinite(se), 1.0, p)
