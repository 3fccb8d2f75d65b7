"""MeDS' first stage: many sparse memories of the training images tell the odd ones (Safarov et al., 2026)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench import (
    BaseMethod,
    FitError,
    Images,
    NonNegativeFloat,
    PositiveInt,
    Purification,
    Share,
    Wrapper,
    training_scores,
)


class MeDS(Wrapper):
    """The base, fitted on images that lie near random tenths of the training set.

    Each of `memories` memories holds ``ceil(share n)`` training images drawn with replacement. An image's
    score is its distance to the nearest image of a memory, averaged over the memories: what is rare is in
    few of them, and far from the others. Kept is what scores below median + `factor` × MAD (the MAD as it is,
    without 1.4826); with ``factor=0`` the lower half.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    memories : int
        100 in the code.
    share : float
        Of the training images in each memory; 0.1 in the code.
    factor : float
        3 in the code, reached at the end of its third stage; its first epoch keeps the lower half.
    by : {"features", "base"}
        What a memory is: the pooled features of the base's backbone, compared by cosine distance, or a base
        fitted on its images. The second fits `memories` bases, whatever these are.
    exclude_self : bool
        Leave out memories that hold the image itself. The code does not; all images are alike in it.

    Notes
    -----
    Of the paper's three stages this is the first and, in one step, the selection of the third; the second
    distils the scores into a Dinomaly student, which is no wrapper. The code (commit
    5842858) compares the 784 patches of an image, from DINOv2, and scores it by its 7 highest; here an image
    has one vector, so that no image goes through a network again. Distances are rounded to 5 decimals, as in
    the code. As a filter (ours), the threshold is the one of the last epoch. Where no image lies below it, as
    when all scores are equal, all that lie on it are kept.

    References
    ----------
    Safarov et al., "Memory-Distilled Selection for Noise-Robust Anomaly Detection", ICML 2026,
    arXiv 2605.26676.
    """

    stochastic = True

    def __init__(
        self,
        base: BaseMethod = "dn2",
        memories: PositiveInt = 100,
        share: Share = 0.1,
        factor: NonNegativeFloat = 3.0,
        by: Literal["features", "base"] = "features",
        exclude_self: bool = False,
    ) -> None:
        self.base, self.memories, self.share, self.factor = base, memories, share, factor
        self.by, self.exclude_self = by, exclude_self

    def fit(self, train: Images) -> None:
        n = len(train)
        if n < 2:
            raise FitError("meds needs at least 2 training images: one to compare another with")
        drawn = draws(n, self.memories, self.share, self.seed)
        if self.by == "features":
            scores = memory_scores(self.base_features(train), drawn, exclude_self=self.exclude_self)
        else:
            scores = self._by_bases(train, drawn)
        kept = below(scores, self.factor)
        self.purification = Purification(kept, scores)
        self.fit_final(train[kept])

    def _by_bases(self, train: Images, drawn: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return the mean score over bases that are fitted on the memories, shape (n,)."""
        each = np.ma.array(np.zeros((len(drawn), len(train))), mask=False)
        for number, memory in enumerate(drawn):
            base = self.new_base("memory", number)
            base.fit(train[memory])
            each[number] = training_scores(base, train)
            if self.exclude_self:
                each[number, memory] = np.ma.masked
        return np.asarray(each.mean(0).filled(0.0), np.float64)


def draws(n: int, memories: int, share: float, seed: int) -> list[NDArray[np.int64]]:
    """Return the images of each memory, drawn with replacement."""
    generator, size = np.random.default_rng(seed), int(np.ceil(round(share * n, 9)))
    return [generator.integers(0, n, size) for _ in range(memories)]


def memory_scores(
    features: NDArray[np.float32], drawn: list[NDArray[np.int64]], *, exclude_self: bool = False
) -> NDArray[np.float64]:
    """Return the mean over memories of the cosine distance to the nearest image of each, shape (n,).

    All distances between images are computed once, some rows at a time; a memory's is the least of some of
    them.
    """
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unit = (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    n = len(unit)
    total, count = np.zeros(n), np.zeros(n)
    for start in range(0, n, 2048):
        rows = np.arange(start, min(n, start + 2048))
        away = np.round(1 - (unit[rows] @ unit.T), 5)
        if exclude_self:
            away[rows - start, rows] = np.inf
        for memory in drawn:
            nearest = away[:, np.unique(memory)].min(1).astype(np.float64)
            there = np.isfinite(nearest)
            if exclude_self:
                there &= ~np.isin(rows, memory)
            total[rows] += np.where(there, nearest, 0)
            count[rows] += there
    return np.asarray(total / np.maximum(count, 1))


def below(scores: NDArray[np.float64], factor: float) -> NDArray[np.bool_]:
    """Return which scores lie below median + factor × MAD; those on it where there are none."""
    middle = float(np.median(scores))
    threshold = middle + factor * float(np.median(np.abs(scores - middle)))
    kept = scores < threshold
    return kept if kept.any() else scores <= threshold
