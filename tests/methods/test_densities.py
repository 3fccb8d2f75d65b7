"""Whitening, mixtures, kernels and tails against closed forms and independent implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from tests.features_as_images import images, scores

Make = Callable[..., Any]
rng = np.random.default_rng(2)
TRAIN = (rng.normal(size=(80, 6)) * [1, 2, 3, 1, 5, 1] + 3).astype(np.float32)
TEST = (rng.normal(size=(50, 6)) * 4 + 3).astype(np.float32)
T64, Q64 = TRAIN.astype(np.float64), TEST.astype(np.float64)


# --- whitening ---------------------------------------------------------------------------------------


def test_whitened_training_features_have_the_identity_as_covariance(make: Make) -> None:
    method = make("whitening", shrinkage=0.0)
    scores(method, TRAIN, TEST)
    np.testing.assert_allclose(np.cov(method.bank.numpy().T, bias=True), np.eye(6), atol=1e-9)


def test_whitening_then_distance_is_the_mahalanobis_distance(make: Make) -> None:
    expected = LedoitWolf().fit(T64).mahalanobis(Q64)
    given = scores(make("whitening", scoring="distance"), TRAIN, TEST)
    np.testing.assert_allclose(given, expected, rtol=1e-9)


def test_the_mean_distance_of_training_images_is_the_number_of_dimensions(make: Make) -> None:
    """By the covariance with 1 / N; with 1 / (N - 1) it would be D (N - 1) / N."""
    given = scores(make("whitening", scoring="distance", shrinkage=0.0), TRAIN, TRAIN)
    assert given.mean() == pytest.approx(6, rel=1e-9)


def test_whitening_then_neighbours_is_knn_in_the_inverse_covariances_metric(make: Make) -> None:
    difference = Q64[:, None] - T64[None]
    inverse = np.linalg.inv(np.cov(T64.T, bias=True))
    squared = np.einsum("nmd,de,nme->nm", difference, inverse, difference)
    expected = np.sort(squared, 1)[:, :2].sum(1)
    np.testing.assert_allclose(scores(make("whitening", shrinkage=0.0), TRAIN, TEST), expected, rtol=1e-9)


def test_zca_would_score_the_same(make: Make) -> None:
    method = make("whitening", shrinkage=0.0)
    given = scores(method, TRAIN, TEST)
    variances, directions = np.linalg.eigh(np.cov(T64.T, bias=True))
    zca = directions @ np.diag(variances**-0.5) @ directions.T
    bank, queries = (T64 - T64.mean(0)) @ zca, (Q64 - T64.mean(0)) @ zca
    squared = ((queries[:, None] - bank[None]) ** 2).sum(2)
    np.testing.assert_allclose(given, np.sort(squared, 1)[:, :2].sum(1), rtol=1e-9)


@pytest.mark.parametrize("scoring", ["knn", "distance"])
def test_whitening_without_shrinkage_is_invariant_to_any_invertible_map(make: Make, scoring: str) -> None:
    mixing = rng.normal(size=(6, 6)) + 3 * np.eye(6)
    given = scores(make("whitening", scoring=scoring, shrinkage=0.0), TRAIN, TEST)
    mapped = scores(make("whitening", scoring=scoring, shrinkage=0.0), TRAIN @ mixing + 5, TEST @ mixing + 5)
    np.testing.assert_allclose(mapped, given, rtol=1e-3)


def test_full_shrinkage_leaves_plain_distances(make: Make) -> None:
    given = scores(make("whitening", scoring="distance", shrinkage=1.0), TRAIN, TEST)
    expected = ((Q64 - T64.mean(0)) ** 2).sum(1) / T64.var(0).mean()
    np.testing.assert_allclose(given, expected, rtol=1e-9)


def test_whitening_with_fewer_images_than_dimensions(make: Make) -> None:
    for shrinkage in (None, 0.0):
        assert np.isfinite(scores(make("whitening", shrinkage=shrinkage), TRAIN[:4], TEST)).all()
    method = make("whitening", shrinkage=0.0)
    scores(method, TRAIN[:4], TEST)
    np.testing.assert_allclose(np.cov(method.bank.numpy().T, bias=True), np.eye(3), atol=1e-9)
    assert np.isfinite(scores(make("whitening"), np.ones((5, 6)), TEST)).all()


# --- mahalanobis over levels -------------------------------------------------------------------------


def test_mahalanobis_sums_the_distances_of_its_levels(make: Make) -> None:
    train = {"a": rng.normal(size=(70, 4, 3, 3)), "b": rng.normal(size=(70, 6, 2, 2)) + 1}
    test = {"a": rng.normal(size=(9, 4, 3, 3)) * 2, "b": rng.normal(size=(9, 6, 2, 2))}
    method = make("mahalanobis", normalise="none", layers="a+b")
    method.fit(images(TRAIN[:70], train))
    given = method.score(images(TEST[:9], test)).image
    expected = np.zeros(9)
    for layer in "ab":
        pooled = [maps[layer].mean((2, 3)).astype(np.float32).astype(np.float64) for maps in (train, test)]
        expected += np.sqrt(LedoitWolf().fit(pooled[0]).mahalanobis(pooled[1]))
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-5)


# --- gmm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_gmm_is_the_density_of_its_gaussians(make: Make, covariance: str) -> None:
    method = make("gmm", components=3, covariance=covariance, normalise="none")
    given = scores(method, TRAIN, TEST)
    model, reduced = method.model, method.pca.transform(Q64)
    of = np.diag if covariance == "diag" else np.asarray
    terms = [
        np.log(weight) + multivariate_normal(mean, of(c)).logpdf(reduced)
        for weight, mean, c in zip(model.weights_, model.means_, model.covariances_, strict=True)
    ]
    np.testing.assert_allclose(given, -logsumexp(terms, axis=0), rtol=1e-9)


def test_gmm_is_scikit_learns_on_all_components(make: Make) -> None:
    method = make("gmm", components=2, covariance="full", normalise="none", ridge=1e-6)
    given = scores(method, TRAIN, TEST, seed=4)
    # A rotation (the principal components) changes no density; the seed's start finds the same optimum.
    model = GaussianMixture(2, random_state=4, max_iter=300, reg_covar=1e-6 * T64.var(0).mean()).fit(T64)
    np.testing.assert_allclose(given, -model.score_samples(Q64), rtol=1e-6)


def test_one_gaussian_orders_as_mahalanobis(make: Make) -> None:
    given = scores(make("gmm", components=1, covariance="full", normalise="none", ridge=1e-9), TRAIN, TEST)
    whitened = scores(make("whitening", scoring="distance", shrinkage=0.0), TRAIN, TEST)
    constant = (given - whitened / 2).mean()
    np.testing.assert_allclose(given, whitened / 2 + constant, rtol=1e-6)


# --- kde ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bandwidth", ["scott", "median"])
def test_kde_is_scikit_learns(make: Make, bandwidth: str) -> None:
    method = make("kde", bandwidth=bandwidth, normalise="none", factor=0.7)
    given = scores(method, TRAIN, TEST)
    squared = ((T64[:, None] - T64[None]) ** 2).sum(2)
    width = {
        "scott": np.sqrt(T64.var(0).mean()) * 80 ** (-1 / 10),
        "median": np.sqrt(torch.from_numpy(squared[np.triu_indices(80, 1)]).median().item()),
    }[bandwidth]
    assert method.width == pytest.approx(0.7 * width, rel=1e-9)
    expected = -KernelDensity(bandwidth=0.7 * width).fit(T64).score_samples(Q64)
    np.testing.assert_allclose(given, expected, rtol=1e-7)


def test_kde_between_its_limits(make: Make) -> None:
    small = scores(make("kde", factor=1e-3, normalise="none"), TRAIN, TEST)
    assert np.isfinite(small).all(), "a density that underflows by far still has a logarithm"
    nearest = scores(make("dn2", k=1), TRAIN, TEST)
    assert (np.argsort(small) == np.argsort(nearest)).all()
    wide = scores(make("kde", factor=1e4, normalise="none"), TRAIN, TEST)
    mean = scores(make("mean_distance"), TRAIN, TEST)
    assert np.corrcoef(wide, mean)[0, 1] > 0.999


def test_kde_of_one_image_or_equal_ones(make: Make) -> None:
    for train in (TRAIN[:1], np.ones((4, 6))):
        assert np.isfinite(scores(make("kde"), train, TEST)).all()


# --- ecod --------------------------------------------------------------------------------------------


def _tails(train: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    together = np.vstack([train, query])
    return tuple(-np.log([(sign * c <= sign * q).mean() for c, q in zip(together.T, query, strict=True)])
                 for sign in (1, -1))  # fmt: skip


@pytest.mark.parametrize("aggregate", ["column", "image"])
def test_ecod_is_a_loop_over_columns(make: Make, aggregate: str) -> None:
    given = scores(make("ecod", aggregate=aggregate), TRAIN, TEST)
    right_skewed = ((T64 - T64.mean(0)) ** 3).mean(0) >= 0
    expected = []
    for query in TEST:
        left, right = _tails(TRAIN, query)
        columns, automatic = np.maximum(left, right).sum(), np.where(right_skewed, right, left).sum()
        expected.append(columns if aggregate == "column" else max(left.sum(), right.sum(), automatic))
    np.testing.assert_allclose(given, expected, rtol=1e-9)


def test_ecod_is_pyods_on_one_image_at_a_time(make: Make) -> None:
    theirs = pytest.importorskip("pyod.models.ecod", reason="needs the extra pyod")
    model = theirs.ECOD().fit(T64)
    expected = np.concatenate([model.decision_function(query[None]) for query in Q64])
    np.testing.assert_allclose(scores(make("ecod"), TRAIN, TEST), expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_ecod_sees_only_the_order_of_values(scale: float, shift: float) -> None:
    from bench.suite.registry import Registry

    make = Registry().methods["ecod"].load()
    quarters = np.round(TRAIN * 4) / 4, np.round(TEST * 4) / 4
    moved = [np.exp((x * scale + shift) / 1e4) for x in quarters]
    np.testing.assert_allclose(scores(make(), *moved), scores(make(), *quarters), rtol=1e-9)
