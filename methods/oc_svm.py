"""One-class SVM with an RBF kernel and fixed parameters (Schölkopf et al., 2001)."""

from typing import Literal

from sklearn.svm import OneClassSVM

from bench import Fraction, Images, Method, Scores, standardise


class OCSVM(Method):
    """Signed distance to the separating hyperplane, negated.

    Published one-class SVM rows often choose nu and gamma on the test set (as in PANDA); here both are fixed,
    so the number is lower and honest.

    Parameters
    ----------
    nu : float
        Upper bound of the share of training errors, in (0, 1).
    gamma : {"scale", "auto"}
        Kernel width: 1 / (d var(X)), or 1 / d.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.
    """

    computes_on = "cpu"

    def __init__(
        self,
        backbone: str = "default",
        nu: Fraction = 0.1,
        gamma: Literal["scale", "auto"] = "scale",
        normalise: Literal["none", "standard", "l2"] = "standard",
    ) -> None:
        self.backbone, self.normalise = backbone, normalise
        self.model = OneClassSVM(nu=nu, gamma=gamma, cache_size=1000)

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        self.model.fit(self.prepare(features).double().cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone)).double().cpu().numpy()
        return Scores(-self.model.decision_function(features))
