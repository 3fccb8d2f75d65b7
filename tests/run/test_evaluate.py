"""``bench.evaluate`` and ``bench.compare``: what goes in, what comes out; both agree with references."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

import bench
import bench.report.evaluation
import bench.run.evaluate
from bench import AnobenchError, Images, Method, Scores
from bench.run.evaluate import evaluate

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [60, 40])
TRAIN, TEST = RNG.normal(size=(150, 6)), RNG.normal(size=(100, 6)) + 1.0 * LABELS[:, None]
GOOD = RNG.integers(0, 120, (24, 8, 8, 3), dtype=np.uint8)
BAD = RNG.integers(60, 200, (8, 8, 8, 3), dtype=np.uint8)
IMAGES, OF_IMAGES = np.concatenate([GOOD[16:], BAD]), np.repeat([0, 1], 8)


class Brightness(Method):
    """Scores an image by its mean, and a pixel by its value."""

    backbone = "default"

    def fit(self, train: Images) -> None:
        self.mean = train.features("pixels[size=8]").mean()

    def score(self, test: Images) -> Scores:
        maps = torch.cat([batch.float().mean(1) for batch in test.batches(4, size=(8, 8))])
        return Scores(maps.mean((1, 2)) - self.mean, maps)


class Sums:
    """The least that is a detector: PyOD's way round."""

    def fit(self, features: NDArray[Any]) -> None:
        self.centre = features.mean(0)

    def decision_function(self, features: NDArray[Any]) -> NDArray[Any]:
        return np.abs(features - self.centre).sum(1)


@pytest.mark.parametrize("model", [OneClassSVM(), LocalOutlierFactor(novelty=True)])
def test_scikit_learn_points_the_right_way(model: Any) -> None:
    found = evaluate(model, TRAIN, TEST, LABELS)
    reference = -model.fit(TRAIN).decision_function(TEST)
    assert found.values[0] == pytest.approx(reference, rel=1e-9)
    assert found.metrics["auroc"] == pytest.approx(roc_auc_score(LABELS, reference))
    assert found.metrics["ap"] == pytest.approx(average_precision_score(LABELS, reference))
    assert (found.seeds, found.random) == ((0,), False)
    assert set(found.seconds) == {"fit", "score"}


def test_likelihoods_and_detectors_of_ones_own() -> None:
    mixture = evaluate(GaussianMixture(random_state=0), TRAIN, TEST, LABELS)
    assert mixture.metrics["auroc"] > 0.8
    assert evaluate(Sums(), torch.tensor(TRAIN), torch.tensor(TEST), LABELS.tolist()).metrics["auroc"] > 0.8


def test_seeds_of_a_random_detector() -> None:
    forest = IsolationForest(n_estimators=20)
    found = evaluate(forest, TRAIN, TEST, LABELS, seeds=range(5), name="forest")
    assert found.values.shape == (5, 100)
    assert len({row.tobytes() for row in found.values}) == 5
    assert not hasattr(forest, "estimators_"), "the user's own object stays as it was"
    again = evaluate(forest, TRAIN, TEST, LABELS, seeds=range(5))
    assert again.values.tobytes() == found.values.tobytes()
    frame = found.frame()
    assert frame.groupby("seed")["score"].apply(
        lambda each: roc_auc_score(LABELS, each)
    ).mean() == pytest.approx(found.metrics["auroc"])
    low, high = found.interval()
    assert 0.5 < low < found.metrics["auroc"] < high < 1
    assert "AUROC" in repr(found)
    assert "forest" in repr(found)
    few = evaluate(forest, TRAIN, TEST, LABELS, seeds=(0, 1))
    assert all(math.isnan(end) for end in few.interval())
    fixed = evaluate(IsolationForest(n_estimators=20, random_state=3), TRAIN, TEST, LABELS, seeds=range(5))
    assert fixed.seeds == (0,)


def test_intervals_hold_the_metric() -> None:
    found = evaluate(OneClassSVM(), TRAIN, TEST, LABELS)
    for metric in ("auroc", "ap", "fpr95", "f1max"):
        low, high = found.interval(metric)
        assert low <= found.metrics[metric] <= high
        assert high - low < found.interval(metric, level=0.999)[1] - found.interval(metric, level=0.999)[0]
    with pytest.raises(AnobenchError, match="no interval of 'beauty'"):
        found.interval("beauty")


def test_every_way_to_give_images(tmp_path: Path) -> None:
    paths = []
    for at, pixels in enumerate(IMAGES):
        paths.append(tmp_path / f"{at}.png")
        Image.fromarray(pixels).save(paths[-1])
    ways = [
        (GOOD[:16], IMAGES),
        (GOOD[:16] / 255, list(IMAGES)),
        (torch.from_numpy(GOOD[:16]).permute(0, 3, 1, 2), torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255),
        ([Image.fromarray(each) for each in GOOD[:16]], paths),
        ([Image.fromarray(each) for each in GOOD[:16]], [str(path) for path in paths]),
    ]
    found = [evaluate("dn2[k=2]", *way, OF_IMAGES, backbone="pixels[size=8]") for way in ways]
    for each in found:
        assert each.values == pytest.approx(found[0].values)
        assert each.metrics["auroc"] > 0.9


def test_methods_selectors_and_wrappers() -> None:
    own = evaluate(Brightness(), GOOD[:16], IMAGES, OF_IMAGES)
    assert np.ptp(own.values[0] - IMAGES.mean((1, 2, 3))) < 0.01
    trimmed = evaluate("trim[base=dn2,keep=0.5]", GOOD[:16], IMAGES, OF_IMAGES, backbone="pixels[size=8]")
    assert trimmed.metrics["auroc"] > 0.8
    rows = evaluate("dn2", TRAIN, TEST, LABELS)
    assert rows.metrics["auroc"] > 0.8


