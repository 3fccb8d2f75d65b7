"""PCA whitening of frozen features, then nearest neighbours or the distance to the mean (PANDA, table 7)."""

from typing import Literal

import torch

from bench import (
    Images,
    Method,
    PositiveInt,
    Scores,
    UnitInterval,
    ledoit_wolf_shrinkage,
    nearest,
    standardise,
)


class Whitening(Method):
    """Whiten with the training features' covariance, then score.

    With mean m and shrunk covariance U diag(l) Uᵀ, a feature x becomes diag(l)^(-1/2) Uᵀ (x - m). ZCA
    whitening also multiplies this by U: a rotation, which changes no distance, hence no score; so it is not
    an option.

    Parameters
    ----------
    scoring : {"knn", "distance"}
        Sum of the squared distances to the `k` nearest whitened training features, or the squared distance to
        their mean, which is the squared Mahalanobis distance. PANDA does not say which it uses for its 94.6
        on CIFAR-10 (ResNet152); nearest neighbours, as in the rest of the paper, is our guess.
    k : int
        Neighbours; clamped to the number of training images.
    shrinkage : float or none
        S becomes (1 - s) S + s tr(S)/d I, in [0, 1]; ``none`` takes Ledoit and Wolf's s. Directions whose
        variance is below 1e-10 of the largest are left out: with s = 0 everything outside the span of the
        training features is ignored.
    normalise : {"none", "standard", "l2"}
        Normalisation of the features, fitted on the training images.

    References
    ----------
    Reiss, Cohen, Bergman, Hoshen, "PANDA", CVPR 2021, section 5.2 and table 7.
    Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """

    def __init__(
        self,
        backbone: str = "default",
        scoring: Literal["knn", "distance"] = "knn",
        k: PositiveInt = 2,
        shrinkage: UnitInterval | None = None,
        normalise: Literal["none", "standard", "l2"] = "none",
    ) -> None:
        self.backbone, self.scoring, self.k = backbone, scoring, k
        self.shrinkage, self.normalise = shrinkage, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        prepared = self.prepare(features).double()
        self.mean = prepared.mean(0)
        self.whiten = self._whitening(prepared - self.mean)
        self.bank = (prepared - self.mean) @ self.whiten

    def _whitening(self, centred: torch.Tensor) -> torch.Tensor:
        """Return the matrix (d, r) that whitens centred features by multiplication from the right."""
        n, d = centred.shape
        covariance = centred.T @ centred / n
        shrinkage = ledoit_wolf_shrinkage(centred) if self.shrinkage is None else self.shrinkage
        variances, directions = torch.linalg.eigh(covariance)
        variances = (1 - shrinkage) * variances + shrinkage * covariance.diagonal().mean()
        kept = variances > 1e-10 * variances[-1].clamp(min=torch.finfo(torch.float64).tiny)
        if not kept.any():  # all training images are the same: there is no scale to whiten by
            return torch.eye(d, dtype=centred.dtype, device=centred.device)
        return directions[:, kept] * variances[kept].rsqrt()

    def score(self, test: Images) -> Scores:
        whitened = (self.prepare(test.features(self.backbone)).double() - self.mean) @ self.whiten
        if self.scoring == "distance":
            return Scores(whitened.square().sum(1))
        return Scores(nearest(whitened, self.bank, min(self.k, len(self.bank))).distances.sum(1))
