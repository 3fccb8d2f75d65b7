"""Power: the smallest difference that a design could have seen.

A comparison without a significant difference says little unless one knows which difference would have been
significant. All are differences that a two-sided test finds with the given probability, if the differences of
data sets are normal.

The signed-rank test rejects for a shift δ where the c-th smallest Walsh average of the differences lies
above 0, that is, that of unshifted ones above -δ. So with few data sets, where its exact level matters, the
shift that it finds with probability 0.8 is a quantile over samples; with many, its efficiency relative to the
t test gives it.

References
----------
Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.
Lehmann, "Nonparametrics", 1975, section 4.2 (the signed-rank test's efficiency of 3/π under normality).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t

from bench.stats import Floats
from bench.stats.signedrank import walsh_cut

#: Of the signed-rank test relative to the t test, for normal differences.
SIGNED_RANK_EFFICIENCY = 3 / math.pi
#: Up to so many data sets the signed-rank test's power is simulated, with so many samples.
SIMULATED, SAMPLES = 25, 20_000


def smallest_difference(
    sd: float,
    n: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    efficiency: float | None = None,
) -> float:
    """Return the mean difference over n data sets that a paired test finds with probability `power`.

    Of the signed-rank test, unless an efficiency is given.

    Parameters
    ----------
    sd : float
        Standard deviation of the differences over data sets.
    n : int
        Data sets.
    alpha : float
        Of one comparison: divide by their number for the first step of Holm's procedure.
    power : float
    efficiency : float, optional
        Of another test relative to the paired t test; 1 for the t test itself.

    Returns
    -------
    float
        In the unit of `sd`; infinite where no outcome of n data sets could be significant.

    Raises
    ------
    ValueError
        A negative sd, or alpha or power outside (0, 1).
    """
    if not sd >= 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(f"expected sd >= 0, alpha and power in (0, 1), got {sd}, {alpha} and {power}")
    if n < 2 or (efficiency is None and walsh_cut(n, 1 - alpha) < 1):
        return math.inf
    if sd == 0:
        return 0.0
    if efficiency is None and n <= SIMULATED:
        return max(0.0, float(np.quantile(_thresholds(n, alpha), power))) * sd
    return _noncentrality(n, alpha, power) * sd / math.sqrt(n * (efficiency or SIGNED_RANK_EFFICIENCY))


@lru_cache(maxsize=64)
def _thresholds(n: int, alpha: float) -> Floats:
    """Return for samples of n standard normal differences the shift from which they are significant."""
    samples = np.random.default_rng(0).normal(size=(SAMPLES, n))
    first, second = np.triu_indices(n)
    cut = walsh_cut(n, 1 - alpha) - 1
    averages = (samples[:, first] + samples[:, second]) / 2
    thresholds: Floats = -np.partition(averages, cut, axis=1)[:, cut]
    return thresholds


def _noncentrality(n: int, alpha: float, power: float) -> float:
    """Return the shift of the mean, in standard errors, that the t test finds with probability `power`."""
    critical = float(t.ppf(1 - alpha / 2, n - 1))

    def lack(shift: float) -> float:
        # The other tail matters for tiny shifts alone, and scipy's is NaN far out.
        other = float(np.nan_to_num(nct.cdf(-critical, n - 1, shift)))
        return float(nct.sf(critical, n - 1, shift)) + other - power

    high = 2.0
    while lack(high) < 0:
        high *= 2
    # At a power of no more than alpha any difference will do.
    return float(brentq(lack, 0.0, high)) if lack(0.0) < 0 else 0.0


def smallest_difference_of(
    se: float, *, freedom: float = math.inf, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return the difference that a test with a known standard error finds with probability `power`.

    Parameters
    ----------
    se : float
        Standard error of the difference.
    freedom : float
        Degrees of freedom of the test.
    alpha, power : float
    """
    return float(t.ppf(1 - alpha / 2, freedom) + t.ppf(power, freedom)) * se
