"""Distance to the mean of the training features: the simplest one-class model."""

from bench import Images, Method, Scores


class MeanDistance(Method):
    """Squared Euclidean distance to the mean training feature."""

    def __init__(self, backbone: str = "default") -> None:
        self.backbone = backbone

    def fit(self, train: Images) -> None:
        # float64: the mean of many float32 vectors must not depend on the order of summation.
        self.mean = train.features(self.backbone).double().mean(0)

    def score(self, test: Images) -> Scores:
        return Scores((test.features(self.backbone).double() - self.mean).square().sum(1))
