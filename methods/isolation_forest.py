"""Isolation forest: how few random splits isolate a feature vector (Liu, Ting, Zhou, 2008)."""

from sklearn.ensemble import IsolationForest

from bench import Images, Method, PositiveInt, Scores


class IsolationForestMethod(Method):
    """The isolation forest's anomaly score, in [0, 1]; weak in high dimensions.

    Parameters
    ----------
    trees : int
    subsample : int
        Images per tree, clamped to the number of training images; the paper uses 256.
    """

    computes_on = "cpu"
    stochastic = True

    def __init__(
        self, backbone: str = "default", trees: PositiveInt = 100, subsample: PositiveInt = 256
    ) -> None:
        self.backbone, self.trees, self.subsample = backbone, trees, subsample

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone).cpu().numpy()
        self.model = IsolationForest(
            n_estimators=self.trees, max_samples=min(self.subsample, len(features)), random_state=self.seed
        ).fit(features)

    def score(self, test: Images) -> Scores:
        return Scores(-self.model.score_samples(test.features(self.backbone).cpu().numpy()))
