"""EPHAD: scores of a contaminated model, tilted by independent evidence (Patra, Ben Taieb, 2025)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import LocalOutlierFactor

from bench import BaseMethod, FitError, Images, PositiveFloat, PositiveInt, Scores, Wrapper


class EPHAD(Wrapper):
    """The base's score plus evidence / beta, both in robust standard deviations of the training images.

    The density of the contaminated model is multiplied by exp(evidence for normality / beta) and normalised:
    on scores, which are minus its logarithm up to a constant, evidence against normality is added. Nothing is
    filtered: the base is trained on all images, and neither their labels nor a rate is needed.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    beta : float
        Temperature: large values leave the base as it is. The paper's is not known here.
    evidence : {"train", "test"}
        The local outlier factor of a test image's features among those of the training images, or among those
        of the test images, as in the paper. The second is *transductive*: a score depends on which other
        images are tested, and a remark of the run says so.
    k : int
        Neighbours of the local outlier factor, clamped.
    folds : int
        The base's scale is that of scores of training images by bases that were not trained on them.

    Notes
    -----
    Of the paper the abstract and a summary were at hand: standardising both by median and MAD of the training
    images, and the temperature, are ours. For images the paper's evidence is CLIP's zero-shot score, whose
    weights are not here. Fair controls are `lof` alone and the base alone.

    References
    ----------
    Patra, Ben Taieb, "An Evidence-Based Post-Hoc Adjustment Framework for Anomaly Detection Under Data
    Contamination", NeurIPS 2025, arXiv 2510.21296.
    """

    stochastic = True

    def __init__(
        self,
        base: BaseMethod = "dn2",
        beta: PositiveFloat = 1.0,
        evidence: Literal["train", "test"] = "train",
        k: PositiveInt = 20,
        folds: PositiveInt = 2,
    ) -> None:
        self.base, self.beta, self.evidence, self.k, self.folds = base, beta, evidence, k, folds

    def fit(self, train: Images) -> None:
        if len(train) < 2:
            raise FitError("ephad needs at least 2 training images: a neighbour besides the image itself")
        self.scale = middle_and_spread(self.held_out_scores(train, self.folds))
        features = self.base_features(train)
        self.outliers = LocalOutlierFactor(n_neighbors=max(1, min(self.k, len(features) - 1)), novelty=True)
        self.outliers.fit(features)
        self.evidence_scale = middle_and_spread(-self.outliers.negative_outlier_factor_)
        self.fit_final(train)
        if self.evidence == "test":
            self.notes += ("transductive: its evidence depends on which images are tested together",)

    def score(self, test: Images) -> Scores:
        given = self.final.score(test)
        held = given.image
        base = np.asarray(held.detach().cpu() if hasattr(held, "detach") else held, np.float64)
        evidence = self._evidence(self.base_features(test))
        tilted = standard(base, self.scale) + standard(evidence, self.evidence_scale) / self.beta
        return Scores(tilted, maps=given.maps)

    def _evidence(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.evidence == "train" or len(features) < 3:
            return np.asarray(-self.outliers.score_samples(features), np.float64)
        among = LocalOutlierFactor(n_neighbors=min(self.k, len(features) - 1)).fit(features)
        return np.asarray(-among.negative_outlier_factor_, np.float64)


def middle_and_spread(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and 1.4826 MAD of the finite scores; the standard deviation, or 1, where it is 0."""
    held = scores[np.isfinite(scores)]
    if not len(held):
        return 0.0, 1.0
    middle = float(np.median(held))
    return middle, 1.4826 * float(np.median(np.abs(held - middle))) or float(held.std()) or 1.0


def standard(scores: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float64]:
    """Return (score - middle) / spread."""
    return (scores - scale[0]) / scale[1]
