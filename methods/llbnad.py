"""LLBNAD: trains on what models of small subsets agree to be normal (Zhang et al., 2025)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bench import BaseMethod, FitError, Images, PositiveInt, Purification, Share, Wrapper, training_scores


class LLBNAD(Wrapper):
    """Bases trained on disjoint subsets score all training images; the base is trained on the lowest.

    The training images are shuffled and cut into `subsets` blocks of ``n // subsets`` (the last one takes the
    remainder); one base is trained on each and scores every training image. The scores are joined over the
    bases, and the ``int(keep * n)`` lowest images train the base that is kept. The
    contamination need not be known, but `keep` must be below 1 minus its rate.

    Parameters
    ----------
    base : method
        Selector of a registered method. The paper's is Dinomaly, trained briefly on the subsets: a network
        learns the normal majority first. Here both stages train with the base's own parameters.
    subsets : int
        Blocks; 3 in the released configuration. With 1 the base filters its own training images.
    keep : float
        Share of the training images kept, above 0 and at most 1; 0.2 in the released configuration.
    aggregate : {"mean", "max", "max_var"}
        Over the bases: the released code has the mean, and in comments the maximum and the maximum times the
        variance.
    cross : bool
        Ignore the score that a base gives to images of its own block. Not in the paper, where a network
        trained for ten mini-batches remembers little; methods that keep their training images find each of
        them again at distance 0. Needs two subsets.
    normalise : {"none", "rank", "zscore"}
        Normalisation of each base's scores before they are joined. Not in the paper, nor in its code: bases
        of one kind on equal subsets score on one scale.

    Notes
    -----
    The released code (commit 0633b8c) applies its shuffle twice, so that the second stage trains on a random
    fifth (see ``docs/findings.md``). Here each index stays with its image, so that results can differ from
    those of the release.

    References
    ----------
    Zhang, Cao, Cheng, Sun, Shen, "Leveraging Learning Bias for Noisy Anomaly Detection", arXiv 2508.07441.
    """

    stochastic = True
    deterministic_with: ClassVar = {"subsets": 1}

    def __init__(
        self,
        base: BaseMethod = "dn2",
        subsets: PositiveInt = 3,
        keep: Share = 0.2,
        aggregate: Literal["mean", "max", "max_var"] = "mean",
        cross: bool = False,
        normalise: Literal["none", "rank", "zscore"] = "none",
    ) -> None:
        # The scores of an image that must be left to join.
        least = 2 if aggregate == "max_var" else 1
        if subsets - cross < least:
            raise FitError(
                f"llbnad: aggregate={aggregate} with cross={str(cross).lower()} needs at least "
                f"{least + cross} subsets, got {subsets}"
            )
        self.base, self.subsets, self.keep, self.aggregate = base, subsets, keep, aggregate
        self.cross, self.normalise = cross, normalise

    def fit(self, train: Images) -> None:
        n, count = len(train), int(self.keep * len(train))
        if n < self.subsets:
            raise FitError(f"llbnad: {n} training images cannot be cut into {self.subsets} subsets; lower it")
        if count < 1:
            raise FitError(f"llbnad: keep={self.keep} of {n} training images is none; keep more")
        each = np.ma.array(np.zeros((self.subsets, n)), mask=False)
        for number, rows in enumerate(blocks(n, self.subsets, self.seed)):
            base = self.new_base("subset", number, bare_seed=self.subsets == 1)
            # In the order of `train`, so that one subset is the bare method.
            try:
                base.fit(train[np.sort(rows)])
            except FitError as error:
                raise FitError(
                    f"{error} (inside llbnad, on one of {self.subsets} subsets of {n} training images; if "
                    f"{len(rows)} are too few, lower subsets)"
                ) from error
            each[number] = normalised(training_scores(base, train), self.normalise)
            if self.cross:
                each[number, rows] = np.ma.masked
        scores = joined(each, self.aggregate)
        kept = np.zeros(n, np.bool_)
        kept[np.argsort(scores, kind="stable")[:count]] = True
        self.purification = Purification(kept, scores.astype(np.float32))
        self.fit_final(train[kept])


def blocks(n: int, subsets: int, seed: int) -> list[NDArray[np.int64]]:
    """Return a random partition of ``range(n)`` into blocks of ``n // subsets``, the last with the rest."""
    order = np.random.default_rng(seed).permutation(n)
    return np.split(order, [n // subsets * i for i in range(1, subsets)])


def normalised(scores: NDArray[np.float32], how: str) -> NDArray[np.float64]:
    """Bring one base's scores, shape (n,), to a scale that others share."""
    values = scores.astype(np.float64)
    if how == "rank":
        return rankdata(values) / len(values)
    if how == "zscore":
        spread = values.std()
        return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)
    return values


def joined(scores: np.ma.MaskedArray, how: str) -> NDArray[np.float64]:
    """Join the scores of several bases, shape (bases, n), over those that are not masked."""
    found = scores.mean(0) if how == "mean" else scores.max(0)
    return np.asarray(found * scores.var(0) if how == "max_var" else found)
