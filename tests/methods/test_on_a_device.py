"""Every method on a stand-in GPU: nothing mixed, the CPU's scores, and what a step may ask of the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bench.features.provider import FeatureProvider
from bench.run.standin import Counts, standin
from bench.run.standin.steps import Steps, count_steps
from tests import pictures
from tests.features_as_images import images, scores
from tests.methods.test_contract import NAMES, OPTIONAL, SMALL, TEST, TRAIN
from tests.pictures import ON_PIXELS, surfaces

Make = Callable[..., Any]
#: For a few mini-batches each, rather than for good scores.
SHORT: dict[str, dict[str, Any]] = {
    **SMALL,
    "cap": {"epochs": 3, "batch": 30},
    "plume": {"epochs": 3, "batch": 30, "lr": 0.01},
    "deep_svdd_features": {"epochs": 3, "batch": 30},
    "sla2p": {"transforms": 16, "dimensions": 16},
}
#: On pixels, likewise.
FEW: dict[str, dict[str, Any]] = {
    name: {
        key: min(value, 3) if key in ("epochs", "pretrain_epochs") else value for key, value in each.items()
    }
    for name, each in ON_PIXELS.items()
}
#: Methods whose computation is another library's, which asks for a real device.
ELSEWHERE = {*OPTIONAL}
#: Packets to the device in a usual step, for which the host does not wait; others have one or none.
PACKETS: dict[str, int] = {
    "adl": 16, "deep_sad": 2, "devnet": 4, "hscl": 4, "joint_optimization": 3, "kdad": 5, "mhrot": 4,
    "msc": 3, "multicue": 16, "panda_oe": 2, "reverse_distillation": 3, "rotnet": 4,
}  # fmt: skip
#: For how many calls the host may wait while it scores, by method; others have `IN_SCORE`.
SCORE_BUDGET: dict[str, int] = {"ephad": 9}
IN_SCORE = 8
#: Sides in pixels of networks trained from pixels. Images of other sides are resized, on a device with up to
#: one grey level of difference, which training carries on; others' images have `pictures.SIDE`.
SIDES = {
    "autoencoder": 28, "deep_sad": 28, "deep_svdd": 28, "hscl": 16, "mhrot": 16, "rotnet": 16,
}  # fmt: skip


@pytest.fixture
def counts() -> Iterator[Counts]:
    with standin() as found:
        yield found


@pytest.fixture
def short(make: Make) -> Make:
    return lambda name: make(name, **SHORT.get(name, FEW.get(name, {})))


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_scores_on_features_are_the_cpus(name: str, short: Make) -> None:
    expected = scores(short(name), TRAIN, TEST)
    with standin():
        close(scores(short(name), TRAIN, TEST, device="cuda"), expected)


@pytest.mark.parametrize("name", sorted(set(ON_PIXELS) - ELSEWHERE))
def test_scores_on_pixels_are_the_cpus_and_no_step_waits(name: str, short: Make) -> None:
    side = SIDES.get(name, pictures.SIDE)
    train, test = surfaces(16, side=side), surfaces(4, seed=5, side=side)
    expected = pictures.scores(short(name), pictures.images(train), pictures.images(test), side=side)
    with standin() as counts:
        on = FeatureProvider(pictures.tiny(), "cuda", cache=None)
        method, given = short(name), pictures.images(train, on)
        steps = count_steps(counts, lambda: pictures.fitted(method, given, on=on, side=side))
        close(pictures.judged(method, pictures.images(test, on)), expected)
    no_stall(name, steps)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_no_step_waits_for_the_device(name: str, short: Make, counts: Counts) -> None:
    method = short(name)
    method.device, method.seed = torch.device("cuda"), 0
    train, test = images(TRAIN, device="cuda"), images(TEST, device="cuda")
    no_stall(name, count_steps(counts, lambda: method.fit(train)))
    counts.clear()
    method.score(test)
    asked = counts.totals()["waits"] + counts.totals()["to_host"]
    assert asked <= SCORE_BUDGET.get(name, IN_SCORE), (dict(counts.waits), dict(counts.to_host))


def no_stall(name: str, steps: Steps) -> None:
    if steps.each:
        assert not steps.stalls, f"{name}: {steps.each[0]} in its first counted step"
        assert steps.usual("to_device") <= PACKETS.get(name, 1)


@pytest.mark.parametrize("name", ["cap", "plume", "deep_svdd_features"])
def test_heads_that_are_trained_together_share_their_kernels(name: str, short: Make) -> None:
    kernels = {}
    for heads in (1, 32):
        with standin() as counts:
            methods = [short(name) for _ in range(heads)]
            for seed, method in enumerate(methods):
                method.device, method.seed = torch.device("cuda"), seed
            trains = [images(TRAIN[:60], device="cuda") for _ in methods]
            steps = count_steps(counts, lambda: type(methods[0]).fit_together(methods, trains))  # noqa: B023
        kernels[heads] = steps.usual("kernels")
        assert steps.stalls == 0
    assert not math.isnan(kernels[1])
    assert kernels[32] < 1.5 * kernels[1], kernels
