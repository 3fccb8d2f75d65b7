"""Distance to the mean of the training features: the simplest one-class model."""

from typing import Literal

from bench import Images, Method, Scores, standardise


class MeanDistance(Method):
    """Squared Euclidean distance to the mean training feature.

    Parameters
    ----------
    normalise : {"none", "standard", "l2"}
        Of the features; with ``l2`` the distance from a unit vector to the mean of unit vectors.
    """

    def __init__(
        self, backbone: str = "default", normalise: Literal["none", "standard", "l2"] = "none"
    ) -> None:
        self.backbone, self.normalise = backbone, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        # float64: the mean of many float32 vectors must not depend on the order of summation.
        self.mean = self.prepare(features).double().mean(0)

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone))
        return Scores((features.double() - self.mean).square().sum(1))
