"""Many heads at once: batched against one by one, and what a step of CAP costs as the bank grows.

With a CUDA device the aim is at least 5 times the speed for 30 heads; on a CPU the matrix products are as
large either way, and little is to be gained.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

from bench.metrics.image import auroc
from bench.suite.registry import Registry
from bench.train.together import fit_many
from tests.features_as_images import images

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
#: 10 classes × 3 seeds; a few as a plain test.
HEADS, FEW = 30, 4
#: Images a bank, dimensions: the published ones on a GPU, fewer of both on a CPU.
N, D = (5000, 2048) if DEVICE.type == "cuda" else (160, 64)
#: Spread of normal features, and of anomalous ones: nearer in many dimensions, or every AUROC would be 1.
NEAR, FAR = 0.5, 0.5 * (1 + 1.6 / D**0.5)


def clock() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def bank(seed: int, *parts: tuple[int, float]) -> Any:
    """Return images of features around a common direction, so many at each spread, on the device."""
    rng = np.random.default_rng(seed)
    features = [np.abs(1 + spread * rng.normal(size=(n, D))) for n, spread in parts]
    bound = images(np.concatenate(features).astype(np.float32))
    provider: Any = bound._provider
    provider.device, provider._features = DEVICE, provider._features.to(DEVICE)
    return bound


@pytest.mark.parametrize(("name", "params"), [("cap", {"epochs": 1}), ("plume", {"epochs": 1, "lr": 1e-3})])
def test_heads_together_and_one_by_one(benchmark: Any, name: str, params: dict[str, Any]) -> None:
    heads = HEADS if benchmark.enabled else FEW
    trains = [bank(seed, (N, NEAR)) for seed in range(heads)]
    test, labels = bank(99, (100, NEAR), (100, FAR)), np.repeat([0, 1], 100)

    def fitted(at_once: int) -> list[Any]:
        methods = [Registry().methods[name].load()(**params) for _ in range(heads)]
        for seed, method in enumerate(methods):
            method.device, method.seed = DEVICE, seed
        assert all(f.error is None for f in fit_many(methods, trains, at_once=at_once, clock=clock))
        return methods

    fitted(1)
    started = clock()
    alone = fitted(1)
    seconds = clock() - started
    together = benchmark.pedantic(fitted, args=(heads,), rounds=2)
    found = np.array(
        [
            [auroc(labels, m.score(test).image.detach().cpu().numpy()) for m in pair]
            for pair in zip(alone, together, strict=True)
        ]
    )
    assert found.max() < 0.999, "else equal AUROCs would say nothing"
    apart = float(np.abs(np.diff(found)).max())
    assert apart <= 0.002
    if benchmark.enabled:
        benchmark.extra_info |= {
            "one by one ÷ together": round(seconds / benchmark.stats.stats.min, 2),
            "largest difference of AUROC in points": round(100 * apart, 3),
            "heads": heads,
            "device": str(DEVICE),
        }


@pytest.mark.parametrize("n", [500, 1000, 2000])
def test_a_step_of_cap_as_the_bank_grows(benchmark: Any, n: int) -> None:
    """The neighbour search is done once before training; a step projects the rows that occur in it."""
    method = Registry().methods["cap"].load()(epochs=1, batch=16, k=8)
    method.device, method.seed = DEVICE, 0
    train = bank(0, (n, NEAR))
    without = Registry().methods["cap"].load()(epochs=0, batch=16, k=8)
    without.device, without.seed = DEVICE, 0
    started = clock()
    without.fit(train)
    search = clock() - started
    benchmark.pedantic(method.fit, args=(train,), rounds=2, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["ms a step"] = round(1e3 * (benchmark.stats.stats.min - search) / -(-n // 16), 3)
    assert np.isfinite(method.score(train[:4]).checked(4)).all()
