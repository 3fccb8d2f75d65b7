"""Distance to the nearest of k centres of the training features (k-means; PANDA, section 5.3)."""

from typing import Literal

from sklearn.cluster import KMeans

from bench import Images, Method, PositiveInt, Scores, standardise


class KMeansDistance(Method):
    """Squared Euclidean distance to the nearest k-means centre.

    Parameters
    ----------
    k : int
        Number of centres; PANDA uses 10. Clamped to the number of training images: with as many centres as
        images it equals the nearest-neighbour distance, with one centre the distance to the mean.
    restarts : int
        k-means runs, of which the one with the least inertia is kept.
    normalise : {"none", "standard", "l2"}
        Of the features; PANDA takes them as they are.

    References
    ----------
    Reiss, Cohen, Bergman, Hoshen, "PANDA", CVPR 2021, table of scoring functions.
    """

    computes_on = "cpu"
    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        k: PositiveInt = 10,
        restarts: PositiveInt = 3,
        normalise: Literal["none", "standard", "l2"] = "none",
    ) -> None:
        self.backbone, self.k, self.restarts, self.normalise = backbone, k, restarts, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        clusters = KMeans(min(self.k, len(features)), n_init=self.restarts, random_state=self.seed)
        self.model = clusters.fit(self.prepare(features).cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone)).cpu().numpy()
        return Scores(self.model.transform(features).min(1) ** 2)
