"""Detector: any object with ``fit`` and ``decision_function`` or ``score_samples``, as a method."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bench.core.errors import AnobenchError
from bench.train.method import Method, Scores

if TYPE_CHECKING:
    from bench.data.images import Images

#: A seed that every library takes.
MOST_SEEDS = 2**31


class Detector(Method):
    """An outlier detector of scikit-learn, PyOD or one's own, on features of a backbone.

    Which way its scores point: ``decision_function`` as in PyOD, higher = more anomalous, unless the class
    derives from scikit-learn's ``OutlierMixin`` (of a pipeline, its last step's), where lower = more
    anomalous; ``score_samples``, a density or likelihood, lower = more anomalous.

    Parameters
    ----------
    model : object
        Not fitted; every `fit` fits a copy. A parameter ``random_state`` that is None gets the seed.
    backbone : str
        For ``Images.features``.

    Raises
    ------
    AnobenchError
        It lacks these functions.
    """

    def __init__(self, model: Any, backbone: str = "default") -> None:
        if inspect.isclass(model):
            raise AnobenchError(f"{model.__name__} is a class; give an object: {model.__name__}()")
        if not callable(getattr(model, "fit", None)) or not (_decides(model) or _samples(model)):
            raise AnobenchError(
                f"{type(model).__name__} is no detector: expected fit, and decision_function or "
                "score_samples, or a method of anobench, or a selector such as 'dn2[k=5]'"
            )
        self.model, self.backbone = model, backbone

    @property
    def random(self) -> bool:
        """Whether a seed changes anything: it has a ``random_state`` that is not set."""
        asked = getattr(self.model, "get_params", None)
        known = asked() if callable(asked) else vars(self.model) if hasattr(self.model, "__dict__") else {}
        return known.get("random_state", 0) is None

    def fit(self, train: Images) -> None:
        self.fitted = copy.deepcopy(self.model)
        if self.random:
            self.fitted.random_state = self.seed % MOST_SEEDS
        self.fitted.fit(train.features(self.backbone).double().cpu().numpy())

    def score(self, test: Images) -> Scores:
        features = test.features(self.backbone).double().cpu().numpy()
        if not _decides(self.fitted):
            return Scores(-np.asarray(self.fitted.score_samples(features), np.float64).reshape(-1))
        scores = np.asarray(self.fitted.decision_function(features), np.float64).reshape(-1)
        return Scores(-scores if _lower_is_worse(self.fitted) else scores)


@functools.cache
def detector_class(of: type[Any]) -> type[Detector]:
    """Return a class of methods that make such a detector, with its parameters and a backbone."""

    def made(self: Detector, backbone: str = "default", **params: Any) -> None:
        Detector.__init__(self, of(**params), backbone)

    about = {"__init__": made, "__module__": of.__module__, "__doc__": of.__doc__}
    return cast("type[Detector]", type(of.__name__, (Detector,), about))


def _decides(model: Any) -> bool:
    return callable(getattr(model, "decision_function", None))


def _samples(model: Any) -> bool:
    return callable(getattr(model, "score_samples", None))


def _lower_is_worse(model: Any) -> bool:
    from sklearn.base import OutlierMixin
    from sklearn.pipeline import Pipeline

    return isinstance(model.steps[-1][1] if isinstance(model, Pipeline) else model, OutlierMixin)
