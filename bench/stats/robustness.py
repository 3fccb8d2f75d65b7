"""Contamination robustness: what is left of a method when its train set holds anomalies.

Three summaries of a curve of AUROC against the contamination rate, each for one method on one data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from bench.stats import Floats

#: A loss of so much AUROC is a breakdown: two points.
DELTA = 0.02


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The first rates at which a method has lost more than delta.

    Attributes
    ----------
    observed : float or None
        The first rate at which the drop exceeds delta; None if none does.
    certain : float or None
        The first rate at which the whole interval of the drop exceeds delta.
    """

    observed: float | None
    certain: float | None


def slope(rates: ArrayLike, aurocs: ArrayLike) -> Floats:
    """Return the change of AUROC for each 10 points of contamination, by least squares.

    Parameters
    ----------
    rates : array_like, shape (r,)
        Contamination rates, at least two different ones.
    aurocs : array_like, shape (..., r)

    Returns
    -------
    ndarray, shape (...)
        Negative where contamination harms.

    Raises
    ------
    ValueError
        Shapes do not fit, or there are no two different rates.
    """
    at, curves = _checked(rates, aurocs)
    centred = at - at.mean()
    change: Floats = curves @ centred / (centred @ centred) * 0.1
    return change


def relative_area(rates: ArrayLike, aurocs: ArrayLike) -> Floats:
    """Return the mean AUROC along the curve (trapezia), as a share of the AUROC at the lowest rate.

    Parameters
    ----------
    rates : array_like, shape (r,)
        In any order.
    aurocs : array_like, shape (..., r)

    Returns
    -------
    ndarray, shape (...)
        1 where nothing is lost; NaN where the AUROC at the lowest rate is 0.

    Raises
    ------
    ValueError
        As for `slope`.
    """
    at, curves = _checked(rates, aurocs)
    clean = curves[..., int(np.argmin(at))]
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(clean > 0, mean_height(at, curves) / clean, np.nan)
    return share


def mean_height(rates: ArrayLike, aurocs: ArrayLike) -> Floats:
    """Return the mean AUROC along the curve (trapezia); parameters as for `relative_area`."""
    at, curves = _checked(rates, aurocs)
    order = np.argsort(at)
    found: Floats = trapezoid(curves[..., order], at[order], axis=-1) / np.ptp(at)
    return found


def breakdown(rates: ArrayLike, drops: ArrayLike, lows: ArrayLike, *, delta: float = DELTA) -> Breakdown:
    """Return the first rates at which a drop, and its whole interval, exceed delta.

    Parameters
    ----------
    rates : array_like, shape (r,)
    drops : array_like, shape (r,)
        AUROC at the lowest rate minus that at each rate, on the same test images.
    lows : array_like, shape (r,)
        Lower ends of the drops' paired intervals; NaN where there is none.
    delta : float

    Raises
    ------
    ValueError
        As for `slope`.
    """
    at, _ = _checked(rates, drops)
    _checked(rates, lows)
    order = np.argsort(at)

    def first(values: ArrayLike) -> float | None:
        beyond = np.asarray(values, np.float64)[order] > delta
        return float(at[order][beyond.argmax()]) if beyond.any() else None

    return Breakdown(first(drops), first(lows))


def _checked(rates: ArrayLike, aurocs: ArrayLike) -> tuple[Floats, Floats]:
    at, curves = np.asarray(rates, np.float64), np.asarray(aurocs, np.float64)
    if at.ndim != 1 or curves.shape[-1:] != at.shape or len(np.unique(at)) < 2:
        raise ValueError(
            f"expected at least two different rates (r,) and AUROCs (..., r), got {at.shape}, {curves.shape}"
        )
    return at, curves
