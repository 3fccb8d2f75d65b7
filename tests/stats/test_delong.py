"""DeLong against the structural components of the paper, written out, a bootstrap, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from bench.stats.delong import (
    image_parts,
    least_p,
    strata_of,
    variance_of_pairs,
    variance_over_images,
)
from bench.stats.placements import Placements, placements
from bench.stats.variance import Variance
from tests.stats.cases import TENS, by_definition, delong_test, images, welch


def of_one_task(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, Variance, Variance]:
    """Return AUROCs of one task, their variances and those of their differences."""
    placed = placements(labels, scores)
    parts, strata = image_parts(placed, labels), strata_of(np.asarray(labels)[None])
    return placed.auroc, variance_over_images(parts, strata), variance_of_pairs(parts, strata)


@pytest.mark.parametrize("seeds", TENS[:22], ids=str)
def test_one_task_is_the_paper(seeds: range) -> None:
    for seed in seeds:
        compare(*images(seed, methods=3))


def compare(labels: np.ndarray, scores: np.ndarray) -> None:
    theta, anomalous, normal = by_definition(labels, scores)
    covariance, of = anomalous + normal, [(labels == 1).sum() - 1, (labels == 0).sum() - 1]
    held = placements(labels, scores)
    np.testing.assert_allclose(held.auroc, theta, atol=1e-12)
    np.testing.assert_allclose(held.covariance, covariance, atol=1e-12)
    auroc, own, pairs = of_one_task(labels, scores)
    np.testing.assert_allclose(own.value, np.diag(covariance), atol=1e-12)
    for at in np.flatnonzero(np.diag(covariance) > 1e-9):
        _, freedom = welch([anomalous[at, at], normal[at, at]], of)
        assert own.freedom[at] == pytest.approx(freedom, rel=1e-6)
    p = pairs.p(auroc[:, None] - auroc)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        assert pairs.value[a, b] == pytest.approx(variance, abs=1e-12)
        assert pairs.value[a, b] == pairs.value[b, a]
        if variance > 1e-9:
            expected = delong_test(labels, scores[a], scores[b])
            assert (auroc[a] - auroc[b], p[a, b]) == pytest.approx(expected, abs=1e-9)


def test_auroc_is_scikit_learns() -> None:
    for seed in range(200):
        labels, scores = images(seed)
        order = np.unique(scores[0], return_inverse=True)[1]
        assert placements(labels, scores[0]).auroc[0] == pytest.approx(
            roc_auc_score(labels, order), abs=1e-12
        )


FEW_IMAGES = np.array([0, 0, 0, 1, 1, 1])


def test_methods_alike_differ_by_exactly_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 3 == 0
    scores = rng.normal(size=50) + labels
    _, _, pairs = of_one_task(
        labels.astype(int), np.stack([scores, np.exp(scores), 5 * scores**3 + 1, -scores])
    )
    assert (pairs.value[:3, :3] == 0).all()
    assert (pairs.value[3, :3] > 0).all()
    assert (np.diag(pairs.value) == 0).all()


def test_methods_nearly_alike_keep_their_digits() -> None:
    """Two neighbours of 4,000 images change places: the variance is 1e-12 of the AUROCs' own."""
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    first = rng.normal(size=4000) + labels
    order = np.argsort(first)
    at = next(at for at in range(2000, 4000) if labels[order[at]] != labels[order[at + 1]])
    second = first.copy()
    second[order[[at, at + 1]]] = first[order[[at + 1, at]]]
    _, _, pairs = of_one_task(labels, np.stack([first, second]))
    # One image of each class has a placement that differs by one image of the other: 1 / 2000.
    n = 2000
    part = (1 / n) / n
    expected = 2 * part**2 * (1 - 1 / n) * n / (n - 1)
    assert pairs.value[0, 1] == pytest.approx(expected, rel=1e-6)


def test_a_perfect_separation_does_not_vary() -> None:
    auroc, own, pairs = of_one_task(FEW_IMAGES, np.array([[1.0, 2, 3, 4, 5, 6], [3.0, 1, 2, 6, 5, 4]]))
    assert (auroc.tolist(), own.value.tolist()) == ([1.0, 1.0], [0.0, 0.0])
    assert pairs.p(auroc[:, None] - auroc).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    auroc, _, pairs = of_one_task(FEW_IMAGES, np.array([[1.0, 2, 3, 4, 5, 6], [6.0, 5, 4, 3, 2, 1]]))
    p = pairs.p(auroc[:, None] - auroc, least=least_p(3, 3))
    assert p[0, 1] == pytest.approx(2 / 20)


