"""DN2: distance to the k nearest training features of a frozen network (Bergman et al., 2020)."""

from bench import Images, Method, PositiveInt, Scores, nearest


class DN2(Method):
    """Sum of the squared Euclidean distances to the k nearest training features.

    Parameters
    ----------
    k : int
        Neighbours; DN2 uses 2. Clamped to the number of training images.

    References
    ----------
    Bergman, Cohen, Hoshen, "Deep Nearest Neighbor Anomaly Detection", arXiv 2002.10445. The authors' code
    (in PANDA's repository) sums faiss' squared distances; the sum of plain distances orders scores
    differently for k > 1.
    """

    def __init__(self, backbone: str = "default", k: PositiveInt = 2) -> None:
        self.backbone, self.k = backbone, k

    def fit(self, train: Images) -> None:
        self.bank = train.features(self.backbone)

    def score(self, test: Images) -> Scores:
        found = nearest(test.features(self.backbone), self.bank, min(self.k, len(self.bank)))
        return Scores(found.distances.sum(1))
