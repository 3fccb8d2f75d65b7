"""The bootstrap over images: each resample by definition, the variance by DeLong, and seeds beside images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from bench.stats.bootstrap import TestSet, bootstrap_aurocs, plus_seeds, resample, with_seeds
from bench.stats.delong import placements
from tests.stats.cases import TENS, images


def one_vs_rest(seed: int, classes: int = 4, each: int = 6) -> list[TestSet]:
    """Return the tasks of a data set whose classes are each normal once; not in order of classes."""
    of = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), each))
    return [TestSet((of != task).astype(np.uint8), np.arange(len(of))) for task in range(classes)]


def repeated(test: TestSet, scores: np.ndarray, times: np.ndarray) -> float:
    """Return the AUROC of the resample written out: each image as often as it was drawn (scikit-learn)."""
    often = times[test.images]
    order = np.unique(scores, return_inverse=True)[1]
    return float(roc_auc_score(np.repeat(test.labels, often), np.repeat(order, often)))


@pytest.mark.parametrize("seeds", TENS[:20], ids=str)
def test_every_resample_by_definition(seeds: range) -> None:
    for seed in seeds:
        labels, scores = images(seed)
        rng = np.random.default_rng(seed)
        places = rng.permutation(len(labels) + 3)[: len(labels)]  # some images belong to other tasks
        tests = [TestSet(labels, places), TestSet(np.array([0, 1], np.uint8), np.sort(places)[:2])]
        counts = resample(tests, draws=4, seed=seed)
        found = bootstrap_aurocs(tests[0], scores[0], counts)
        for at in range(4):
            if len(set(np.repeat(labels, counts[places, at]))) == 2:
                expected = repeated(tests[0], scores[0], counts[:, at])
                assert found[at] == pytest.approx(expected, abs=1e-9), seed


def test_one_resample_for_all_tasks_keeps_each_ones_classes() -> None:
    tests = one_vs_rest(0)
    counts = resample(tests, draws=600, seed=1)
    assert counts.shape == (24, 600)
    for test in tests:
        for label in (0, 1):
            assert (
                counts[test.images[test.labels == label]].sum(axis=0) == (test.labels == label).sum()
            ).all()
    assert abs(counts.mean() - 1) < 1e-12
    # Each image is left out with probability (1 - 1/6)⁶ = 0.335; 14,400 draws, five standard errors.
    assert (counts == 0).mean() == pytest.approx((5 / 6) ** 6, abs=0.02)


def test_tasks_of_their_own_images_are_drawn_apart() -> None:
    tests = [TestSet(np.array([0, 0, 1, 1], np.uint8), np.arange(4) + 4 * at) for at in range(2)]
    counts = resample(tests, draws=2000, seed=0).astype(float)
    assert abs(np.corrcoef(counts[0], counts[4])[0, 1]) < 0.1
    assert np.corrcoef(counts[0], counts[1])[0, 1] < -0.9


def test_an_image_that_no_task_has_is_never_drawn() -> None:
    counts = resample([TestSet(np.array([0, 1, 1], np.uint8), np.array([5, 1, 3]))], draws=50)
    assert (counts.sum(axis=1) > 0).tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize("seed", range(4))
def test_its_variance_is_delongs(seed: int) -> None:
    """For one task, up to the factor (n - 1) / n of a bootstrap and the error of 4,000 draws."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [80, 120]).astype(np.uint8)
    shared = rng.normal(size=200)
    scores = np.stack([shared + rng.normal(size=200) + gap * labels for gap in (1.0, 1.5)])
    test = TestSet(labels, np.arange(200))
    counts = resample([test], draws=4000, seed=seed)
    drawn = np.stack([bootstrap_aurocs(test, each, counts) for each in scores])
    expected = placements(labels, scores).covariance
    np.testing.assert_allclose(np.cov(drawn), expected, rtol=0.12)


