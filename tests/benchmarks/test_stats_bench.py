"""DeLong for many methods at once, against every anomalous image compared with every normal one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bench.stats.bootstrap import TestSet, bootstrap_aurocs, resample
from bench.stats.delong import delong_pairs, placements
from bench.stats.overall import overall

METHODS, IMAGES = 30, 10_000


def scores(methods: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of a tenth normal images, as in one-vs-rest, and correlated scores."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 10 != 0).astype(np.uint8)
    return labels, rng.normal(size=n) + rng.normal(size=(methods, n)) + labels


def straightforward(labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the covariance of AUROCs, O(n²): a table of all pairs a method."""
    above, below = [], []
    for row in held:
        x, y = row[labels == 1][:, None], row[labels == 0][None, :]
        table = (x > y) + 0.5 * (x == y)
        above.append(table.mean(axis=1))
        below.append(table.mean(axis=0))
    return np.cov(above) / len(above[0]) + np.cov(below) / len(below[0])


def test_delong(benchmark: Any) -> None:
    """30 methods × 10,000 images, all 435 pairs: aim below 1 s."""
    labels, held = scores(METHODS, IMAGES)
    pairs = benchmark.pedantic(lambda: delong_pairs(placements(labels, held)), rounds=5, warmup_rounds=1)
    few = 3 if benchmark.enabled else 1
    started = time.perf_counter()
    covariance = straightforward(labels, held[: few + 1])
    seconds = (time.perf_counter() - started) * METHODS / (few + 1)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert pairs.se[0, 1] == pytest.approx(np.sqrt(variance), abs=1e-12)
    if benchmark.enabled:
        benchmark.extra_info |= {
            "seconds": round(benchmark.stats.stats.min, 4),
            "all pairs of images ÷ ranks": round(seconds / benchmark.stats.stats.min, 1),
        }


def test_delong_grows_as_n_log_n(benchmark: Any) -> None:
    """Eight times the images: about eight times the seconds, not 64."""
    small, large = scores(METHODS, 5_000), scores(METHODS, 40_000)
    placements(*small)
    started = time.perf_counter()
    placements(*small)
    seconds = time.perf_counter() - started
    held = benchmark.pedantic(placements, args=large, rounds=3)
    assert held.auroc.shape == (METHODS,)
    if benchmark.enabled:
        benchmark.extra_info["40,000 ÷ 5,000 images"] = round(benchmark.stats.stats.min / seconds, 1)


def test_bootstrap_over_images(benchmark: Any) -> None:
    """One method on a task of 10,000 images, 1,000 resamples, against scikit-learn's AUROC."""
    from sklearn.metrics import roc_auc_score

    labels, held = scores(1, IMAGES)
    test = TestSet(labels, np.arange(IMAGES))
    counts = resample([test], draws=1000)
    drawn = benchmark.pedantic(bootstrap_aurocs, args=(test, held[0], counts), rounds=2)
    started = time.perf_counter()
    for at in range(5):
        assert roc_auc_score(labels, held[0], sample_weight=counts[:, at]) == pytest.approx(
            drawn[at], abs=1e-9
        )
    seconds = (time.perf_counter() - started) / 5 * 1000
    if benchmark.enabled:
        benchmark.extra_info["scikit-learn ÷ ours"] = round(seconds / benchmark.stats.stats.min, 1)


def test_overall_intervals(benchmark: Any) -> None:
    """30 methods on 8 data sets of 12 tasks and 3 seeds, 2,000 resamples."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(METHODS, 12, 3)) for _ in range(8)]
    found = benchmark.pedantic(overall, args=(values,), kwargs={"draws": 2000 if benchmark.enabled else 50})
    assert found.blocks == 8
