"""Placements: what each image contributes to the AUROCs of many methods, O(n log n).

Of each anomalous image, the share of normal images that score below it (equal ones count half), and of each
normal image the share of anomalous ones above it. All of them cost one sort rather than a comparison of every
anomalous with every normal image.

References
----------
DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988, equations 4 and 5 (structural components).
Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats import Floats


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
    below = _others_below(truth, values)
    anomalous, normal = below[:, truth], below[:, ~truth]
    return Placements(anomalous / normal.shape[1], 1.0 - normal / anomalous.shape[1])


def _others_below(truth: NDArray[np.bool_], values: Floats) -> Floats:
    """Return how many images of the other class score below each, equal ones half, (m, n)."""
    order = np.argsort(values, axis=1)
    ordered, normal = np.take_along_axis(values, order, 1), ~truth[order]
    upto: NDArray[np.int64] = np.cumsum(normal, axis=1)  # normal images to each place, with it and without it
    before: NDArray[np.int64] = upto - normal
    first = last = np.arange(values.shape[1])
    new = ordered[:, 1:] != ordered[:, :-1]
    if not new.all():  # equal ones share their first and last place
        new = np.pad(new, ((0, 0), (1, 1)), constant_values=True)
        last = np.where(new[:, 1:], first, len(first))
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        first = np.maximum.accumulate(np.where(new[:, :-1], first, 0), axis=1)
        before, upto = np.take_along_axis(before, first, 1), np.take_along_axis(upto, last, 1)
    others = np.where(normal, first + last + 1 - before - upto, before + upto) / 2
    below = np.empty_like(others)
    np.put_along_axis(below, order, others, 1)
    return below


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
