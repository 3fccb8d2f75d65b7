"""Image-level metrics against scikit-learn, their definitions at the edges, and their properties."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from bench.metrics.image import IMAGE_METRICS, auroc, average_precision, f1_max, fpr_at_tpr, image_metrics


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of both classes: small and large n, ties, infinities, all kinds of overlap."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([2, 3, 5, 17, 100, 1000]))
    labels = (rng.random(n) < rng.choice([0.1, 0.5, 0.9])).astype(np.uint8)
    labels[:2] = 0, 1
    scores = rng.normal(size=n) + labels * rng.choice([-1.0, 0.0, 1.0, 20.0])
    if seed % 3 == 0:
        scores = np.round(scores)
    if seed % 5 == 0:
        scores = scores.astype(np.float32) * 1e6
    if seed % 7 == 0:
        scores[rng.random(n) < 0.2] = rng.choice([np.inf, -np.inf])
    return labels, scores


def finite(scores: np.ndarray) -> np.ndarray:
    """Return scores in the same order without infinities, which scikit-learn refuses."""
    return np.unique(scores, return_inverse=True)[1].astype(float)


@pytest.mark.parametrize("seed", range(300))
def test_agrees_with_scikit_learn(seed: int) -> None:
    labels, scores = case(seed)
    reference = finite(scores)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, reference), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, reference), abs=1e-12
    )
    for tpr in (0.5, 0.95, 1.0):
        false, true, _ = roc_curve(labels, reference, drop_intermediate=False)
        assert fpr_at_tpr(labels, scores, tpr) == pytest.approx(false[np.argmax(true >= tpr)], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_all_at_once_are_the_single_ones(seed: int) -> None:
    labels, scores = case(seed)
    assert image_metrics(labels, scores) == {
        "auroc": auroc(labels, scores),
        "ap": average_precision(labels, scores),
        "fpr95": fpr_at_tpr(labels, scores),
        "f1max": f1_max(labels, scores),
    }
    assert tuple(image_metrics(labels, scores)) == IMAGE_METRICS


def test_perfect_and_reversed_separation() -> None:
    labels, scores = np.array([0, 0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert image_metrics(labels, scores) == {"auroc": 1.0, "ap": 1.0, "fpr95": 0.0, "f1max": 1.0}
    assert auroc(labels, -scores) == 0.0
    assert fpr_at_tpr(labels, -scores) == 1.0


def test_constant_scores() -> None:
    labels = np.array([0, 1, 0, 0])
    assert image_metrics(labels, np.full(4, 7.0)) == {"auroc": 0.5, "ap": 0.25, "fpr95": 1.0, "f1max": 0.4}
    assert auroc(labels, np.full(4, np.inf)) == 0.5


def test_infinities_are_ordered_like_numbers() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    scores = np.array([-np.inf, 1.0, 1.0, np.inf, np.inf])
    assert auroc(labels, scores) == (6 - 0.5) / 6
    assert auroc(labels, scores) == auroc(labels, np.array([0.0, 1.0, 1.0, 2.0, 2.0]))


def test_scores_of_any_range_are_not_squashed() -> None:
    """A sigmoid would collapse scores around 1e6 into ties and their AUROC to 0.5."""
    labels, scores = np.array([0, 0, 1, 1]), np.array([1e6, 1e6 + 1, 1e6 + 2, 1e6 + 3])
    assert auroc(labels, scores) == 1.0


def test_fpr_counts_an_exact_share_as_reached() -> None:
    """19 of 20 anomalies are 95 %, in floating point too."""
    scores = np.concatenate([np.arange(20.0, 0.0, -1.0), [1.5, 0.5]])
    labels = np.concatenate([np.ones(20), np.zeros(2)])
    assert fpr_at_tpr(labels, scores, 0.95) == 0.0
    assert fpr_at_tpr(labels, scores, 1.0) == 0.5


@pytest.mark.parametrize("labels", [[], [0], [1], [0, 0, 0], [1, 1, 1]])
def test_one_class_missing_is_undefined(labels: list[int]) -> None:
    scores = np.arange(len(labels), dtype=float)
    for metric in (auroc, average_precision, fpr_at_tpr):
        assert np.isnan(metric(labels, scores))
    assert image_metrics(labels, scores) == {}


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [0.1, float("nan"), 0.3], "1 of 3 scores are NaN"),
        ([0, 1, 1], [0.1, 0.2], r"\(3,\) and \(2,\)"),
        ([[0, 1]], [[0.1, 0.2]], r"\(1, 2\)"),
        ([0, 2], [0.1, 0.2], "got.*2"),
        ([0.0, float("nan")], [0.1, 0.2], "got.*nan"),
        ([-1, 1], [0.1, 0.2], "got.*-1"),
    ],
)
def test_bad_input_is_refused(labels: list[float], scores: list[float], message: str) -> None:
    for metric in (auroc, average_precision, fpr_at_tpr, image_metrics):
        with pytest.raises(ValueError, match=message):
            metric(labels, scores)


@pytest.mark.parametrize("tpr", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_outside_its_range_is_refused(tpr: float) -> None:
    with pytest.raises(ValueError, match="true positive rate"):
        fpr_at_tpr([0, 1], [0.1, 0.2], tpr)


def test_input_is_left_as_it_is() -> None:
    labels, scores = np.array([1, 0, 1]), np.array([3.0, 1.0, 2.0])
    image_metrics(labels, scores)
    assert labels.tolist() == [1, 0, 1]
    assert scores.tolist() == [3.0, 1.0, 2.0]


sizes = st.integers(2, 60)
numbers = st.one_of(st.integers(-5, 5).map(float), st.floats(allow_nan=False, width=32))


@st.composite
def tasks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(sizes)
    labels = draw(arrays(np.uint8, n, elements=st.integers(0, 1)))
    assume(0 < labels.sum() < n)
    return labels, draw(arrays(np.float64, n, elements=numbers))


@given(tasks())
def test_strictly_monotone_transforms_change_nothing(task: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = task
    ranks = finite(scores)
    for transformed in (ranks, 3.0 * ranks - 1e4, np.exp(ranks / 10), ranks**3):
        assert image_metrics(labels, transformed) == image_metrics(labels, scores)


@given(tasks())
def test_reversed_scores_mirror_the_auroc(task: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = task
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-15)
    assert auroc(1 - labels, scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-15)


@given(tasks(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(task: tuple[np.ndarray, np.ndarray], random: object) -> None:
    labels, scores = task
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert image_metrics(labels[order], scores[order]) == image_metrics(labels, scores)


@given(tasks())
def test_auroc_is_the_share_of_ordered_pairs(task: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = task
    above, below = scores[labels == 1][:, None], scores[labels == 0][None, :]
    pairs = (above > below) + 0.5 * (above == below)
    assert auroc(labels, scores) == pytest.approx(pairs.mean(), abs=1e-12)


@given(tasks())
def test_metrics_stay_in_their_range(task: tuple[np.ndarray, np.ndarray]) -> None:
    values = image_metrics(*task)
    assert all(0 <= value <= 1 for value in values.values())
    assert values["ap"] > 0


def test_importing_metrics_needs_numpy_alone() -> None:
    heavy = "('scipy', 'sklearn', 'torch', 'pandas')"
    script = f"import sys, bench.metrics.image; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("seed", range(8))
def test_f1max_is_sklearns(seed: int) -> None:
    from sklearn.metrics import precision_recall_curve

    labels, scores = case(seed)
    scores = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)  # infinities are not for it
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert f1_max(labels, scores) == pytest.approx(f1.max())
    assert np.isnan(f1_max([1, 1], [0.0, 1.0]))
