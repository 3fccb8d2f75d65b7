"""The classic detectors against closed forms and independent implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from tests.features_as_images import scores

Make = Callable[..., Any]
rng = np.random.default_rng(1)
TRAIN = (rng.normal(size=(80, 6)) * [1, 2, 3, 1, 5, 1]).astype(np.float32)
TEST = (rng.normal(size=(50, 6)) * 4).astype(np.float32)


# --- dn2 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5])
def test_dn2_equals_faiss_and_brute_force(make: Make, k: int) -> None:
    given = scores(make("dn2", k=k), TRAIN, TEST)
    index = faiss.IndexFlatL2(TRAIN.shape[1])
    index.add(TRAIN)
    np.testing.assert_allclose(given, index.search(TEST, k)[0].sum(1), rtol=1e-5)
    squared = ((TEST[:, None].astype(np.float64) - TRAIN[None]) ** 2).sum(2)
    np.testing.assert_allclose(given, np.sort(squared, 1)[:, :k].sum(1), rtol=1e-6)


def test_dn2_geometry(make: Make) -> None:
    given = scores(make("dn2"), TRAIN, TEST)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moved = [x @ rotation + 3.0 for x in (TRAIN, TEST)]
    np.testing.assert_allclose(scores(make("dn2"), *moved), given, rtol=1e-4)
    np.testing.assert_allclose(scores(make("dn2"), TRAIN * 3, TEST * 3), given * 9, rtol=1e-5)
    with_first = np.concatenate([TRAIN, TEST[:1]])
    assert scores(make("dn2"), with_first, TEST)[0] < given[0]


def test_dn2_with_a_bank_of_one_takes_what_there_is(make: Make) -> None:
    expected = ((TEST.astype(np.float64) - TRAIN[0]) ** 2).sum(1)
    np.testing.assert_allclose(scores(make("dn2", k=2), TRAIN[:1], TEST), expected, rtol=1e-6)


def test_dn2_of_unit_vectors_is_the_cosine_knn(make: Make) -> None:
    given = scores(make("dn2", k=5, normalise="l2"), TRAIN, TEST)
    distances = NearestNeighbors(n_neighbors=5, metric="cosine").fit(TRAIN).kneighbors(TEST)[0]
    np.testing.assert_allclose(given, 2 * distances.sum(1), rtol=1e-4, atol=1e-6)
    longer = TEST * rng.uniform(0.1, 9, (len(TEST), 1)).astype(np.float32)
    np.testing.assert_allclose(scores(make("dn2", k=5, normalise="l2"), TRAIN, longer), given, atol=1e-5)


# --- means -------------------------------------------------------------------------------------------


def test_mean_distance_closed_form(make: Make) -> None:
    expected = ((TEST - TRAIN.astype(np.float64).mean(0)) ** 2).sum(1)
    np.testing.assert_allclose(scores(make("mean_distance"), TRAIN, TEST), expected, rtol=1e-6)


@pytest.mark.parametrize("normalise", ["l2", "standard"])
def test_means_of_normalised_features_closed_form(make: Make, normalise: str) -> None:
    train, test = TRAIN.astype(np.float64), TEST.astype(np.float64)
    centre, scale = train.mean(0), train.std(0)
    if normalise == "l2":
        train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    else:
        train, test = ((x - centre) / scale for x in (train, test))
    expected = ((test - train.mean(0)) ** 2).sum(1)
    given = scores(make("mean_distance", normalise=normalise), TRAIN, TEST)
    np.testing.assert_allclose(given, expected, rtol=1e-4)
    one = scores(make("kmeans_distance", k=1, normalise=normalise), TRAIN, TEST)
    np.testing.assert_allclose(one, expected, rtol=1e-3)
    squared = ((test[:, None] - train[None]) ** 2).sum(2)
    nearest_two = np.sort(squared, 1)[:, :2].sum(1)
    np.testing.assert_allclose(scores(make("dn2", normalise=normalise), TRAIN, TEST), nearest_two, rtol=1e-4)


def test_kmeans_distance_between_its_limits(make: Make) -> None:
    one = scores(make("kmeans_distance", k=1), TRAIN, TEST)
    np.testing.assert_allclose(one, scores(make("mean_distance"), TRAIN, TEST), rtol=1e-4)
    every = scores(make("kmeans_distance", k=len(TRAIN)), TRAIN, TEST)
    nearest = NearestNeighbors(n_neighbors=1).fit(TRAIN).kneighbors(TEST)[0][:, 0]
    np.testing.assert_allclose(every, nearest**2, rtol=1e-4)


# --- mahalanobis -------------------------------------------------------------------------------------


def test_mahalanobis_equals_scikit_learn(make: Make) -> None:
    model = LedoitWolf().fit(TRAIN.astype(np.float64))
    expected = model.mahalanobis(TEST.astype(np.float64))
    np.testing.assert_allclose(
        scores(make("mahalanobis", normalise="none"), TRAIN, TEST), expected, rtol=1e-6
    )
    scaler = StandardScaler().fit(TRAIN.astype(np.float64))
    model = LedoitWolf().fit(scaler.transform(TRAIN.astype(np.float64)))
    expected = model.mahalanobis(scaler.transform(TEST.astype(np.float64)))
    np.testing.assert_allclose(scores(make("mahalanobis"), TRAIN, TEST), expected, rtol=1e-4)


def test_mahalanobis_is_invariant_to_scale_after_standardising(make: Make) -> None:
    scale = np.array([1e-3, 1, 10, 1e3, 5, 0.1], np.float32)
    given = scores(make("mahalanobis"), TRAIN, TEST)
    np.testing.assert_allclose(scores(make("mahalanobis"), TRAIN * scale, TEST * scale), given, rtol=1e-3)


def test_mahalanobis_with_fewer_images_than_dimensions(make: Make) -> None:
    given = scores(make("mahalanobis"), TRAIN[:4], TEST)
    assert np.isfinite(given).all()
    assert given.std() > 0


# --- scikit-learn's ----------------------------------------------------------------------------------


def test_oc_svm_is_scikit_learns(make: Make) -> None:
    train, test = TRAIN.astype(np.float64), TEST.astype(np.float64)
    model = OneClassSVM(nu=0.2).fit(train)
    given = scores(make("oc_svm", nu=0.2, normalise="none"), TRAIN, TEST)
    np.testing.assert_allclose(given, -model.decision_function(test), rtol=1e-6, atol=1e-9)
    rejected = (scores(make("oc_svm", nu=0.2), TRAIN, TRAIN) > 1e-9).mean()
    assert rejected <= 0.2 + 1 / len(TRAIN), "nu bounds the share of training images outside"


def test_isolation_forest_is_scikit_learns(make: Make) -> None:
    model = IsolationForest(n_estimators=100, max_samples=80, random_state=7).fit(TRAIN)
    given = scores(make("isolation_forest"), TRAIN, TEST, seed=7)
    np.testing.assert_allclose(given, -model.score_samples(TEST), rtol=1e-9)
    assert ((given >= 0) & (given <= 1)).all()


def test_lof_is_scikit_learns(make: Make) -> None:
    model = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(TRAIN)
    given = scores(make("lof", normalise="none"), TRAIN, TEST)
    np.testing.assert_allclose(given, -model.score_samples(TEST), rtol=1e-6)


def test_lof_is_one_on_a_regular_grid(make: Make) -> None:
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)
    inside = np.array([[9.5, 9.5], [10.5, 8.5]])
    np.testing.assert_allclose(scores(make("lof", k=4, normalise="none"), grid, inside), 1, atol=0.1)


# --- the control -------------------------------------------------------------------------------------


def test_random_knows_nothing(make: Make) -> None:
    given = scores(make("random"), TRAIN, np.zeros((5000, 6)), seed=5)
    assert ((given >= 0) & (given < 1)).all()
    assert abs(given.mean() - 0.5) < 0.02
