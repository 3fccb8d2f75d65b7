"""Intervals of AUROCs and of their differences, also where there are few images or nearly no errors.

References
----------
Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction", 2003, section 5.2.
Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
Statistics in Medicine 25, 2006.
Zou and Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in
Medicine 27, 2008.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from bench.stats import Floats


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
        Symmetric on the logit scale, so that it stays inside (0, 1), or auroc ± z · se, cut to [0, 1], which
        covers too little near 1.

    Returns
    -------
    low, high : float
        On the logit scale an AUROC of 0 or 1, whose DeLong variance is 0, gets Newcombe's interval instead,
        which says how little a perfect separation of few images proves. Else NaN for a variance of NaN.

    References
    ----------
    Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction", 2003, section 5.2.
    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25, 2006, method 5.
    """
    z = float(ndtri((1 + level) / 2))
    if scale == "plain":
        reach = z * np.sqrt(variance)
        low, high = np.clip([auroc - reach, auroc + reach], 0.0, 1.0)
        return float(low), float(high)
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


def square_and_add(estimates: Floats, bounds: Floats, correlation: Floats) -> tuple[Floats, Floats]:
    """Return intervals of all differences of m correlated estimates, from the interval of each.

    Parameters
    ----------
    estimates : ndarray, shape (m,)
    bounds : ndarray, shape (m, 2)
        Their intervals.
    correlation : ndarray, shape (m, m)

    Returns
    -------
    low, high : ndarray, shape (m, m)
        Of the row's estimate minus the column's. They inherit what the intervals know about bounds and
        skewness. For estimates nearly alike (correlations near 1) they are too wide where these are lopsided.

    References
    ----------
    Zou and Donner 2008, equation 8 ("MOVER"); for proportions Newcombe's square-and-add.
    """
    down, up = estimates - bounds[:, 0], bounds[:, 1] - estimates
    difference = estimates[:, None] - estimates[None, :]
    shared = 2 * correlation * down[:, None] * up[None, :]
    reach = np.sqrt(np.maximum(0.0, down[:, None] ** 2 + up[None, :] ** 2 - shared))
    low: Floats = difference - reach
    return low, -low.T
