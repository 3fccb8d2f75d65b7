"""Decision thresholds from scores of normal images alone, and what a threshold does on a test set.

Pure functions. An image raises an alarm if its score is above the threshold (strictly: ties raise none). The
n calibration scores are of normal images that the method was not fitted on; a is the rate of false alarms
that is aimed at.

References
----------
Vovk et al., "Algorithmic Learning in a Random World", 2005, for the conformal rules; Bates et al., "Testing
for outliers with conformal p-values", Annals of Statistics 51, 2023, for the conditional one; Hosking and
Wallis, "Parameter and quantile estimation for the generalized Pareto distribution", Technometrics 29, 1987.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.image import f1_max

Scores = NDArray[np.float64]

#: The risk that the conditional rule's rate is above a.
RISK = 0.05
#: A tail is fitted to so many scores at least, all above this quantile; with as many by likelihood.
LEAST_TAIL, TAIL_FROM, LIKELIHOOD_FROM = 20, 0.9, 50
#: Beyond it a fitted tail is too heavy, or too short, to extrapolate from.
MOST_SHAPE = 0.5


class Threshold(NamedTuple):
    """A threshold, and where it comes from.

    Attributes
    ----------
    value : float
        Infinite if no score can raise an alarm.
    n : int
        Calibration scores.
    rank : int
        Which of them it is, counted from the lowest; 0 if it is none.
    fallback : str
        The rule that took the place of one which needs more scores; empty if none did.
    """

    value: float
    n: int
    rank: int = 0
    fallback: str = ""


def highest(scores: Scores, rate: float) -> Threshold:  # noqa: ARG001
    """Return the highest score: its mean rate is 1/(n+1), and the rate itself Beta(1, n)."""
    return Threshold(float(scores.max()), len(scores), len(scores))


def conformal(scores: Scores, rate: float) -> Threshold:
    """Return the k-th lowest score, k = ceil((n+1)(1-a)): a mean rate of at most a, whatever the scores.

    Given the scores the rate is Beta(n+1-k, k). With n < 1/a - 1 no rank will do, and it is the highest.
    """
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - rate) - 1e-9)
    return _at_rank(scores, rank) if rank <= n else highest(scores, rate)._replace(fallback="max")


def conditional(scores: Scores, rate: float) -> Threshold:
    """Return the lowest score whose rate is at most a with 95 % confidence; n is to be 59 for 5 %."""
    from scipy.special import bdtr

    n = len(scores)
    ranks = np.arange(1, n + 1)
    # P(Beta(n+1-k, k) > a) is that of at most n-k of n uniform numbers below a.
    enough = np.flatnonzero(bdtr(n - ranks, n, rate) <= RISK)
    if not len(enough):
        return highest(scores, rate)._replace(fallback="max")
    return _at_rank(scores, int(ranks[enough[0]]))


def quantile(scores: Scores, rate: float) -> Threshold:
    """Return the interpolated 1-a quantile, which is too low: a mean rate of 1 - (1+(n-1)(1-a))/(n+1)."""
    return Threshold(float(np.quantile(scores, 1 - rate)), len(scores))


def mean_3sd(scores: Scores, rate: float) -> Threshold:  # noqa: ARG001
    """Return mean + 3 standard deviations (n-1): a rate of 0.135 % if the scores were Gaussian."""
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else math.inf
    return Threshold(float(scores.mean()) + 3 * spread, len(scores))


def median_3mad(scores: Scores, rate: float) -> Threshold:  # noqa: ARG001
    """Return median + 3 x 1.4826 median absolute deviations: the same idea, with bad images among them."""
    middle = float(np.median(scores))
    return Threshold(middle + 3 * 1.4826 * float(np.median(np.abs(scores - middle))), len(scores))


def pareto_tail(scores: Scores, rate: float) -> Threshold:
    """Return the 1-a quantile of a generalised Pareto tail above the 90 % quantile; no guarantee.

    It extrapolates beyond 1/n. With fewer than 20 scores in the tail, or a shape beyond 0.5, it is
    `conformal`'s.
    """
    n, start = len(scores), float(np.quantile(scores, TAIL_FROM))
    above = np.sort(scores[scores > start] - start)
    m = len(above)
    if m < LEAST_TAIL or n * rate >= m:
        return conformal(scores, rate)._replace(fallback="conformal")
    shape, scale = pareto_fit(above)
    if not abs(shape) < MOST_SHAPE:
        return conformal(scores, rate)._replace(fallback="conformal")
    share = n * rate / m
    reach = -scale * math.log(share) if abs(shape) < 1e-6 else scale / shape * (share**-shape - 1)
    return Threshold(start + reach, n)


def pareto_fit(above: Scores) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto distribution, from rising excesses over its start.

    By probability-weighted moments for fewer than 50, else by likelihood.
    """
    m = len(above)
    if m >= LIKELIHOOD_FROM:
        from scipy.stats import genpareto

        shape, _, scale = genpareto.fit(above, floc=0)
        return float(shape), float(scale)
    weights = 1 - (np.arange(1, m + 1) - 0.35) / m
    first, second = float(above.mean()), float((weights * above).mean())
    if first == 2 * second:
        return math.nan, math.nan
    return 2 - first / (first - 2 * second), 2 * first * second / (first - 2 * second)


