"""Any detector of PyOD by name: ``pyod[detector="KNN", n_neighbors=5]`` (needs the extra ``pyod``)."""

import importlib
import inspect
import pkgutil
from typing import Any, Literal

import numpy as np

from bench import AnobenchError, Images, Method, Scores, standardise


class PyODBridge(Method):
    """``decision_function`` of a PyOD detector; higher = more anomalous.

    A detector with a parameter ``random_state`` gets the cell's seed unless one is given. The bridge counts
    as stochastic, whatever the detector.

    Some detectors (ECOD, COPOD) rank test images among all test images. The bridge compares the scores of a
    few images alone and together, and if they differ scores every image alone; the record says so.

    Parameters
    ----------
    detector : str
        Name of the class, such as ``KNN``, ``HBOS`` or ``IForest``.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.
    **options
        Parameters of the detector.

    Raises
    ------
    AnobenchError
        PyOD is not installed, has no such unsupervised detector, or the detector has no such parameter.

    References
    ----------
    Zhao, Nasrullah, Li, "PyOD: A Python Toolbox for Scalable Outlier Detection", JMLR 2019.
    """

    computes_on = "cpu"
    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        detector: str = "IForest",
        normalise: Literal["none", "standard", "l2"] = "standard",
        **options: Any,
    ) -> None:
        self.backbone, self.normalise, self.options = backbone, normalise, options
        self.detector = _find(detector)
        self.known = sorted(set(inspect.signature(self.detector).parameters) - {"args", "kwargs"})
        if unknown := sorted(set(options) - set(self.known)):
            raise AnobenchError(
                f"PyOD's {detector} has no parameter {unknown[0]!r}; it has {', '.join(self.known)}"
            )

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.prepare = standardise(features, self.normalise)
        seed = {"random_state": self.seed} if "random_state" in self.known else {}
        self.model = self.detector(**seed | self.options)
        self.model.fit(self.prepare(features).double().cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = self.prepare(test.features(self.backbone)).double().cpu().numpy()
        few = features[:4]
        if not np.allclose(self._judge(few), self._alone(few), rtol=1e-5, atol=1e-8, equal_nan=True):
            self.notes = ("scored one image at a time: together, images change each other's scores",)
            return Scores(self._alone(features))
        return Scores(self._judge(features))

    def _judge(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.decision_function(features), np.float64).reshape(-1)

    def _alone(self, features: np.ndarray) -> np.ndarray:
        return np.concatenate([self._judge(row[None]) for row in features])


def _find(name: str) -> Any:
    """Return the detector's class; PyOD keeps each in a module of the same name, in lower case."""
    try:
        models = importlib.import_module("pyod.models")
        base = importlib.import_module("pyod.models.base").BaseDetector
    except ImportError as error:
        raise AnobenchError(
            f"the method pyod needs the package pyod ({error}): python -m pip install 'anobench[pyod]'"
        ) from None
    modules = {m.name.replace("_", ""): m.name for m in pkgutil.iter_modules(models.__path__)}
    found = None
    if name.isidentifier() and name.lower() in modules:
        try:
            module = importlib.import_module(f"pyod.models.{modules[name.lower()]}")
        except ImportError as error:
            raise AnobenchError(f"PyOD's {name} needs a package that is not there: {error}") from None
        found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base) and found is not base):
        raise AnobenchError(
            f"PyOD has no detector {name!r}; expected a class such as KNN, HBOS, IForest, COPOD, ECOD, LOF, "
            "PCA, MCD or INNE, written as in its documentation"
        )
    if name == "XGBOD":
        raise AnobenchError("PyOD's XGBOD learns from labels, which a method here never gets")
    return found