def test_the_least_p_value_is_that_of_an_exact_rank_test() -> None:
    for anomalous, normal in ((1, 1), (1, 9), (2, 3), (3, 3), (5, 8)):
        exact = mannwhitneyu(np.arange(anomalous) + 100.0, np.arange(normal), method="exact").pvalue
        assert least_p(anomalous, normal) == pytest.approx(exact, rel=1e-12)
    assert least_p(6000, 6000) == 0


def test_a_single_image_of_a_class_adds_nothing() -> None:
    """Its class's mean is itself: `evidence` says that such a task cannot be told."""
    labels, scores = np.array([0, 0, 0, 1]), np.array([[1.0, 2.0, 4.0, 3.0]])
    placed = placements(labels, scores)
    parts = image_parts(placed, labels)
    assert parts[0, 3] == 0
    assert np.isnan(placed.covariance[0, 0])
    assert variance_over_images(parts, labels).value[0] == pytest.approx(np.var([1, 1, 0], ddof=1) / 3)


def test_averaged_placements_are_those_of_the_mean_auroc() -> None:
    labels, scores = images(8, methods=6)
    held = placements(labels, scores)
    mean = Placements(*(each.reshape(2, 3, -1).mean(axis=1) for each in (held.anomalous, held.normal)))
    np.testing.assert_allclose(mean.auroc, held.auroc.reshape(2, 3).mean(axis=1))
    parts = image_parts(held, labels).reshape(2, 3, -1).mean(axis=1)
    np.testing.assert_allclose(parts, image_parts(mean, labels), atol=1e-15)
    weights = np.kron(np.eye(2), np.full((1, 3), 1 / 3))
    expected = weights @ held.covariance @ weights.T
    np.testing.assert_allclose(mean.covariance, expected, atol=1e-15)
    np.testing.assert_allclose(variance_over_images(parts, labels).value, np.diag(expected), atol=1e-15)


