"""False alarms: intervals of their rate, and whether it is what a conformal threshold promises.

References
----------
Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934. Given n calibration
scores, the rate at the k-th lowest is Beta(n+1-k, k) (Vovk 2012, "Conditional validity of inductive conformal
predictors"), so that the alarms of exchangeable good images are beta-binomial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import betaincinv

from bench.stats import Floats


class Calibrated(NamedTuple):
    """One task: good test images, how many raised an alarm, and the rank of the threshold.

    Attributes
    ----------
    alarms, good : int
    n, rank : int
        Calibration scores, and which of them is the threshold, counted from the lowest.
    """

    alarms: int
    good: int
    n: int
    rank: int


def exact_interval(found: float, of: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a share; 0 of 20 still allows 16.8 %.

    `found` may be a mean over seeds, and lie between whole numbers.
    """
    tail = (1 - level) / 2
    if of <= 0:
        return 0.0, 1.0
    low = float(betaincinv(found, of - found + 1, tail)) if found > 0 else 0.0
    high = float(betaincinv(found + 1, of - found, 1 - tail)) if found < of else 1.0
    return low, high


def excess_p(case: Calibrated) -> float:
    """Return the mid-p value of so many alarms or more, if calibration and test images are exchangeable."""
    spread = stats.betabinom(case.good, case.n + 1 - case.rank, case.rank)
    return float(spread.sf(case.alarms) + spread.pmf(case.alarms) / 2)


def combined_p(values: Sequence[float]) -> float:
    """Return Fisher's combination of independent p values; NaN of none."""
    if not values:
        return float("nan")
    logs = np.log(np.maximum(np.asarray(values, np.float64), 1e-300))
    return float(stats.chi2.sf(-2 * logs.sum(), 2 * len(values)))


def alarm_band(cases: Sequence[Calibrated], *, level: float = 0.95) -> tuple[float, float]:
    """Return the band in which the pooled rate lies, if all tasks are exchangeable: by exact convolution."""
    total = np.ones(1)
    for case in cases:
        spread = stats.betabinom(case.good, case.n + 1 - case.rank, case.rank)
        total = np.convolve(total, spread.pmf(np.arange(case.good + 1)))
    good = sum(case.good for case in cases)
    if not good:
        return 0.0, 1.0
    below = np.cumsum(total)
    tail = (1 - level) / 2
    low = int(np.searchsorted(below, tail))
    high = int(np.searchsorted(below, 1 - tail))
    return low / good, min(high, good) / good


class Spread(NamedTuple):
    """Means over tasks of F1 and regret in bootstrap replicates, each of shape (replicates,)."""

    f1: Floats
    regret: Floats


def resampled(
    labels: Sequence[Floats], scores: Sequence[Floats], values: Sequence[float], weights: Sequence[Floats]
) -> Spread:
    """Return F1 and regret under resampling of the test images of each task.

    Good and anomalous images are drawn separately; the best F1, which is biased upwards, is found anew in
    every replicate.

    Parameters
    ----------
    labels, scores : sequence of ndarray, each of shape (n,)
        Of each task.
    values : sequence of float
        The threshold of each task.
    weights : sequence of ndarray, each of shape (replicates, n)
        How often each image was drawn (`draws`): the same for all rules, so that they are paired.
    """
    f1, regret = [], []
    for truth, held, value, drawn in zip(labels, scores, values, weights, strict=True):
        order = np.argsort(-held, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(held[order])), len(held) - 1)
        positive, ordered = truth[order] == 1, drawn[:, order]
        true = np.cumsum(ordered * positive, axis=1)[:, ends]
        every = np.cumsum(ordered, axis=1)[:, ends]
        anomalous = true[:, -1]
        curve = 2 * true / np.maximum(every + anomalous[:, None], 1)
        above = int(np.count_nonzero(held[order][ends] > value))
        own = curve[:, above - 1] if above else np.zeros(len(drawn))
        f1.append(own)
        regret.append(curve.max(axis=1) - own)
    return Spread(np.mean(f1, axis=0), np.mean(regret, axis=0))


def draws(labels: Floats, *, replicates: int, seed: int) -> Floats:
    """Return how often each image is drawn in each replicate, shape (replicates, n), within its label."""
    rng, found = np.random.default_rng(seed), np.zeros((replicates, len(labels)))
    for label in (0, 1):
        at = np.flatnonzero(labels == label)
        if len(at):
            found[:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), size=replicates)
    return found
