"""AAR: adaptive and aggressive rejection by a modified z-score and two Gaussians (Lee et al., 2025)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench import (
    BaseMethod,
    Images,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Purification,
    Wrapper,
    crossing,
    derive_seed,
    modified_z,
    two_gaussians,
)


class AAR(Wrapper):
    """The base, fitted again and again on what its scores do not reject, first hard and then softly.

    In the warm-up rounds images with a modified z-score above `cut` are rejected. In the main rounds three
    thresholds are set: that of the modified z-score; where two Gaussians fitted to the scores cross; and the
    mean of the lower Gaussian plus `guard` of its standard deviations. Below the least of the three an image
    has weight 1; above the larger of crossing and guard, or above the cut, 0; in between 1/2. A weight is the
    probability of being in the next training set; each image has one random number for all rounds.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    warmup, rounds : int
        Rounds of hard rejection, and of soft rejection after them.
    cut : float
        Of the modified z-score; 3.5 is the usual one, that of the paper is not known here.
    guard : float
        Standard deviations of the lower Gaussian; that of the paper is not known here.
    folds : int
        Each image is scored by a base that was not trained on it, of so many; below 2 by one trained on all.

    Notes
    -----
    The paper rejects within each mini-batch of a training; here bases are fitted anew, so that any method can
    be one. Of the paper the abstract and a summary were at hand: cut, guard, the weight 1/2 and how the three
    thresholds are joined are ours. Where the mixture fails (`bench.two_gaussians`) the cut alone rejects, and
    where the MAD is 0 nothing is. Scores are taken as logarithms where all are positive, so that distances
    look more like Gaussians; that is ours, too.

    References
    ----------
    Lee et al., "Anomaly Detection with Adaptive and Aggressive Rejection for Contaminated Training Data",
    arXiv 2511.21378.
    """

    stochastic = True

    def __init__(
        self,
        base: BaseMethod = "dn2",
        warmup: NonNegativeInt = 1,
        rounds: NonNegativeInt = 2,
        cut: PositiveFloat = 3.5,
        guard: PositiveFloat = 3.0,
        folds: PositiveInt = 2,
    ) -> None:
        self.base, self.warmup, self.rounds = base, warmup, rounds
        self.cut, self.guard, self.folds = cut, guard, folds

    def fit(self, train: Images) -> None:
        n = len(train)
        chance = np.random.default_rng(derive_seed(self.seed, "kept", bits=31)).random(n)
        kept = np.ones(n, np.bool_)
        for round_ in range(self.warmup + self.rounds):
            scores = self._scores(train, kept, round_)
            weights = rejection(scores, self.cut, self.guard, soft=round_ >= self.warmup)
            chosen = chance < weights
            kept = chosen if chosen.any() else weights == weights.max()
            self.purification = Purification(kept, scores)
        self.fit_final(train[kept])

    def _scores(self, train: Images, kept: NDArray[np.bool_], round_: int) -> NDArray[np.float64]:
        """Return scores of all images by bases of those kept, shape (n,); each held out of its own."""
        return self.held_out_scores(train, self.folds, round_, among=kept)


def rejection(scores: NDArray[np.float64], cut: float, guard: float, *, soft: bool) -> NDArray[np.float64]:
    """Return weights 1, 1/2 and 0, shape (n,), that do not rise with the score."""
    shaped = np.log(scores) if scores.min() > 0 and np.isfinite(scores).all() else scores
    z = modified_z(shaped)
    hard = (z <= cut).astype(np.float64)
    mixture = two_gaussians(np.where(np.isfinite(shaped), shaped, np.nan_to_num(shaped))) if soft else None
    between = crossing(mixture) if mixture is not None else None
    if mixture is None or between is None:
        return hard
    fence = mixture.means[0] + guard * mixture.deviations[0]
    low, high = min(between, fence), max(between, fence)
    weights = np.where(shaped <= low, 1.0, np.where(shaped <= high, 0.5, 0.0))
    return np.asarray(np.minimum(weights, hard))