def _at_rank(scores: Scores, rank: int) -> Threshold:
    return Threshold(float(np.partition(scores, rank - 1)[rank - 1]), len(scores), rank)


#: The rules by the names that reports give them.
RULES: dict[str, Callable[[Scores, float], Threshold]] = {
    "max": highest,
    "conformal": conformal,
    "conformal, 95 % sure": conditional,
    "quantile": quantile,
    "mean + 3 sd": mean_3sd,
    "median + 3 MAD": median_3mad,
    "Pareto tail": pareto_tail,
}


def cross_ranks(calibration: ArrayLike, folds: ArrayLike, tested: ArrayLike) -> Scores:
    """Return how many calibration scores lie below each test image, by the method that scored them.

    Of n the image is an alarm if (1 + n - rank) / (n + 1), its cross-conformal p value, is at most a: so if
    its rank is at least ceil((n+1)(1-a)).

    Parameters
    ----------
    calibration, folds : array_like, shape (n,)
        Cross-fitted scores, and the fold of each, from 0.
    tested : array_like, shape (folds, m)
        Scores of the test images by the method fitted on all but a fold.

    Returns
    -------
    ndarray, shape (m,), float64
        Whole numbers from 0 to n.

    References
    ----------
    Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74, 2015, equation
    11; Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
    Statistics 49, 2021, theorem 4: a rate of hardly more than 2a, whatever the scores.
    """
    scores, of = np.asarray(calibration, np.float64), np.asarray(folds)
    below = [
        np.searchsorted(np.sort(scores[of == fold]), held, side="left")
        for fold, held in enumerate(np.asarray(tested, np.float64))
    ]
    ranks: Scores = np.sum(below, axis=0).astype(np.float64)
    return ranks


def threshold(rule: str, calibration: ArrayLike, rate: float) -> Threshold:
    """Return the threshold that a rule of `RULES` takes from calibration scores.

    Parameters
    ----------
    rule : str
    calibration : array_like, shape (n,)
        Finite scores of normal images that the method was not fitted on.
    rate : float
        Aimed at, in (0, 1).

    Raises
    ------
    ValueError
        No scores, one that is not finite, or a rate outside (0, 1).
    """
    scores = np.asarray(calibration, np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"expected finite calibration scores of shape (n,), got {scores.shape}")
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate of false alarms in (0, 1), got {rate}")
    return RULES[rule](scores, rate)


class Decisions(NamedTuple):
    """What a threshold does on one test set."""

    alarms: int
    good: int
    found: int
    anomalous: int

    @property
    def false_alarm_rate(self) -> float:
        return self.alarms / self.good if self.good else math.nan

    @property
    def recall(self) -> float:
        return self.found / self.anomalous if self.anomalous else math.nan

    @property
    def f1(self) -> float:
        """Return 2 TP / (2 TP + FP + FN); 0 where nothing is found."""
        return 2 * self.found / max(1, self.found + self.alarms + self.anomalous)

    def f1_at(self, prevalence: float) -> float:
        """Return F1 if the share of anomalies were another: from recall and the rate of false alarms."""
        found = prevalence * self.recall
        return 2 * found / (found + (1 - prevalence) * self.false_alarm_rate + prevalence)


def decide(labels: ArrayLike, scores: ArrayLike, value: float) -> Decisions:
    """Count what is above a threshold, among good (0) and anomalous (1) images."""
    truth, above = np.asarray(labels) == 1, np.asarray(scores, np.float64) > value
    return Decisions(
        int((above & ~truth).sum()), int((~truth).sum()), int((above & truth).sum()), int(truth.sum())
    )


def f1_regret(labels: ArrayLike, scores: ArrayLike, value: float) -> float:
    """Return the oracle's F1 on the same test scores, less that of a threshold: never below 0."""
    return f1_max(labels, scores) - decide(labels, scores, value).f1
