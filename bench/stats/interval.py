"""Intervals of AUROCs and of means of AUROCs, also where there are few images or no errors at all.

References
----------
Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction", 2003, section 5.2.
Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
Statistics in Medicine 25, 2006.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from bench.stats import Floats
from bench.stats.variance import Variance


def share_interval(estimate: Floats, variance: Variance, *, level: float = 0.95) -> Floats:
    """Return intervals that are symmetric on the logit scale and so stay inside (0, 1).

    Parameters
    ----------
    estimate : ndarray, shape (m,)
        In [0, 1].
    variance : Variance, shape (m,)
    level : float

    Returns
    -------
    ndarray, shape (m, 2)
        NaN for an estimate of 0 or 1 or one that does not vary: what few images leave open there
        `perfect_interval` says.

    References
    ----------
    Pepe 2003, section 5.2, with Student's t in the place of the normal distribution.
    """
    inside = (estimate > 0) & (estimate < 1) & (variance.value > 0)
    at = np.where(inside, estimate, 0.5)
    reach = np.where(inside, variance.reach(level), np.nan) / (at * (1 - at))
    return np.stack([expit(logit(at) - reach), expit(logit(at) + reach)], axis=-1)


def perfect_interval(*, anomalous: int, normal: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of an AUROC of 1, which says how little a perfect separation of few images proves.

    Notes
    -----
    The lower end θ is where 1 - θ equals z times the standard error that θ would have, by Hanley and McNeil's
    variance with both numbers of images replaced by their mean. For an AUROC of 0 it is turned round.

    References
    ----------
    Newcombe 2006, method 5.
    """
    factor = float(ndtri((1 + level) / 2)) ** 2 / (anomalous * normal)
    half = (anomalous + normal) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return 1 - theta - factor * theta * spread  # a factor 1 - theta is divided out

    return float(brentq(excess, 0.0, 1.0, xtol=1e-14)), 1.0
