"""DeLong's variance of AUROCs over test images, and its extension to tasks that share them.

Each image adds its *part* to an AUROC: its placement (`bench.stats.placements`) less the mean placement of
its class, over the number of images of the class. The AUROC varies over images as the sum of these parts
does. In one-vs-rest every task is tested on the same images: an image's part in the mean over tasks is the
sum of its parts in all of them, so that what makes it hard for several tasks or methods is counted once.
Images with the same labels in all tasks form a stratum, of which a test set holds a fixed number; of a single
task the strata are its normal and its anomalous images, and the variance is DeLong's.

References
----------
DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988, equations 4 to 8.
Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats import Floats
from bench.stats.placements import Placements
from bench.stats.variance import Variance

#: Strata of images: a number for each image.
Strata = NDArray[np.int64]


def image_parts(placed: Placements, labels: ArrayLike) -> Floats:
    """Return what each image adds to the AUROC of each method.

    Parameters
    ----------
    placed : Placements
    labels : array_like, shape (n,)
        1 = anomalous, 0 = normal; in the order of the scores.

    Returns
    -------
    ndarray, shape (m, n)
        Sums to 0 over each class.
    """
    anomalous = np.asarray(labels) == 1
    parts = np.empty((len(placed.auroc), len(anomalous)))
    for here, held in ((anomalous, placed.anomalous), (~anomalous, placed.normal)):
        parts[:, here] = (held - held.mean(axis=1, keepdims=True)) / held.shape[1]
    return parts


def strata_of(labels: ArrayLike) -> Strata:
    """Return which images have the same labels in all tasks.

    Parameters
    ----------
    labels : array_like, shape (tasks, n)
        1 = anomalous, 0 = normal, another number where an image is not in the task.

    Returns
    -------
    ndarray, shape (n,)
        Numbers from 0.
    """
    _, found = np.unique(np.asarray(labels), axis=1, return_inverse=True)
    return found.ravel().astype(np.int64)


def variance_over_images(parts: Floats, strata: Strata) -> Variance:
    """Return the variances of m AUROCs, or of means of AUROCs.

    Parameters
    ----------
    parts : ndarray, shape (m, n)
        Of `image_parts`, summed over tasks with their weights.
    strata : ndarray, shape (n,)

    Returns
    -------
    Variance, shape (m,)
        A single image of a class adds nothing, as nothing is known of how it varies: leave such a task out.
    """
    return _sum([_part(held, np.square(held).sum(axis=1)) for held in _by_stratum(parts, strata)])


def variance_of_pairs(parts: Floats, strata: Strata) -> Variance:
    """Return the variances of the differences of every two of m methods on the same images.

    Parameters
    ----------
    parts, strata
        As for `variance_over_images`.

    Returns
    -------
    Variance, shape (m, m)
        Exactly 0 for methods whose parts are the same.
    """
    found = []
    for held in _by_stratum(parts, strata):
        products = held @ held.T
        own = np.diag(products)
        squares = own[:, None] + own[None, :] - 2 * products
        # Where methods are nearly alike the subtraction leaves rounding: there, the parts' own differences.
        for a, b in np.argwhere(np.triu(squares <= 1e-6 * (own[:, None] + own[None, :]), 1)):
            squares[a, b] = squares[b, a] = _squares(held[a] - held[b])
        np.fill_diagonal(squares, 0.0)
        found.append(_part(held, squares))
    return _sum(found)


def least_p(anomalous: int, normal: int) -> float:
    """Return the least two-sided p value that an exact rank test of so few images has: 2 / C(n, n1)."""
    return math.exp(
        math.log(2)
        + math.lgamma(anomalous + 1)
        + math.lgamma(normal + 1)
        - math.lgamma(anomalous + normal + 1)
    )


def _by_stratum(parts: Floats, strata: Strata) -> list[Floats]:
    """Return the parts of each stratum about their mean.

    A single image of a pattern that no other image has is taken about 0, the mean of its classes.
    """
    order = np.argsort(strata, kind="stable")
    ends = np.flatnonzero(np.diff(strata[order])) + 1
    found = []
    for held in np.split(parts[:, order], ends, axis=1):
        alone = held.shape[1] == 1
        found.append(held if alone else held - held.mean(axis=1, keepdims=True))
    return found


def _part(held: Floats, squares: Floats) -> Variance:
    """Return the variance of a stratum's sum from the sums of squares about its mean."""
    n = held.shape[1]
    return Variance.of(squares * (n / (n - 1) if n > 1 else 1.0), max(1, n - 1))


def _squares(values: Floats) -> float:
    return 0.0 if np.ptp(values) < 1e-15 else float(values @ values)


def _sum(parts: list[Variance]) -> Variance:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
