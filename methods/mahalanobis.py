"""Mahalanobis distance under one Gaussian with Ledoit-Wolf shrinkage (Rippel et al., 2020)."""

from typing import Literal

import torch
from sklearn.covariance import ledoit_wolf

from bench import Images, Method, Scores, standardise


class Mahalanobis(Method):
    """Squared Mahalanobis distance (x - m)ᵀ S⁻¹ (x - m) to the training features.

    The covariance S is shrunk towards a multiple of the identity (Ledoit and Wolf, 2004), so that it can be
    inverted with fewer images than dimensions.

    Parameters
    ----------
    normalise : {"standard", "none", "l2"}
        What is done to the features first, fitted on the training images. The paper does nothing; after
        standardising, the shrinkage treats all dimensions alike, however large their range.

    References
    ----------
    Rippel, Mertens, Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for
    Anomaly Detection", ICPR 2020 (there: EfficientNet-B4, one Gaussian per level, distances summed).
    """

    def __init__(
        self, backbone: str = "default", normalise: Literal["none", "standard", "l2"] = "standard"
    ) -> None:
        self.backbone, self.normalise = backbone, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        prepared = self.prepare(features).double()
        self.mean = prepared.mean(0)
        covariance, _ = ledoit_wolf((prepared - self.mean).cpu().numpy(), assume_centered=True)
        factor = torch.linalg.cholesky(_positive(torch.from_numpy(covariance)))
        self.factor = factor.to(features.device)

    def score(self, test: Images) -> Scores:
        centred = self.prepare(test.features(self.backbone)).double() - self.mean
        whitened = torch.linalg.solve_triangular(self.factor, centred.T, upper=False)
        return Scores(whitened.square().sum(0))


def _positive(covariance: torch.Tensor) -> torch.Tensor:
    """Add the least ridge that keeps a (nearly) constant set of features invertible."""
    ridge = 1e-10 * covariance.diagonal().mean() + torch.finfo(torch.float64).tiny
    return covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype)
