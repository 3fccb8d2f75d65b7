"""Estimating the contamination rate from the scores of the training images alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats64 = NDArray[np.float64]

#: A component with less weight is no population of its own, and the modified z-score beyond which a score is
#: an outlier (Iglewicz and Hoaglin, 1993).
LEAST_WEIGHT, CUT = 0.05, 3.5
#: No set is taken to be contaminated by more than this: then the anomalies would be the normal ones.
MOST = 0.5


class Mixture(NamedTuple):
    """Two Gaussians, the lower one first.

    Attributes
    ----------
    weight : float
        Of the upper one.
    means, deviations : tuple of float
    """

    weight: float
    means: tuple[float, float]
    deviations: tuple[float, float]


def modified_z(scores: ArrayLike) -> Floats64:
    """Return 0.6745 (score - median) / MAD, shape (n,); 0 throughout where the MAD is 0.

    Infinite scores count as the largest or smallest finite one.

    Examples
    --------
    >>> bench.modified_z([1.0, 2.0, 3.0, 4.0, 100.0]).round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 65.43]
    """
    values = finite(scores)
    centred = values - np.median(values) if len(values) else values
    spread = float(np.median(np.abs(centred))) if len(values) else 0.0
    found: Floats64 = 0.6745 * centred / spread if spread > 0 else np.zeros_like(values)
    return found


def finite(scores: ArrayLike) -> Floats64:
    """Return scores as float64, shape (n,), infinite ones as the largest or smallest finite one."""
    values: Floats64 = np.asarray(scores, np.float64)
    held = values[np.isfinite(values)]
    if not len(held):
        return np.sign(values)
    found: Floats64 = np.clip(values, held.min(), held.max())
    return found


def two_gaussians(values: ArrayLike) -> Mixture | None:
    """Fit two Gaussians to values, shape (n,), by expectation maximisation from the 50th and 95th percentile.

    Returns
    -------
    Mixture or None
        None where one component has less than 5 % of the weight, where they lie within half a standard
        deviation of each other, or where there are fewer than 10 different values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = np.concatenate([rng.normal(0, 1, 300), rng.normal(8, 1, 100)])
    >>> bench.two_gaussians(values) is None
    False
    >>> bench.two_gaussians([1.0, 2.0]) is None
    True
    """
    given = np.asarray(values, np.float64)
    if len(np.unique(given)) < 10:
        return None
    from sklearn.mixture import GaussianMixture

    centre, scale = float(given.mean()), float(given.std())
    if scale <= 0:
        return None
    unit = (given - centre) / scale
    start = np.percentile(unit, [50, 95])[:, None]
    model = GaussianMixture(
        2, means_init=start, weights_init=[0.9, 0.1], random_state=0, max_iter=300, reg_covar=1e-4
    )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged; what it has is used
        model.fit(unit[:, None])
    low, high = np.argsort(model.means_[:, 0])
    means = (float(model.means_[low, 0]), float(model.means_[high, 0]))
    spreads = (float(model.covariances_[low, 0, 0]) ** 0.5, float(model.covariances_[high, 0, 0]) ** 0.5)
    weight = float(model.weights_[high])
    if min(weight, 1 - weight) < LEAST_WEIGHT or means[1] - means[0] < 0.5 * max(spreads):
        return None
    return Mixture(
        weight,
        (centre + scale * means[0], centre + scale * means[1]),
        (scale * spreads[0], scale * spreads[1]),
    )


def crossing(mixture: Mixture) -> float | None:
    """Return where the weighted densities of two Gaussians cross between their means; None if they do not."""
    (a, b), (s, t), w = mixture.means, mixture.deviations, mixture.weight
    squares = np.array(
        [
            1 / t**2 - 1 / s**2,
            2 * (a / s**2 - b / t**2),
            b**2 / t**2 - a**2 / s**2 + 2 * np.log((1 - w) * t / (w * s)),
        ]
    )
    roots = np.roots(squares) if abs(squares[0]) > 1e-12 else np.array([-squares[2] / squares[1]])
    between = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and a < root.real < b]
    return between[0] if between else None


def estimated_rate(scores: ArrayLike) -> float:
    """Return an estimate of the share of anomalies among training images, in [0, 0.5], from their scores.

    The logarithms of the scores (the scores, where some are not positive) are taken for a mixture of two
    Gaussians; the weight of the upper one is the estimate. Where there are no two (`two_gaussians`), or the
    upper one has more than half, it is the share of outliers by the modified z-score of the same values.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher = more anomalous; each image scored by a base that was not trained on it, where the base finds
        its training images again.

    Notes
    -----
    Ours. It knows the scores alone: anomalies that score like normal images are not seen, and a long tail of
    the normal ones is taken for anomalies. ``docs/contamination.md`` has its error on three data sets.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = np.concatenate([rng.normal(0, 1, 900), rng.normal(8, 1, 100)])
    >>> round(bench.estimated_rate(scores), 2)
    0.1
    """
    values = finite(scores)
    if len(values) < 2 or np.ptp(values) == 0:
        return 0.0
    shaped = np.log(values) if values.min() > 0 else values
    mixture = two_gaussians(shaped)
    if mixture is not None and mixture.weight <= MOST:
        return mixture.weight
    return min(MOST, float((modified_z(shaped) > CUT).mean()))