def test_shared_images_correlate_tasks() -> None:
    """What one resample for all tasks is for: the variance of the mean is that of Obuchowski's sums."""
    rng = np.random.default_rng(0)
    tests = one_vs_rest(0, classes=5, each=40)
    of_image = rng.normal(size=200)
    scores = [0.8 * test.labels + of_image + 0.3 * rng.normal(size=200) for test in tests]
    counts = resample(tests, draws=3000)
    drawn = np.mean([bootstrap_aurocs(t, s, counts) for t, s in zip(tests, scores, strict=True)], axis=0)
    # Placements of each image summed over the tasks that it is in; the images of a class are one stratum.
    sums, classes = np.zeros(200), np.stack([t.labels for t in tests]).argmin(axis=0)
    for test, score in zip(tests, scores, strict=True):
        held = placements(test.labels, score)
        sums[test.labels == 1] += held.anomalous[0] / (test.labels == 1).sum()
        sums[test.labels == 0] += held.normal[0] / (test.labels == 0).sum()
    variance = sum(40 * sums[classes == at].var() for at in range(5)) / 25
    apart = sum(placements(t.labels, s).covariance[0, 0] for t, s in zip(tests, scores, strict=True)) / 25
    assert drawn.var() == pytest.approx(variance, rel=0.12)
    assert abs(drawn.var() / apart - 1) > 0.2, "tasks would be independent"


def test_with_seeds_by_its_formula() -> None:
    """Checked digit by digit for three seeds; Satterthwaite's degrees of freedom."""
    seeds, draws = [0.01, 0.03, 0.02], np.array([0.0, 0.01, 0.02, 0.03, 0.04])
    images_part, seeds_part = 0.00025, 0.0001 / 3
    variance = images_part + seeds_part
    freedom = variance**2 / (seeds_part**2 / 2)
    found = with_seeds(seeds, draws)
    assert (found.estimate, found.se) == pytest.approx((0.02, variance**0.5), abs=1e-12)
    assert plus_seeds(images_part, seeds) == pytest.approx((variance, freedom), rel=1e-12)
    assert plus_seeds(images_part, [0.5]) == plus_seeds(images_part, [0.5, 0.5]) == (images_part, np.inf)
    reach = t.ppf(0.975, freedom) * variance**0.5
    assert (found.low, found.high) == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-12)
    assert found.p == pytest.approx(2 * t.sf(0.02 / variance**0.5, freedom), abs=1e-12)


def test_seeds_never_multiply_the_images() -> None:
    """However many seeds: the images' part stays, and alike seeds add nothing to be sure of."""
    draws = np.random.default_rng(0).normal(0.02, 0.01, 500)
    one, many = with_seeds([0.02], draws), with_seeds([0.02] * 50, draws)
    assert (one.se, one.p) == (many.se, many.p)
    assert one.se == pytest.approx(draws.std(ddof=1))


def test_nothing_varies() -> None:
    assert with_seeds([0.0], np.zeros(9)).p == 1.0
    assert with_seeds([0.1], np.full(9, 0.1)).p == 0.0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([0, 1], [1.0]), ([0, 1], [np.nan, 1.0]), ([1, 1], [1.0, 2.0]), ([0, 0], [1.0, 2.0])],
)
def test_bad_input_is_refused(labels: list[int], scores: list[float]) -> None:
    test = TestSet(np.array(labels, np.uint8), np.arange(2))
    with pytest.raises(ValueError, match="expected scores without NaN"):
        bootstrap_aurocs(test, scores, np.ones((2, 3), np.uint16))


@given(st.integers(0, 10_000), st.sampled_from(["exp", "turn"]))
def test_only_the_order_of_scores_counts(seed: int, way: str) -> None:
    rng = np.random.default_rng(seed)
    test = one_vs_rest(seed)[0]
    scores = np.round(rng.normal(size=24), 1)
    counts = resample([test], draws=5, seed=seed)
    found = bootstrap_aurocs(test, scores, counts)
    if way == "exp":
        assert (bootstrap_aurocs(test, np.exp(scores), counts) == found).all()
    else:
        np.testing.assert_allclose(bootstrap_aurocs(test, -scores, counts), 1 - found, atol=1e-12)
