"""DeLong against the structural components of the paper, written out, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bench.stats.delong import FEW, Placements, delong_pairs, placements
from tests.stats.cases import TENS, delong_test, images


def by_definition(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROCs and their covariance as in DeLong et al. 1988, equations 2 to 6, from every pair."""
    x, y = scores[:, labels == 1], scores[:, labels == 0]
    (k, m), n = x.shape, y.shape[1]
    table = (y[:, None, :] < x[:, :, None]) + 0.5 * (y[:, None, :] == x[:, :, None])
    theta, v10, v01 = table.mean(axis=(1, 2)), table.mean(axis=2), table.mean(axis=1)
    s10, s01 = np.zeros((k, k)), np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10[r, s] = ((v10[r] - theta[r]) * (v10[s] - theta[s])).sum() / (m - 1)
            s01[r, s] = ((v01[r] - theta[r]) * (v01[s] - theta[s])).sum() / (n - 1)
    return theta, s10 / m + s01 / n


@pytest.mark.parametrize("seeds", TENS[:22], ids=str)
def test_covariance_is_that_of_the_paper(seeds: range) -> None:
    for seed in seeds:
        compare(*images(seed, methods=3))


def compare(labels: np.ndarray, scores: np.ndarray) -> None:
    theta, covariance = by_definition(labels, scores)
    held = placements(labels, scores)
    np.testing.assert_allclose(held.auroc, theta, atol=1e-12)
    np.testing.assert_allclose(held.covariance, covariance, atol=1e-12)
    pairs = delong_pairs(held)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        if variance < 1e-12:
            continue
        z = (theta[a] - theta[b]) / np.sqrt(variance)
        assert pairs.p[a, b] == pytest.approx(2 * norm.sf(abs(z)), abs=1e-9)
        found = delong_test(labels, scores[a], scores[b])
        assert (found.estimate, found.se) == pytest.approx((theta[a] - theta[b], np.sqrt(variance)), abs=1e-9)
        assert (found.low, found.high) == pytest.approx((pairs.low[a, b], pairs.high[a, b]), abs=1e-12)


def test_auroc_is_scikit_learns() -> None:
    for seed in range(200):
        labels, scores = images(seed)
        order = np.unique(scores[0], return_inverse=True)[1]
        assert placements(labels, scores[0]).auroc[0] == pytest.approx(
            roc_auc_score(labels, order), abs=1e-12
        )


def test_matrices_are_those_of_the_pairs_alone() -> None:
    labels, scores = images(5, methods=6)
    pairs = delong_pairs(placements(labels, scores))
    for a in range(6):
        for b in range(6):
            found = delong_test(labels, scores[a], scores[b])
            assert pairs.difference[a, b] == pytest.approx(found.estimate, abs=1e-15)
            assert pairs.p[a, b] == pytest.approx(found.p, abs=1e-12)


FEW_IMAGES = np.array([0, 0, 0, 1, 1, 1])


def test_methods_alike_do_not_differ() -> None:
    scores = np.array([1.0, 4.0, 2.0, 3.0, 5.0, 6.0])
    found = delong_test(FEW_IMAGES, scores, np.exp(scores))
    assert (found.estimate, found.low, found.high, found.se, found.p) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_both_perfect_is_no_difference_but_leaves_much_open() -> None:
    found = delong_test(FEW_IMAGES, np.array([1.0, 2, 3, 4, 5, 6]), np.array([3.0, 1, 2, 6, 5, 4]))
    assert (found.estimate, found.se, found.p) == (0.0, 0.0, 1.0)
    assert found.low == -found.high
    assert found.high > 0.3


def test_a_difference_without_variance_has_the_limit_p() -> None:
    scores = np.array([1.0, 2, 3, 4, 5, 6])
    found = delong_test(FEW_IMAGES, scores, -scores)
    assert (found.estimate, found.se, found.p) == (1.0, 0.0, 0.0)
    assert delong_test(FEW_IMAGES, scores, np.zeros(6)).p == 0.0


def test_one_image_of_a_class_has_no_variance() -> None:
    pairs = delong_pairs(placements([0, 0, 1], [[1.0, 2.0, 3.0], [3.0, 2.0, 1.5]]))
    assert pairs.difference[0, 1] == 1.0
    for matrix in (pairs.se, pairs.p, pairs.low, pairs.high):
        assert np.isnan(matrix[0, 1])


def test_the_interval_is_the_test_turned_round_unless_nearly_perfect() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    for gap, plain in ((0.8, True), (6.0, False)):
        found = delong_test(labels, rng.normal(size=100) + gap * labels, rng.normal(size=100) + labels)
        z = (found.high - found.estimate) / found.se
        assert bool(abs(z - norm.ppf(0.975)) < 1e-9) is plain
        assert found.low < found.estimate < found.high
        assert found.low >= -1
        assert found.high <= 1
    assert FEW == 2.0


def test_averaged_placements_are_those_of_the_mean_auroc() -> None:
    labels, scores = images(8, methods=6)
    held = placements(labels, scores)
    mean = Placements(*(each.reshape(2, 3, -1).mean(axis=1) for each in (held.anomalous, held.normal)))
    np.testing.assert_allclose(mean.auroc, held.auroc.reshape(2, 3).mean(axis=1))
    weights = np.kron(np.eye(2), np.full((1, 3), 1 / 3))
    np.testing.assert_allclose(mean.covariance, weights @ held.covariance @ weights.T, atol=1e-15)


@pytest.mark.parametrize(
    ("labels", "scores", "word"),
    [
        ([0, 1], [1.0, 2.0, 3.0], "expected labels"),
        ([0, 1, 2], [1.0, 2.0, 3.0], "expected labels 0"),
        ([1, 1], [1.0, 2.0], "both classes"),
        ([0, 0], [1.0, 2.0], "both classes"),
        ([0, 1], [1.0, np.nan], "NaN"),
        ([], [], "both classes"),
    ],
)
def test_bad_input_is_refused(labels: list[int], scores: list[float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        placements(labels, scores)


small = st.integers(0, 6).map(float)


@given(arrays(np.float64, (2, 10), elements=small), arrays(np.uint8, 6, elements=st.integers(0, 1)))
def test_swapping_methods_swaps_the_sign(scores: np.ndarray, rest: np.ndarray) -> None:
    labels = np.concatenate([[0, 0, 1, 1], rest])
    one, other = delong_test(labels, *scores), delong_test(labels, *scores[::-1])
    assert one.estimate == -other.estimate
    assert (one.p, one.se) == (other.p, other.se)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert 0 <= one.p <= 1
    assert one.low <= one.estimate <= one.high


@given(arrays(np.float64, (2, 12), elements=st.floats(-30, 30)), st.sampled_from(["exp", "cube", "shift"]))
def test_only_the_order_of_scores_counts(scores: np.ndarray, way: str) -> None:
    """A strictly monotone transform of one method's scores changes nothing, to the bit."""
    scores, labels = np.round(scores, 2), np.arange(12) % 2
    change = {"exp": np.exp, "cube": lambda x: x**3, "shift": lambda x: 5 * x + 100}[way]
    assert delong_test(labels, change(scores[0]), scores[1]) == delong_test(labels, *scores)


@given(arrays(np.float64, (2, 12), elements=small))
def test_turning_labels_and_scores_round_changes_nothing(scores: np.ndarray) -> None:
    labels = np.array([0] * 5 + [1] * 7)
    one, other = delong_test(labels, *scores), delong_test(1 - labels, *-scores)
    assert (one.estimate, one.se, one.p) == pytest.approx((other.estimate, other.se, other.p), abs=1e-12)
