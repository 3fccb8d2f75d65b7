"""Coresets and PatchCore, as ratios to plain implementations within one run, and their memory.

``pytest tests/benchmarks/test_patches_bench.py -s`` prints the figures. With real data at hand (screw,
through ANOBENCH_DATA) the coreset has the size of a whole category: 327,680 patches, of which 32,768 are
picked. Run as tests (``--benchmark-disable``) the sizes are small and no time is asserted.
"""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.images import Images
from bench.features.coreset import greedy_coreset
from bench.features.patches import Patches, concatenated, random_projection
from bench.suite.registry import Registry
from tests import pictures


def plain_picks(rows: torch.Tensor, count: int, first: int) -> list[int]:
    """The usual implementation: all distances to the newest pick, then the largest."""
    picks = [first]
    distance = torch.linalg.norm(rows - rows[first], dim=1)
    for _ in range(count - 1):
        picks.append(int(distance.argmax()))
        distance = torch.minimum(distance, torch.linalg.norm(rows - rows[picks[-1]], dim=1))
    return picks


def patches_of_a_category(small: bool) -> torch.Tensor:
    """Return projected patches of screw at 256 px on lite0's strides 8 and 16, or of generated surfaces."""
    matrix = random_projection(152, 128, torch.Generator().manual_seed(0))
    from bench.features.backbone import Backbones
    from bench.features.provider import FeatureProvider

    layers = "blocks.2+blocks.4"
    if small:
        provider = FeatureProvider(Backbones(), cache=None)
        train = pictures.images(pictures.surfaces(6)).bind(provider)
        return Patches("lite0[resize=128,crop=128]", layers, concatenated).rows(train, matrix)
    task = Registry().open_dataset("mvtec").task("screw")
    train = task.train.bind(FeatureProvider(Backbones()))
    return Patches("lite0[resize=256,crop=256]", layers, concatenated).rows(train, matrix)


@pytest.mark.data
def test_greedy_coreset_of_a_category(benchmark: Any) -> None:
    small = benchmark.disabled
    rows = patches_of_a_category(small)
    count, tried = len(rows) // 10, 40 if small else 300
    started = time.perf_counter()
    plain = plain_picks(rows, tried, 0)
    plain_rate = tried / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds: list[float] = []

    def lazily() -> torch.Tensor:
        began = time.perf_counter()
        picks = greedy_coreset(rows, count, first=0)
        seconds.append(time.perf_counter() - began)
        return picks

    picks = benchmark.pedantic(lazily, rounds=1, iterations=1)
    assert len(set(picks.tolist())) == count
    same = sum(a == b for a, b in zip(picks[:tried].tolist(), plain, strict=True))
    rate = count / seconds[0]
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    benchmark.extra_info.update(
        {
            "rows": len(rows),
            "picks": count,
            "seconds": round(seconds[0], 1),
            "picks a second": round(rate),
            "plain picks a second": round(plain_rate, 1),
            "ratio": round(rate / plain_rate, 1),
            f"same among the first {tried}": same,
            "memory MiB": more // 1024,
        }
    )
    if not small:
        # Plain float32 may differ at near ties, and from there on.
        assert rate > 10 * plain_rate
        assert more < 2**20


def plain_patchcore(train: Images, test: Images, share: float) -> np.ndarray:
    """PatchCore written down in PyTorch: every distance, every time."""
    patches = Patches("tiny", "layer2+layer3", concatenated)
    bank = torch.cat([m.flatten(2).mT.flatten(0, 1) for m in patches.maps(train)])
    projected = bank @ random_projection(bank.shape[1], 128, torch.Generator().manual_seed(0))
    bank = bank[plain_picks(projected, max(1, int(share * len(bank))), 0)]
    scores = []
    for maps in patches.maps(test):
        for each in maps.flatten(2).mT:
            squared = each.square().sum(1, keepdim=True) - 2 * each @ bank.T + bank.square().sum(1)
            scores.append(float(squared.clamp(min=0).sqrt().amin(1).max()))
    return np.array(scores)


def test_patchcore_against_a_plain_one(benchmark: Any) -> None:
    n = 12 if benchmark.disabled else 400
    train = pictures.images(pictures.surfaces(n))
    test = pictures.images(pictures.stained(n // 4))
    patches = Patches("tiny", "layer2+layer3", concatenated)
    for images in (train, test):  # both read their maps from memory or the network alike
        list(patches.maps(images))
    started = time.perf_counter()
    plain_scores = plain_patchcore(train, test, 0.1)
    plain = time.perf_counter() - started
    seconds: list[float] = []

    def ours() -> np.ndarray:
        began = time.perf_counter()
        params = {"backbone": "tiny", "embedding": "concatenated", "reweight": 0, "init": "random"}
        method = Registry().methods["patchcore"].load()(**params)
        given = pictures.scores(method, train, test)
        seconds.append(time.perf_counter() - began)
        return given

    given = benchmark.pedantic(ours, rounds=1, iterations=1)
    # Other first picks and projections, so other banks: the order of the images stays.
    assert np.corrcoef(given, plain_scores)[0, 1] > 0.9
    benchmark.extra_info.update(
        {"images": n, "seconds": round(seconds[0], 2), "plain": round(plain, 2), "ratio": plain / seconds[0]}
    )
