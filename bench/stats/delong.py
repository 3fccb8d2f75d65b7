"""DeLong: variance, intervals and paired tests of the AUROC on one test set.

The AUROC is the mean of *placements*: of each anomalous image, the share of normal images that score below it
(equal ones count half), and of each normal image the share of anomalous ones above it. Its variance is the
variance of these means. By midranks all placements cost one sort, O(n log n), rather than a comparison of
every anomalous with every normal image.

Degenerate cases: two methods that order the images alike have difference 0, variance 0 and p = 1, also where
both AUROCs are 1. A difference without variance (every placement of one method exceeds that of the other by
the same) has p = 0, the limit, as in pROC. With fewer than two images of a class no variance is known: NaN.

References
----------
DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988.
Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from scipy.stats import norm, rankdata

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """Structural components of the AUROCs of m methods on one test set.

    Attributes
    ----------
    anomalous : ndarray, shape (m, n1)
        Of each anomalous image, the share of normal images below it; in [0, 1].
    normal : ndarray, shape (m, n0)
        Of each normal image, the share of anomalous images above it; in [0, 1].
    """

    anomalous: Floats
    normal: Floats

    @property
    def auroc(self) -> Floats:
        """AUROCs, shape (m,)."""
        auroc: Floats = self.anomalous.mean(axis=1)
        return auroc

    @property
    def covariance(self) -> Floats:
        """Covariance of the AUROCs, shape (m, m); NaN with fewer than two images of a class."""
        return _covariance_of_mean(self.anomalous) + _covariance_of_mean(self.normal)


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
    """

    difference: Floats
    se: Floats
    p: Floats


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


def placements(labels: ArrayLike, scores: ArrayLike) -> Placements:
    """Return the structural components of the AUROC, for many methods at once.

    Parameters
    ----------
    labels : array_like, shape (n,)
        1 (or True) = anomalous, 0 = normal.
    scores : array_like, shape (n,) or (m, n)
        Of one or of m methods; higher = more anomalous. Infinities are legal.

    Raises
    ------
    ValueError
        Shapes do not fit, a label is neither 0 nor 1, a class is missing, or a score is NaN.
    """
    truth, values = _checked(labels, scores)
    anomalous, normal = values[:, truth], values[:, ~truth]
    # Rank among all minus rank among one's own = how many of the others lie below, equal ones half.
    ranks = rankdata(values, axis=1)
    above = ranks[:, truth] - rankdata(anomalous, axis=1)
    below = ranks[:, ~truth] - rankdata(normal, axis=1)
    return Placements(above / normal.shape[1], 1.0 - below / anomalous.shape[1])


def delong_pairs(held: Placements) -> Pairs:
    """Return the paired test of every method against every other, on placements of one test set.

    Placements of several seeds of a method may be averaged first: their mean is the placement of the mean
    AUROC.

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
    return Pairs(difference, se, _p(difference, se))


def delong_test(labels: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Difference:
    """Return the difference of two AUROCs on the same images, its interval and its paired test.

    Parameters
    ----------
    labels : array_like, shape (n,)
    first, second : array_like, shape (n,)
        Scores of two methods.
    level : float
        Of the interval, which is plain: difference ± z · se.

    Raises
    ------
    ValueError
        As for `placements`.
    """
    pairs = delong_pairs(placements(labels, np.stack([_row(first), _row(second)])))
    difference, se = float(pairs.difference[0, 1]), float(pairs.se[0, 1])
    reach = float(ndtri((1 + level) / 2)) * se
    return Difference(difference, difference - reach, difference + reach, se, float(pairs.p[0, 1]))


def auroc_interval(
    auroc: float,
    variance: float,
    *,
    anomalous: int,
    normal: int,
    level: float = 0.95,
    scale: Literal["logit", "plain"] = "logit",
) -> tuple[float, float]:
    """Return the interval of one AUROC from its DeLong variance.

    Parameters
    ----------
    auroc, variance : float
    anomalous, normal : int
        Numbers of images, for the case below.
    level : float
    scale : {"logit", "plain"}
        Symmetric on the logit scale, so that it stays inside (0, 1), or auroc ± z · se, cut to [0, 1].

    Returns
    -------
    low, high : float
        On the logit scale an AUROC of 0 or 1, whose DeLong variance is 0, gets Newcombe's interval instead,
        which says how little a perfect separation of few images proves. NaN for a variance of NaN.

    References
    ----------
    Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction", 2003, section 5.2.
    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25, 2006, method 5.
    """
    z = float(ndtri((1 + level) / 2))
    if scale == "plain":
        reach = z * np.sqrt(variance)
        return max(0.0, auroc - reach) if reach == reach else reach, min(1.0, auroc + reach)
    if auroc in (0.0, 1.0):
        return newcombe_interval(auroc, anomalous=anomalous, normal=normal, level=level)
    reach = z * np.sqrt(variance) / (auroc * (1 - auroc))
    return float(expit(logit(auroc) - reach)), float(expit(logit(auroc) + reach))


def newcombe_interval(
    auroc: float, *, anomalous: int, normal: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the score interval of an AUROC that needs the numbers of images alone; never a point.

    References
    ----------
    Newcombe 2006, method 5; the variance is Hanley and McNeil's with both numbers replaced by their mean.
    """
    factor = float(ndtri((1 + level) / 2)) ** 2 / (anomalous * normal)
    half = (anomalous + normal) / 2 - 1

    def root(towards: float) -> float:
        """Return the theta between the AUROC and 0 or 1 whose distance is z times its standard error."""

        def excess(theta: float) -> float:
            spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
            if auroc == 1:  # a factor 1 - theta, whose root is the AUROC itself, is divided out
                return 1 - theta - factor * theta * spread
            return (auroc - theta) ** 2 - factor * theta * (1 - theta) * spread

        return float(brentq(excess, *sorted((auroc, towards)), xtol=1e-14))

    if auroc == 0:
        low, high = newcombe_interval(1.0, anomalous=anomalous, normal=normal, level=level)
        return 1 - high, 1 - low
    return root(0.0), 1.0 if auroc == 1 else root(1.0)


def _row(scores: ArrayLike) -> Floats:
    values: Floats = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(f"expected the scores of one method, shape (n,), got {values.shape}")
    return values


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    truth = np.asarray(labels)
    values: Floats = np.atleast_2d(np.asarray(scores, np.float64))
    if truth.ndim != 1 or values.ndim != 2 or values.shape[1] != len(truth):
        raise ValueError(
            f"expected labels (n,) and scores (n,) or (m, n), got {truth.shape} and {np.shape(scores)}"
        )
    anomalous: NDArray[np.bool_] = truth == 1
    if not (anomalous | (truth == 0)).all():
        raise ValueError("expected labels 0 (normal) and 1 (anomalous)")
    if anomalous.all() or not anomalous.any():
        raise ValueError("expected images of both classes: without them there is no AUROC")
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} scores are NaN; a score may be infinite but no NaN")
    return anomalous, values


def _covariance_of_mean(components: Floats) -> Floats:
    m, n = components.shape
    if n < 2:
        return np.full((m, m), np.nan)
    centred = components - components.mean(axis=1, keepdims=True)
    covariance: Floats = centred @ centred.T / ((n - 1) * n)
    return covariance


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
