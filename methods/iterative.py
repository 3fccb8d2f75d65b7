"""Iterative weighting: train, weigh the training images by their scores, train again (Kim et al., 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from bench import (
    BaseMethod,
    Images,
    NonNegativeInt,
    PositiveFloat,
    Purification,
    Share,
    Wrapper,
    training_scores,
)


class Iterative(Wrapper):
    """In each round the base scores its training images, scores become weights, and a new base is trained.

    Weights decrease with the score (`weigh`). A weight gives the probability of being in the next training
    set, ``min(1, w / mean(w))``: equal weights keep all images. So any method can be a base, with or without
    weights of its own. Each image has one random number for all rounds, so that a set changes only where
    weights do. The last base scores test images.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    rounds : int
        Largest number of rounds; 0 is the bare method.
    weight : {"sigmoid", "exp", "rank", "hard"}
        See `weigh`.
    temperature : float
        How sharply weights fall, in robust standard deviations of the scores; for ``sigmoid`` and ``exp``.
    keep : float
        Share with weight 1; for ``hard``.
    agreement : float
        Rank correlation of the scores of two rounds at which to stop.

    Notes
    -----
    We know only the paper's abstract: a loop for any method that estimates the normality of each image, uses
    it as its weight in training, and stops by a criterion derived from the objective of anomaly detection.
    The weight functions, weights as probabilities, a new base each round, the stopping rule and all defaults
    are ours. The loop stops when ranks agree, or when the weighted mean of the standardised scores falls no
    further below their mean. Methods that remember their training images: see ``docs/findings.md``.

    References
    ----------
    Kim, Yu, Kim, Oh, Choi, "An Iterative Method for Unsupervised Robust Anomaly Detection Under Data
    Contamination", arXiv 2309.09436.
    """

    stochastic = True
    deterministic_with: ClassVar = {"rounds": 0, "weight": "hard"}

    def __init__(
        self,
        base: BaseMethod = "dn2",
        rounds: NonNegativeInt = 10,
        weight: Literal["sigmoid", "exp", "rank", "hard"] = "sigmoid",
        temperature: PositiveFloat = 1.0,
        keep: Share = 0.5,
        agreement: PositiveFloat = 0.99,
    ) -> None:
        self.base, self.rounds, self.weight = base, rounds, weight
        self.temperature, self.keep, self.agreement = temperature, keep, agreement
        #: Number of rounds before it stopped.
        self.done = 0

    def fit(self, train: Images) -> None:
        self.fit_final(train, 0)
        chance = np.random.default_rng(self.seed).random(len(train))
        before, gap = None, 0.0
        for done in range(1, self.rounds + 1):
            scores = training_scores(self.final, train)
            weights = weigh(scores, self.weight, temperature=self.temperature, keep=self.keep)
            further = separation(scores, weights)
            if before is not None and (further <= gap or agreement(before, scores) > self.agreement):
                break
            kept = chance < weights / weights.mean()
            self.purification = Purification(kept, scores)
            self.fit_final(train[kept], done)
            before, gap, self.done = scores, further, done


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (score - median) / (1.4826 MAD), shape (n,); by the standard deviation where the MAD is 0.

    Infinite scores count as the largest or smallest finite one.
    """
    finite = scores[np.isfinite(scores)].astype(np.float64)
    if not len(finite):
        return np.sign(scores).astype(np.float64)
    values = np.clip(scores.astype(np.float64), finite.min(), finite.max())
    centred = values - np.median(values)
    spread = 1.4826 * float(np.median(np.abs(centred))) or float(values.std())
    return centred / spread if spread > 0 else np.zeros_like(values)


def weigh(scores: NDArray[np.float32], how: str, *, temperature: float, keep: float) -> NDArray[np.float64]:
    """Return weights in [0, 1], shape (n,), that do not rise with the score; equal scores weigh the same.

    With u the standardised scores and T the temperature: ``sigmoid`` is 1 / (1 + exp(u / T)); ``exp`` is
    exp(-u / T), divided by its maximum; ``rank`` is one minus the share of lower scores (ties counted half);
    ``hard`` is 1 for the lowest ``keep`` of the images and those that equal them, 0 for the others.
    """
    u = np.clip(standardised(scores) / temperature, -500, 500)
    if how == "sigmoid":
        return 1 / (1 + np.exp(u))
    if how == "exp":
        return np.exp(u.min() - u)
    if how == "rank":
        return 1 - (rankdata(u) - 0.5) / len(u)
    return (u <= np.sort(u)[max(1, int(keep * len(u))) - 1]).astype(np.float64)


def separation(scores: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Return by how much the weighted mean of the standardised scores lies below their mean."""
    u = standardised(scores)
    return float(u.mean() - np.average(u, weights=weights))


def agreement(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return Spearman's rank correlation; 1 where one of the two is constant."""
    if np.ptp(standardised(before)) == 0 or np.ptp(standardised(after)) == 0:
        return 1.0
    return float(spearmanr(before, after).statistic)
