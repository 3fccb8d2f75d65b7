"""Kernel density estimate with a Gaussian kernel on frozen features (Parzen, 1962)."""

import math
from typing import Literal

import torch

from bench import Images, Method, PositiveFloat, Scores, standardise


class KDE(Method):
    """Negative log density -log (1/n Σᵢ N(x; xᵢ, h² I)).

    Computed by logsumexp: in 2048 dimensions every term underflows.

    Parameters
    ----------
    bandwidth : {"scott", "median"}
        The kernel's standard deviation h: σ n^(-1/(d+4)) with σ² the mean variance of the columns (Scott's
        rule; close to σ in high dimensions), or the median distance between two training features.
    factor : float
        Multiplies the bandwidth; towards 0 the ranking becomes that of the distance to the nearest neighbour,
        towards infinity that of the distance to the mean.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.

    References
    ----------
    Scott, "Multivariate Density Estimation", 1992.
    """

    def __init__(
        self,
        backbone: str = "default",
        bandwidth: Literal["scott", "median"] = "scott",
        factor: PositiveFloat = 1.0,
        normalise: Literal["none", "standard", "l2"] = "standard",
    ) -> None:
        self.backbone, self.bandwidth = backbone, bandwidth
        self.factor, self.normalise = factor, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        self.bank = self.prepare(features).double()
        width = _scott(self.bank) if self.bandwidth == "scott" else _median_distance(self.bank)
        # A bank of one row, or of equal rows, has no scale.
        self.width = self.factor * (width if width > 0 else 1.0)

    def score(self, test: Images) -> Scores:
        queries = self.prepare(test.features(self.backbone)).double()
        n, d = self.bank.shape
        constant = math.log(n) + d / 2 * math.log(2 * math.pi * self.width**2)
        densities = [
            torch.logsumexp(-_squared_distances(part, self.bank) / (2 * self.width**2), 1)
            for part in queries.split(1024)
        ]
        return Scores(constant - torch.cat(densities))


def _scott(bank: torch.Tensor) -> float:
    n, d = bank.shape
    return float(bank.var(0, correction=0).mean().sqrt()) * n ** (-1 / (d + 4))


def _median_distance(bank: torch.Tensor, most: int = 2000) -> float:
    """Return the median distance between two rows, of at most `most` rows at even steps."""
    rows = bank[:: max(1, math.ceil(len(bank) / most))]
    distances = torch.nn.functional.pdist(rows)
    return float(distances.median()) if len(distances) else 0.0


def _squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return (n, m) squared distances; float64 leaves the product form some 1e-13 of the squared norms."""
    return ((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T).clamp_(min=0)
