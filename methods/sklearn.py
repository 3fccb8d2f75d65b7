"""Any outlier detector of scikit-learn by name: ``sklearn[estimator="sklearn.svm:OneClassSVM", nu=0.2]``."""

import importlib
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin

from bench import AnobenchError, Images, Method, Scores, standardise


class SklearnBridge(Method):
    """Negated ``score_samples`` (or ``decision_function``) of a scikit-learn estimator.

    An estimator with a parameter ``random_state`` gets the cell's seed, one with ``novelty`` gets True; both
    can be given. The bridge counts as stochastic, whatever the estimator.

    Parameters
    ----------
    estimator : str
        ``module:Class`` of an outlier detector in scikit-learn.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.
    **options
        Parameters of the estimator.

    Raises
    ------
    AnobenchError
        There is no such class, it is not an outlier detector, or it has no such parameter.
    """

    computes_on = "cpu"
    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        estimator: str = "sklearn.ensemble:IsolationForest",
        normalise: Literal["none", "standard", "l2"] = "standard",
        **options: Any,
    ) -> None:
        self.backbone, self.normalise = backbone, normalise
        self.estimator, self.options = _find(estimator), options
        self._build(check=estimator)

    def _build(self, check: str = "") -> BaseEstimator:
        known = self.estimator().get_params()
        if check and (unknown := sorted(set(self.options) - set(known))):
            raise AnobenchError(f"{check} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}")
        ours = {"random_state": self.seed, "novelty": True}
        return self.estimator(**{name: ours[name] for name in ours if name in known} | self.options)

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        self.model = self._build().fit(self.prepare(features).double().cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone)).double().cpu().numpy()
        judge = getattr(self.model, "score_samples", None) or self.model.decision_function
        return Scores(-np.asarray(judge(features)).reshape(-1))


def _find(name: str) -> Any:
    """Return the class that ``module:Class`` names, if it is one of scikit-learn's outlier detectors."""
    module, _, class_name = name.partition(":")
    # A suite may import nothing else: importing runs a module's code.
    if module.split(".")[0] != "sklearn" or not class_name.isidentifier():
        raise AnobenchError(
            f"estimator {name!r}: expected module:Class in scikit-learn, such as sklearn.svm:OneClassSVM"
        )
    try:
        found = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError) as error:
        raise AnobenchError(f"estimator {name!r} cannot be found: {error}") from None
    if not (isinstance(found, type) and issubclass(found, BaseEstimator) and issubclass(found, OutlierMixin)):
        raise AnobenchError(
            f"estimator {name!r} is no outlier detector; scikit-learn has sklearn.ensemble:IsolationForest, "
            "sklearn.neighbors:LocalOutlierFactor, sklearn.svm:OneClassSVM, "
            "sklearn.linear_model:SGDOneClassSVM and sklearn.covariance:EllipticEnvelope"
        )
    return found
