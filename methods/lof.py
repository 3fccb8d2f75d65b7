"""Local outlier factor of test features with respect to the training features (Breunig et al., 2000)."""

from typing import Literal

from sklearn.neighbors import LocalOutlierFactor

from bench import FitError, Images, Method, PositiveInt, Scores, standardise


class LOF(Method):
    """The local outlier factor in novelty mode: about 1 inside a cluster, larger outside.

    Parameters
    ----------
    k : int
        Neighbours, clamped to one less than the number of training images.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.
    """

    computes_on = "cpu"

    def __init__(
        self,
        backbone: str = "default",
        k: PositiveInt = 20,
        normalise: Literal["none", "standard", "l2"] = "standard",
    ) -> None:
        self.backbone, self.k, self.normalise = backbone, k, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        if len(features) < 2:
            raise FitError("lof needs at least 2 training images: a neighbour besides the image itself")
        self.prepare = standardise(features, self.normalise)
        self.model = LocalOutlierFactor(n_neighbors=max(1, min(self.k, len(features) - 1)), novelty=True)
        self.model.fit(self.prepare(features).cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone)).cpu().numpy()
        return Scores(-self.model.score_samples(features))
