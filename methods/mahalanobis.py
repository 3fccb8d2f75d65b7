"""Mahalanobis distance under one Gaussian a level with Ledoit-Wolf shrinkage (Rippel et al., 2020)."""

from typing import Literal

import torch

from bench import Images, Method, Scores, shrunk_covariance, standardise


class Mahalanobis(Method):
    """Squared Mahalanobis distance (x - m)ᵀ S⁻¹ (x - m) to the training features.

    The covariance S is shrunk towards a multiple of the identity (Ledoit and Wolf, 2004), so that it can be
    inverted with fewer images than dimensions.

    Parameters
    ----------
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images. None in the paper; after
        standardising, the shrinkage treats all dimensions alike, whatever their range.
    layers : str or none
        Names of the network's layers joined by ``+`` (``layer1+layer2+layer3``): one Gaussian each on the
        globally averaged maps, and the sum of the distances (not squared) as in the paper, which uses every
        level of an EfficientNet-B4 without normalisation. ``none``: the backbone's pooled vector.

    References
    ----------
    Rippel, Mertens, Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for
    Anomaly Detection", ICPR 2020, section III.
    """

    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        normalise: Literal["none", "standard", "l2"] = "standard",
        layers: str | None = None,
    ) -> None:
        self.backbone, self.normalise = backbone, normalise
        self.layers = [layer.strip() for layer in layers.split("+")] if layers else []

    def fit(self, train: Images) -> None:
        self.levels = [_Gaussian(features, self.normalise) for features in self._levels(train)]

    def score(self, test: Images) -> Scores:
        squared = [
            level.squared_distances(features)
            for level, features in zip(self.levels, self._levels(test), strict=True)
        ]
        return Scores(torch.stack(squared).sqrt().sum(0) if self.layers else squared[0])

    def _levels(self, images: Images, chunk: int = 64) -> list[torch.Tensor]:
        """Return the features of each level, (n, d); maps are pooled before the next chunk is computed."""
        if not self.layers:
            return [images.features(self.backbone)]
        pooled: list[list[torch.Tensor]] = [[] for _ in self.layers]
        for start in range(0, len(images), chunk):
            maps = images[start : start + chunk].feature_maps(self.backbone, self.layers)
            for parts, layer in zip(pooled, self.layers, strict=True):
                parts.append(maps[layer].mean((2, 3)))
        return [torch.cat(parts) for parts in pooled]


class _Gaussian:
    """Mean and the Cholesky factor of the shrunk covariance of normalised features."""

    def __init__(self, features: torch.Tensor, normalise: Literal["none", "standard", "l2"]) -> None:
        self.prepare = standardise(features, normalise)
        prepared = self.prepare(features).double()
        self.mean = prepared.mean(0)
        self.factor = torch.linalg.cholesky(_positive(shrunk_covariance(prepared - self.mean)))

    def squared_distances(self, features: torch.Tensor) -> torch.Tensor:
        centred = self.prepare(features).double() - self.mean
        return torch.linalg.solve_triangular(self.factor, centred.T, upper=False).square().sum(0)


def _positive(covariance: torch.Tensor) -> torch.Tensor:
    """Add the smallest ridge that keeps a (nearly) constant set of features invertible.

    If all training images are the same there is no scale, and the distance is Euclidean.
    """
    scale = covariance.diagonal().mean()
    ridge = 1e-10 * scale if scale > 0 else 1.0
    return covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
