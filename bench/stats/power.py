"""Power: the smallest difference that a design could have seen.

A comparison without a significant difference says little unless one knows which difference would have been
significant: that which a two-sided test finds with a given probability.

References
----------
Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit


def smallest_difference(
    se: float, *, freedom: float = math.inf, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return the difference that Student's t test with this standard error finds with probability `power`.

    Parameters
    ----------
    se : float
        Standard error of the difference.
    freedom : float
        Degrees of freedom of the test.
    alpha : float
        Of one comparison: divide by their number for the first step of Holm's procedure.
    power : float

    Returns
    -------
    float
        In the unit of `se`: (t of 1 - alpha / 2 + t of power) · se.

    Raises
    ------
    ValueError
        A negative se, or alpha or power outside (0, 1).
    """
    if not se >= 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(f"expected se >= 0, alpha and power in (0, 1), got {se}, {alpha} and {power}")
    return float(stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power)) * se
