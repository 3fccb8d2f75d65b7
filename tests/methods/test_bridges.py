"""The bridges to scikit-learn, PyOD and anomalib: the library's own numbers, clear errors for the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from bench import AnobenchError, anomaly_maps, as_rows, greedy_coreset
from bench.core.selector import parse
from bench.suite.registry import Registry
from tests import pictures
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


def on_pixels(make: Make, **options: Any) -> Any:
    pytest.importorskip("anomalib", reason="needs the extra anomalib")
    params = {"model": "Padim", "backbone": "resnet18", "n_features": 40, "pre_trained": False} | options
    method = make("anomalib", **params)
    method.device, method.seed = torch.device("cpu"), 3
    return method


def test_anomalibs_padim_is_its_own_model_on_our_images(make: Make) -> None:
    method = on_pixels(make)
    train, test = (pictures.images(pictures.surfaces(n, seed=n)) for n in (12, 5))
    method.fit(train)
    assert bool(method.net._is_fitted)
    given = list(method.score(test).each_part(5))
    pixels = torch.cat(list(test.batches(5))).float() / 255
    with torch.no_grad():
        prepared = method.net.pre_processor(pixels)
        own = method.net.model(prepared)
    np.testing.assert_allclose(np.concatenate([s for s, _ in given]), own.pred_score.flatten(), rtol=1e-5)
    maps = np.concatenate([m for _, m in given])
    np.testing.assert_allclose(maps, own.anomaly_map.squeeze(1), rtol=1e-5)
    # The Gaussian is that of our training images.
    bank = [
        method.net.model.train()(method.net.pre_processor(torch.cat(list(train.batches(12))).float() / 255))
    ]
    expected = torch.cat(bank).flatten(2).mean(0)
    torch.testing.assert_close(method.net.model.gaussian.mean, expected, rtol=1e-3, atol=1e-4)


def test_our_patchcore_is_anomalibs_given_one_bank(make: Make) -> None:
    """Picks from one start in one projection, image scores with their weights, and maps to the border."""
    pytest.importorskip("anomalib", reason="needs the extra anomalib")
    from anomalib.models.components import KCenterGreedy
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    method = make("patchcore", backbone="tiny", embedding="concatenated", upsampling="nearest")
    method.device = torch.device("cpu")
    train, test = pictures.images(pictures.surfaces(12)), pictures.images(pictures.stained(5))
    rows = method.patches.rows(train)
    torch.manual_seed(3)
    sampler = KCenterGreedy(rows, 0.1)
    picks = sampler.select_coreset_idxs()
    assert greedy_coreset(sampler.features, len(picks), first=picks[0]).tolist() == picks
    method.bank = rows[picks]

    theirs = PatchcoreModel(layers=["layer2"], backbone="resnet18", pre_trained=False).eval()
    theirs.memory_bank = method.bank
    for maps in method.patches.maps(test):
        distances, image = method.judge(maps)
        b, _, h, w = maps.shape
        own, matched = (each.view(b, h * w) for each in theirs.nearest_neighbors(as_rows(maps), 1))
        weighted = theirs.compute_anomaly_score(own, matched, as_rows(maps))
        torch.testing.assert_close(image, weighted, rtol=1e-4, atol=1e-5)
        smooth = theirs.anomaly_map_generator(own.view(b, 1, h, w), (64, 64))[:, 0]
        found = anomaly_maps(distances, (64, 64), interpolation="nearest", border="mirror")
        torch.testing.assert_close(found, smooth, rtol=1e-4, atol=1e-5)


def test_a_model_that_trains_is_told_for_how_long(make: Make) -> None:
    pytest.importorskip("anomalib", reason="needs the extra anomalib")
    method = make("anomalib", model="Ganomaly")
    method.device = torch.device("cpu")
    with pytest.raises(AnobenchError, match=r"give it epochs \(anomalib\[model=Ganomaly,epochs=100\]\)"):
        method.fit(pictures.images(pictures.surfaces(4)))
    train, scores_of = pictures.images(pictures.surfaces(8)), []
    for _ in range(2):
        method = make("anomalib", model="Ganomaly", epochs=1, batch=4)
        method.device, method.seed = torch.device("cpu"), 5
        method.fit(train)
        scores_of.append(method.score(train).checked(8))
    assert scores_of[0].tobytes() == scores_of[1].tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "Padimm"}, "anomalib has no model 'Padimm'; did you mean 'Padim'"),
        ({"model": "get_model"}, "anomalib has no model"),
        ({"colour": 3}, "anomalib's Padim has no parameter 'colour'"),
    ],
)
def test_what_anomalib_does_not_have_is_refused(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnobenchError, match=message):
        on_pixels(make, **options)


def test_without_anomalib_its_method_says_what_to_install(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anomalib.models", None)
    with pytest.raises(AnobenchError, match=r"pip install 'anobench\[anomalib\]'"):
        make("anomalib")