def one_vs_rest(seed: int, classes: int = 4, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (tasks, n) and scores (tasks, 2, n) of tasks that share all images."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(classes), each))
    labels = (of != np.arange(classes)[:, None]).astype(int)
    hard = rng.normal(size=len(of))
    noise = rng.normal(size=(classes, 2, len(of)))
    return labels, hard * (2 * labels[:, None] - 1) + 0.7 * noise + 1.5 * labels[:, None]


def summed(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return what each image adds to the mean over tasks."""
    return np.mean(
        [image_parts(placements(of, held), of) for of, held in zip(labels, scores, strict=True)], axis=0
    )


def resampled(labels: np.ndarray, scores: np.ndarray, draws: int) -> np.ndarray:
    """Return the mean AUROC over tasks of resamples within strata, shape (methods, draws)."""
    rng, n = np.random.default_rng(1), labels.shape[1]
    _, strata = np.unique(labels, axis=1, return_inverse=True)
    counts = np.zeros((draws, n))
    for stratum in np.unique(strata):
        at = np.flatnonzero(strata.ravel() == stratum)
        counts[:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), draws)
    found = np.zeros((scores.shape[1], draws))
    for of, held in zip(labels, scores, strict=True):
        one, none = of == 1, of == 0
        for method, each in enumerate(held):
            wins = (each[one][:, None] > each[none]) + 0.5 * (each[one][:, None] == each[none])
            total = np.einsum("da,ab,db->d", counts[:, one], wins, counts[:, none], optimize=True)
            found[method] += total / one.sum() / none.sum() / len(labels)
    return found


def test_tasks_that_share_images_are_a_bootstrap_within_strata() -> None:
    """4,000 resamples: three standard errors of their variance are 7 %, and the bootstrap's bias 3 %."""
    labels, scores = one_vs_rest(0)
    parts, strata = summed(labels, scores), strata_of(labels)
    assert len(set(strata.tolist())) == 4
    drawn = resampled(labels, scores, 4000)
    own, pairs = variance_over_images(parts, strata), variance_of_pairs(parts, strata)
    assert own.value == pytest.approx(drawn.var(axis=1), rel=0.1)
    assert pairs.value[0, 1] == pytest.approx((drawn[0] - drawn[1]).var(), rel=0.1)
    # Counted as if each task had images of its own it would be much too small.
    apart = (
        np.mean([of_one_task(of, held)[1].value for of, held in zip(labels, scores, strict=True)], axis=0) / 4
    )
    assert (own.value > 1.5 * apart).all()


def test_strata_by_definition() -> None:
    """Sums of squares about the strata's means over n - 1; a pattern that one image has, about 0."""
    labels, scores = one_vs_rest(3, each=5)
    labels[1, 0] = 1 - labels[1, 0]  # one image is like no other
    parts, strata = summed(labels, scores), strata_of(labels)
    sums: dict[tuple[int, ...], list[np.ndarray]] = {}
    for column, part in zip(labels.T, parts.T, strict=True):
        sums.setdefault(tuple(column), []).append(part)
    assert sorted(map(len, sums.values())) == [1, 4, 5, 5, 5]
    values, of = [], []
    for held in (np.array(each) for each in sums.values()):
        n = len(held)
        off = held if n == 1 else held - held.mean(axis=0)
        values.append((off**2).sum(axis=0) * (n / (n - 1) if n > 1 else 1))
        of.append(max(1, n - 1))
    found = variance_over_images(parts, strata)
    for at in (0, 1):
        expected = welch([float(value[at]) for value in values], of)
        assert (found.value[at], found.freedom[at]) == pytest.approx(expected, rel=1e-9)


def test_tasks_without_common_images_add_up() -> None:
    rng = np.random.default_rng(0)
    sizes, parts, labels, apart = (30, 50, 20), [], [], []
    for at, n in enumerate(sizes):
        of, before = np.arange(n) % 3 != 0, sum(sizes[:at])
        held = rng.normal(size=(2, n)) + of
        part, column = np.zeros((2, sum(sizes))), np.full(sum(sizes), 2)
        part[:, before : before + n] = image_parts(placements(of, held), of) / 3
        column[before : before + n] = of
        parts.append(part)
        labels.append(column)
        apart.append(of_one_task(of.astype(int), held))
    strata, every = strata_of(np.stack(labels)), np.sum(parts, axis=0)
    own, pairs = variance_over_images(every, strata), variance_of_pairs(every, strata)
    assert own.value == pytest.approx(sum(each.value for _, each, _ in apart) / 9, rel=1e-9)
    assert own.spread == pytest.approx(sum(each.spread for _, each, _ in apart) / 81, rel=1e-9)
    assert pairs.value[0, 1] == pytest.approx(sum(each.value[0, 1] for *_, each in apart) / 9, rel=1e-9)


def test_the_order_of_images_does_not_matter() -> None:
    labels, scores = one_vs_rest(5)
    order = np.random.default_rng(0).permutation(labels.shape[1])
    one, other = (
        (variance_over_images(parts, strata), variance_of_pairs(parts, strata))
        for parts, strata in (
            (summed(labels, scores), strata_of(labels)),
            (summed(labels[:, order], scores[:, :, order]), strata_of(labels[:, order])),
        )
    )
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first.value, second.value, rtol=1e-9, atol=0)
        np.testing.assert_allclose(first.spread, second.spread, rtol=1e-9, atol=0)


def test_parts_sum_to_nothing_over_each_class() -> None:
    for seed in range(50):
        labels, scores = images(seed)
        parts = image_parts(placements(labels, scores), labels)
        for label in (0, 1):
            assert parts[:, labels == label].sum(axis=1) == pytest.approx([0, 0], abs=1e-12)


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
def test_swapping_methods_swaps_the_sign_and_nothing_else(scores: np.ndarray, rest: np.ndarray) -> None:
    labels = np.concatenate([[0, 0, 1, 1], rest])
    (auroc, _, one), (other_auroc, _, other) = of_one_task(labels, scores), of_one_task(labels, scores[::-1])
    assert (auroc == other_auroc[::-1]).all()
    assert one.value[0, 1] == other.value[0, 1] >= 0
    assert 0 <= one.p(auroc[0] - auroc[1])[0, 1] <= 1


@given(arrays(np.float64, (2, 12), elements=st.floats(-30, 30)), st.sampled_from(["exp", "cube", "shift"]))
def test_only_the_order_of_scores_counts(scores: np.ndarray, way: str) -> None:
    """A strictly monotone transform of one method's scores changes nothing, to the bit."""
    scores, labels = np.round(scores, 2), np.arange(12) % 2
    change = {"exp": np.exp, "cube": lambda x: x**3, "shift": lambda x: 5 * x + 100}[way]
    one, other = of_one_task(labels, np.stack([change(scores[0]), scores[1]])), of_one_task(labels, scores)
    assert (one[2].value == other[2].value).all()
    assert (one[0] == other[0]).all()


@given(arrays(np.float64, (2, 12), elements=small))
def test_turning_labels_and_scores_round_changes_nothing(scores: np.ndarray) -> None:
    labels = np.array([0] * 5 + [1] * 7)
    one, other = of_one_task(labels, scores), of_one_task(1 - labels, -scores)
    assert one[0] == pytest.approx(other[0], abs=1e-12)
    assert one[2].value == pytest.approx(other[2].value, abs=1e-12)
