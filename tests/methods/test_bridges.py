"""The bridges to scikit-learn and PyOD: same numbers as the library's own, clear errors for anything else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from bench import AnobenchError
from bench.core.selector import parse
from bench.suite.registry import Registry
from tests.features_as_images import scores

Make = Callable[..., Any]
rng = np.random.default_rng(5)
TRAIN = rng.normal(size=(80, 6)).astype(np.float32).astype(np.float64)
FOREST = IsolationForest(max_samples=9, random_state=7)
TEST = (rng.normal(size=(30, 6)) * 2).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [
        ("sklearn.ensemble:IsolationForest", FOREST, {"max_samples": 9}),
        ("sklearn.neighbors:LocalOutlierFactor", LocalOutlierFactor(7, novelty=True), {"n_neighbors": 7}),
        ("sklearn.svm:OneClassSVM", OneClassSVM(nu=0.3), {"nu": 0.3}),
        ("sklearn.linear_model:SGDOneClassSVM", SGDOneClassSVM(random_state=7), {}),
        ("sklearn.covariance:EllipticEnvelope", EllipticEnvelope(random_state=7), {}),
    ],
)  # fmt: skip
def test_scikit_learns_detectors_by_name(make: Make, name: str, model: Any, options: dict[str, Any]) -> None:
    given = scores(make("sklearn", estimator=name, normalise="none", **options), TRAIN, TEST, seed=7)
    np.testing.assert_allclose(given, -model.fit(TRAIN).score_samples(TEST), rtol=1e-9)


def test_the_selector_of_a_bridge_is_read_whole() -> None:
    selector = parse('sklearn[estimator="sklearn.svm:OneClassSVM", nu=0.2, kernel=linear]')
    params = Registry().methods["sklearn"].check(selector.params, "test")
    assert (params["estimator"], params["nu"], params["kernel"]) == ("sklearn.svm:OneClassSVM", 0.2, "linear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "OneClassSVM"}, "expected module:Class in scikit-learn"),
        ({"estimator": "os:system"}, "expected module:Class in scikit-learn"),
        ({"estimator": "sklearn.svm:Nothing"}, "cannot be found"),
        ({"estimator": "sklearn.nowhere:Nothing"}, "cannot be found"),
        ({"estimator": "sklearn.svm:SVC"}, "is no outlier detector"),
        ({"estimator": "sklearn.base:clone"}, "is no outlier detector"),
        ({"estimator": "sklearn.ensemble:VotingClassifier"}, "is no outlier detector"),
        ({"colour": 3}, "has no parameter 'colour'; it has bootstrap"),
    ],
)
def test_what_is_no_outlier_detector_is_refused(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnobenchError, match=message):
        make("sklearn", **options)


def test_without_pyod_the_mend_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyod.models", None)
    with pytest.raises(AnobenchError, match=r"pip install 'anobench\[pyod\]'"):
        make("pyod", detector="KNN")


@pytest.fixture
def pyod() -> None:
    pytest.importorskip("pyod", reason="needs the extra pyod")


@pytest.mark.usefixtures("pyod")
@pytest.mark.parametrize(("name", "options"), [("KNN", {"n_neighbors": 3}), ("HBOS", {}), ("IForest", {})])
def test_pyods_detectors_by_name(make: Make, name: str, options: dict[str, Any]) -> None:
    import importlib

    seed = {"random_state": 7} if name == "IForest" else {}
    theirs = getattr(importlib.import_module(f"pyod.models.{name.lower()}"), name)(**options, **seed)
    method = make("pyod", detector=name, normalise="none", **options)
    np.testing.assert_allclose(
        scores(method, TRAIN, TEST, seed=7), theirs.fit(TRAIN).decision_function(TEST), rtol=1e-9
    )
    assert method.notes == ()


@pytest.mark.usefixtures("pyod")
def test_a_detector_that_mixes_test_images_scores_them_alone(make: Make) -> None:
    method = make("pyod", detector="ECOD", normalise="none")
    given = scores(method, TRAIN, TEST)
    np.testing.assert_allclose(given, scores(make("ecod"), TRAIN, TEST), rtol=1e-9)
    assert "one image at a time" in method.notes[0]


@pytest.mark.usefixtures("pyod")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "Nothing"}, "PyOD has no detector 'Nothing'"),
        ({"detector": "base"}, "PyOD has no detector"),
        ({"detector": "os.path"}, "PyOD has no detector"),
        ({"detector": "KNN", "colour": 3}, "has no parameter 'colour'"),
    ],
)
def test_what_pyod_does_not_have_is_refused(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnobenchError, match=message):
        make("pyod", **options)
