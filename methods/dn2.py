"""DN2: distance to the k nearest training features of a frozen network (Bergman et al., 2020)."""

from typing import Literal

from bench import Images, Method, PositiveInt, Scores, nearest, standardise


class DN2(Method):
    """Sum of the squared Euclidean distances to the k nearest training features.

    Parameters
    ----------
    k : int
        Neighbours; DN2 uses 2. Clamped to the number of training images.
    normalise : {"none", "standard", "l2"}
        DN2 takes the features as they are. With ``l2`` it is a cosine k-NN: the squared distance of unit
        vectors is twice their cosine distance, by which `cap` searches too.

    References
    ----------
    Bergman, Cohen, Hoshen, "Deep Nearest Neighbor Anomaly Detection", arXiv 2002.10445. The authors' code
    (in PANDA's repository) sums faiss' squared distances; the sum of plain distances orders scores
    differently for k > 1.
    """

    def __init__(
        self,
        backbone: str = "default",
        k: PositiveInt = 2,
        normalise: Literal["none", "standard", "l2"] = "none",
    ) -> None:
        self.backbone, self.k, self.normalise = backbone, k, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        self.bank = self.prepare(features)

    def score(self, test: Images) -> Scores:
        queries = self.prepare(test.features(self.backbone))
        return Scores(nearest(queries, self.bank, min(self.k, len(self.bank))).distances.sum(1))
