"""Features that give a method little to go by: one training image, all the same, a k beyond them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.errors import FitError
from bench.suite.registry import Registry
from tests.features_as_images import scores
from tests.pictures import ON_PIXELS

Make = Callable[..., Any]

STOCK = Registry().methods
NAMES = sorted(
    name
    for name, adapter in STOCK.items()
    if name not in ON_PIXELS and adapter.attributes.get("setting") != "control"
)
#: Parameters that end soon, and none that needs more than one image by itself.
QUICK: dict[str, dict[str, Any]] = {
    "cap": {"epochs": 1},
    "plume": {"epochs": 1, "lr": 1e-3},
    "deep_svdd_features": {"epochs": 2},
    "sla2p": {"transforms": 4, "dimensions": 8},
}
#: What a bank of one makes of methods that need more.
MORE_THAN_ONE: dict[str, tuple[type[Exception], str]] = {
    "plume": (FitError, "PLUME needs at least 2 training images"),
    "llbnad": (FitError, "1 training images cannot be cut into 3 subsets"),
    "trim": (FitError, "keep=0.5 of 1 training images is none"),
    "gmm": (FitError, "gmm needs at least 2 training images"),
    "lof": (FitError, "lof needs at least 2 training images"),
    "ephad": (FitError, "ephad needs at least 2 training images"),
    "meds": (FitError, "meds needs at least 2 training images"),
    "srr": (FitError, "srr needs at least 2 training images"),
}

pytestmark = pytest.mark.filterwarnings("ignore")  # scikit-learn has words of its own for such features

rng = np.random.default_rng(4)
TRAIN, TEST = rng.normal(size=(20, 6)) + 3, rng.normal(size=(9, 6)) * 2 + 3
SAME = np.repeat(TRAIN[:1], 20, 0)


def made(make: Make, name: str, **params: Any) -> Any:
    if name == "pyod":
        pytest.importorskip("pyod", reason="needs the extra pyod")
    return make(name, **QUICK.get(name, {}) | params)


@pytest.mark.parametrize("name", NAMES)
def test_a_bank_of_one(make: Make, name: str) -> None:
    if name in MORE_THAN_ONE:
        kind, words = MORE_THAN_ONE[name]
        with pytest.raises(kind, match=words):
            scores(made(make, name), TRAIN[:1], TEST)
        return
    given = scores(made(make, name), TRAIN[:1], TEST)
    assert given.shape == (9,)
    assert not np.isnan(given).any()


@pytest.mark.parametrize("name", NAMES)
def test_training_images_that_are_all_the_same(make: Make, name: str) -> None:
    method = made(make, name)
    given = scores(method, SAME, TEST)
    assert given.shape == (9,)
    assert not np.isnan(given).any()
    assert not np.isnan(scores(made(make, name), np.zeros((20, 6)), TEST)).any()


#: Methods by distance, which still tell near from far.
BY_DISTANCE = [
    "cap",
    "dn2",
    "mean_distance",
    "kmeans_distance",
    "whitening",
    "mahalanobis",
    "gmm",
    "kde",
    "oc_svm",
    "lof",
    "deep_svdd_features",
]


@pytest.mark.parametrize("name", BY_DISTANCE)
@pytest.mark.parametrize("train", [SAME, TRAIN[:1]])
def test_what_is_like_the_one_image_scores_below_what_is_far(
    make: Make, name: str, train: np.ndarray
) -> None:
    if len(train) == 1 and name in MORE_THAN_ONE:
        pytest.skip("needs more than one image")
    # Turned, too, for those that see directions alone.
    far = -100 * train[:1]
    given = scores(made(make, name), train, np.concatenate([train[:1], far]))
    assert np.isfinite(given).all()
    assert given[0] < given[1]


@pytest.mark.parametrize("name", ["dn2", "whitening", "kmeans_distance", "lof", "cap"])
def test_a_k_beyond_the_bank_takes_all_of_it(make: Make, name: str) -> None:
    largest = len(TRAIN) - (name == "lof")
    given, clamped = (scores(made(make, name, k=k), TRAIN, TEST) for k in (5000, largest))
    np.testing.assert_array_equal(given, clamped)


def test_as_many_gaussians_as_images_at_most(make: Make) -> None:
    given, clamped = (scores(make("gmm", components=n), TRAIN, TEST) for n in (5000, 20))
    np.testing.assert_array_equal(given, clamped)


def test_as_large_a_subsample_as_there_are_images_at_most(make: Make) -> None:
    given, clamped = (scores(make("isolation_forest", subsample=n), TRAIN, TEST) for n in (5000, 20))
    np.testing.assert_array_equal(given, clamped)