def test_masks_give_pixel_metrics() -> None:
    masks = [np.zeros((8, 8), int) for _ in IMAGES]
    images = np.full((16, 8, 8, 3), 50, np.uint8)
    for at in range(8, 16):
        masks[at][2:5, 3:6] = 1
        images[at][masks[at] == 1] = 250
    found = evaluate(Brightness(), GOOD[:16], images, OF_IMAGES, masks=masks)
    assert found.metrics["pixel_auroc"] == 1
    assert "pixel_auroc" not in evaluate(Sums(), TRAIN, TEST, LABELS).metrics


class Cropped(Brightness):
    """Sees the middle of each image alone, and says so."""

    def score(self, test: Images) -> Scores:
        given = super().score(test)
        assert given.maps is not None
        return Scores(given.image, given.maps[:, 2:6, 2:6] * 1e6, covers=(0.25, 0.25, 0.5, 0.5))


def test_maps_of_a_part_are_laid_over_that_part() -> None:
    masks = [np.zeros((8, 8), int) for _ in IMAGES]
    images = np.full((16, 8, 8, 3), 50, np.uint8)
    for at in range(8, 16):
        masks[at][3:5, 4:5] = 1
        images[at][masks[at] == 1] = 250
    found = evaluate(Cropped(), GOOD[:16], images, OF_IMAGES, masks=masks)
    assert found.metrics["pixel_auroc"] == 1
    assert found.metrics["aupro"] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labels": LABELS[:-1]}, "labels: expected 100 of 0"),
        ({"labels": LABELS * 2}, "labels: expected 100 of 0"),
        ({"labels": np.zeros(100)}, "both normal"),
        ({"train": GOOD}, "give the same"),
        ({"train": TRAIN[:, :3]}, "train has 3 features"),
        ({"train": TRAIN[:0]}, "nothing to fit on"),
        ({"train": np.full((5, 6), np.nan)}, "finite real numbers"),
        ({"detector": IsolationForest}, "is a class; give an object"),
        ({"detector": object()}, "object is no detector"),
        ({"detector": "dn3"}, "did you mean 'dn2'"),
        ({"detector": Brightness()}, "rows of features were given; give images"),
        ({"detector": IsolationForest(), "seeds": ()}, "seeds: expected"),
        ({"masks": [np.zeros((2, 2))]}, "masks: expected 100"),
        ({"train": [1, 2], "test": GOOD}, "train: int; expected images"),
        ({"train": "a.png", "test": GOOD}, "train: one path"),
        ({"train": GOOD * 2.0, "test": GOOD}, "floats outside"),
        ({"train": GOOD.astype(int), "test": GOOD}, "array of int64"),
        ({"train": np.zeros((2, 3, 4, 5, 6)), "test": GOOD}, "shape"),
    ],
)
def test_mistakes(given: dict[str, Any], said: str) -> None:
    whole: dict[str, Any] = {"detector": Sums(), "train": TRAIN, "test": TEST, "labels": LABELS} | given
    with pytest.raises(AnobenchError, match=said):
        evaluate(**whole)


def test_a_detectors_own_error_comes_as_it_is() -> None:
    class Bad(Sums):
        def decision_function(self, features: NDArray[Any]) -> NDArray[Any]:
            return np.full(len(features), np.nan)

    with pytest.raises(AnobenchError, match="scores are NaN"):
        evaluate(Bad(), TRAIN, TEST, LABELS)


def test_comparing_two() -> None:
    a = evaluate(OneClassSVM(), TRAIN, TEST, LABELS)
    b = evaluate(Sums(), TRAIN, TEST, LABELS)
    found = bench.compare(a, b)
    assert found.difference == pytest.approx(b.metrics["auroc"] - a.metrics["auroc"])
    assert found.low < found.difference < found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    back = bench.compare(b, a)
    assert (back.p, back.difference) == pytest.approx((found.p, -found.difference))
    same = bench.compare(a, a)
    assert (same.difference, same.p, same.equivalent) == (0, 1, True)
    near = evaluate(OneClassSVM(nu=0.501), TRAIN, TEST, LABELS)
    assert bench.compare(a, near, rope=0.2).equivalent
    other = evaluate(Sums(), TRAIN, TEST, 1 - LABELS)
    with pytest.raises(AnobenchError, match="different test images"):
        bench.compare(a, other)


def test_comparing_random_detectors_takes_seeds() -> None:
    forest = IsolationForest(n_estimators=10)
    few = [evaluate(forest, TRAIN, TEST, LABELS, seeds=range(n, n + 2)) for n in (0, 2)]
    found = bench.compare(*few)
    assert math.isnan(found.p)
    assert "2 of the 5 seeds" in found.why
    assert not found.equivalent
    many = [evaluate(forest, TRAIN, TEST, LABELS, seeds=range(n, n + 5)) for n in (0, 5)]
    assert bench.compare(*many).p > 0.001
    assert bench.compare(many[0], evaluate(Sums(), TRAIN, TEST, LABELS)).p <= 1


@pytest.mark.parametrize("module", [bench.run.evaluate, bench.report.evaluation])
def test_the_examples_run(module: Any) -> None:
    ended = doctest.testmod(module)
    assert ended.attempted > 5
    assert not ended.failed


@pytest.mark.parametrize("given", [1, [0.1, 0.9]])
def test_only_evaluations_are_compared(given: Any) -> None:
    with pytest.raises(AnobenchError, match=f"two results of bench.evaluate, got {type(given).__name__}"):
        bench.compare(given, given)
