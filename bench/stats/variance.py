"""A variance as the sum of independent parts, each estimated with its own degrees of freedom.

What is uncertain about an AUROC or a difference comes from several sources: the anomalous images, the normal
ones, and the seeds of each task. A sum of such estimates is close to a chi-squared variable whose degrees of
freedom are Satterthwaite's; put into his formula as they are, parts with few degrees of freedom make that
number too small, so each part is first corrected for the spread of its own estimate.

References
----------
Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946.
Welch, "The generalization of 'Student's' problem when several different population variances are involved",
Biometrika 34, 1947, and "Further note on Mrs. Aspin's tables", Biometrika 36, 1949 (ν + 2 and - 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from bench.stats import Floats

#: A difference as small as this is rounding.
NOTHING = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Variance:
    """Estimated variances, of any one shape.

    Attributes
    ----------
    value : ndarray
        Sums of the parts.
    spread : ndarray
        Sums of part² / (its degrees of freedom + 2), an unbiased estimate of the sum of part² / freedom.
    """

    value: Floats
    spread: Floats

    @classmethod
    def of(cls, parts: ArrayLike, freedom: ArrayLike) -> Variance:
        """Return variances of one part each, estimated with so many degrees of freedom."""
        value: Floats = np.asarray(parts, np.float64)
        return cls(value, value**2 / (np.asarray(freedom, np.float64) + 2))

    def __add__(self, other: Variance) -> Variance:
        return Variance(self.value + other.value, self.spread + other.spread)

    def __getitem__(self, at: Any) -> Variance:
        return Variance(self.value[at], self.spread[at])

    def sum(self, axis: int) -> Variance:
        """Return the variances of sums of independent quantities along an axis."""
        return Variance(self.value.sum(axis=axis), self.spread.sum(axis=axis))

    def scaled(self, factor: ArrayLike) -> Variance:
        """Return the variances of the quantities times a factor."""
        square = np.asarray(factor, np.float64) ** 2
        return Variance(self.value * square, self.spread * square**2)

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of the sums; infinite where nothing varies."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.where(self.spread > 0, self.value**2 / self.spread - 2, np.inf)
        return found

    def reach(self, level: float = 0.95) -> Floats:
        """Return half the width of the interval of Student's t."""
        found: Floats = stdtrit(self.freedom, (1 + level) / 2) * np.sqrt(self.value)
        return found

    def p(self, difference: ArrayLike, *, least: ArrayLike = 0.0) -> Floats:
        """Return two-sided p values of differences from 0, by Student's t.

        Parameters
        ----------
        difference : array_like
        least : array_like
            What no p value may fall below (`least_p`).

        Returns
        -------
        ndarray
            1 for no difference; NaN where the variance is.
        """
        size = np.abs(np.asarray(difference, np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(size < NOTHING, 0.0, size / np.sqrt(self.value))
        p: Floats = 2 * stdtr(self.freedom, -statistic)
        return np.where(np.isnan(self.value), np.nan, np.maximum(p, np.minimum(least, 1.0)))
