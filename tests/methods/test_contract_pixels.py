"""What every method that trains on pixels owes the harness, on few small images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.errors import ScoreError
from bench.metrics.image import auroc
from bench.suite.registry import Registry
from tests.methods.test_contract import OPTIONAL
from tests.pictures import ON_PIXELS, images, judged, lit, scores, stained, surfaces

NAMES = sorted(ON_PIXELS)
NORMAL, MIXED = surfaces(24), np.concatenate([surfaces(8, seed=5), stained(8, seed=7)])
TRAIN, TEST = images(NORMAL), images(MIXED)
LABELS = np.repeat([0, 1], 8)
#: Methods that are asked which way is up: they can only learn it from pictures that tell.
UPRIGHT = {"mhrot", "rotnet"}

Make = Callable[..., Any]


def made(make: Make, name: str) -> Any:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{name} needs an optional extra")
    return make(name, **ON_PIXELS[name])


@pytest.mark.parametrize("name", NAMES)
def test_higher_is_more_anomalous(name: str, make: Make) -> None:
    train, test = (images(lit(NORMAL)), images(lit(MIXED))) if name in UPRIGHT else (TRAIN, TEST)
    given = scores(made(make, name), train, test)
    assert given.shape == (16,)
    assert np.isfinite(given).all()
    assert auroc(LABELS, given) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    name: str, make: Make, stock: Registry
) -> None:
    first, second, other = (scores(made(make, name), TRAIN, TEST, seed=seed) for seed in (3, 3, 4))
    assert first.tobytes() == second.tobytes()
    assert (first.tobytes() != other.tobytes()) == bool(stock.methods[name].attributes.get("stochastic"))


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_the_company(name: str, make: Make) -> None:
    method = made(make, name)
    together = scores(method, TRAIN, TEST)
    alone = np.concatenate([judged(method, TEST[[i]]) for i in (0, 7, 15)])
    np.testing.assert_allclose(alone, together[[0, 7, 15]], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_training_images(name: str, make: Make, n: int) -> None:
    if (name, n) == ("anomalib", 1):
        method = made(make, name)
        with pytest.raises(ScoreError, match="are NaN"):  # anomalib's own Gaussian of one image
            scores(method, TRAIN[:1], TEST)
        return
    assert np.isfinite(scores(made(make, name), TRAIN[:n], TEST)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_test_images_is_kept(name: str, make: Make) -> None:
    method = made(make, name)
    given = scores(method, TRAIN, TEST)
    turned = judged(method, TEST[::-1])
    np.testing.assert_allclose(turned[::-1], given, rtol=1e-5)
