"""The Bayesian signed-rank test with a region of practical equivalence (ROPE).

It answers what a p value does not: how probable it is that one method is better, that they are equivalent
for all practical purposes, or that it is worse. The prior is a Dirichlet process with one pseudo-observation
of no difference.

References
----------
Benavoli, Mangili, Corani, Zaffalon and Ruggeri, "A Bayesian Wilcoxon signed-rank test based on the Dirichlet
process", ICML 2014.
Benavoli, Corani, Demšar and Zaffalon, "Time for a change: a tutorial for comparing multiple classifiers
through Bayesian analysis", JMLR 18, 2017, section 4.2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.stats import Floats
from bench.stats.multiple import ROPE


class Probabilities(NamedTuple):
    """Posterior probabilities; they sum to 1."""

    better: float
    equivalent: float
    worse: float


def signed_rank_probabilities(
    differences: ArrayLike,
    *,
    rope: float = ROPE,
    prior: float = 0.5,
    draws: int = 20_000,
    seed: int = 0,
) -> Probabilities:
    """Return how probable it is that a method is better than, equivalent to and worse than another.

    Parameters
    ----------
    differences : array_like, shape (n,)
        One for each data set, of means over its tasks and seeds; positive = better.
    rope : float
        Differences of up to this much count as equivalent; in the unit of the differences.
    prior : float
        Weight of the pseudo-observation 0, in observations.
    draws : int
        From the posterior; the error of a probability is at most about 1 / (2 √draws).
    seed : int
        Of the draws: the same differences give the same probabilities.

    Raises
    ------
    ValueError
        No difference, or one that is not finite; a negative ROPE or no prior weight.

    References
    ----------
    Benavoli et al. 2017, section 4.2.1: weights (w0, w1, …, wn) from a Dirichlet(prior, 1, …, 1) give the
    probabilities that the mean of two random differences lies right of, in and left of the ROPE; the region
    with the highest one wins the draw.
    """
    d: Floats = np.asarray(differences, np.float64)
    if d.ndim != 1 or not len(d) or not np.isfinite(d).all():
        raise ValueError(f"expected finite differences, shape (n,) with n >= 1, got {d}")
    if rope < 0 or prior <= 0:
        raise ValueError(f"expected rope >= 0 and prior > 0, got {rope} and {prior}")
    weights = posterior_weights(len(d), prior, draws, seed)
    right, left = _masses(np.concatenate([[0.0], d]), weights, rope)
    masses = np.stack([right, np.maximum(0.0, 1 - right - left), left])
    # Draws with equal masses are shared, so that swapping the methods swaps the probabilities.
    wins = masses >= masses.max(axis=0) - 1e-12
    better, equivalent, worse = (wins / wins.sum(axis=0)).mean(axis=1)
    return Probabilities(float(better), float(equivalent), float(worse))


def posterior_weights(n: int, prior: float, draws: int, seed: int) -> Floats:
    """Return draws of the weights of the pseudo-observation and of n differences, shape (draws, n + 1)."""
    weights: Floats = np.random.default_rng(seed).dirichlet([prior, *[1.0] * n], draws)
    return weights


def _masses(z: Floats, weights: Floats, rope: float) -> tuple[Floats, Floats]:
    """Return for each draw the mass of pairs whose mean lies right, and left, of the ROPE; shape (draws,)."""
    sums = z[:, None] + z[None, :]
    right = (sums > 2 * rope).astype(np.float64)
    left = (sums < -2 * rope).astype(np.float64)
    return ((weights @ right) * weights).sum(axis=1), ((weights @ left) * weights).sum(axis=1)
