"""Power: the smallest difference that a design could have seen.

A comparison without a significant difference says little unless one knows which difference would have been
significant. All are differences that a two-sided test finds with the given probability.

References
----------
Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.
Lehmann, "Nonparametrics", 1975, section 4.2 (the signed-rank test's efficiency of 3/π under normality).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t

#: Of the signed-rank test relative to the t test, for normal differences.
SIGNED_RANK_EFFICIENCY = 3 / math.pi


def smallest_difference(
    sd: float,
    n: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    efficiency: float = SIGNED_RANK_EFFICIENCY,
) -> float:
    """Return the mean difference over n data sets that a paired test finds with probability `power`.

    Parameters
    ----------
    sd : float
        Standard deviation of the differences over data sets.
    n : int
        Data sets.
    alpha : float
        Of one comparison: divide by their number for the first step of Holm's procedure.
    power : float
    efficiency : float
        Relative to the paired t test; 1 for the t test itself.

    Returns
    -------
    float
        In the unit of `sd`; infinite for fewer than two data sets.
    """
    if n < 2:
        return math.inf
    if sd == 0:
        return 0.0
    critical = float(t.ppf(1 - alpha / 2, n - 1))

    def lack(shift: float) -> float:
        # The other tail matters for tiny shifts alone, and scipy's is NaN far out.
        other = float(np.nan_to_num(nct.cdf(-critical, n - 1, shift)))
        return float(nct.sf(critical, n - 1, shift)) + other - power

    high = 2.0
    while lack(high) < 0:
        high *= 2
    return float(brentq(lack, 0.0, high)) * sd / math.sqrt(n * efficiency)


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
