"""DeLong for many methods at once, against every anomalous image compared with every normal one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bench.stats.delong import image_parts, strata_of, variance_of_pairs
from bench.stats.overdatasets import blocked, mean_intervals
from bench.stats.placements import placements
from bench.stats.seeds import moderated_by_task
from bench.stats.variance import Variance

METHODS, IMAGES = 30, 10_000


def scores(methods: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of a tenth normal images, as in one-vs-rest, and correlated scores."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 10 != 0).astype(np.uint8)
    return labels, rng.normal(size=n) + rng.normal(size=(methods, n)) + labels


def pairs_of(labels: np.ndarray, held: np.ndarray) -> Variance:
    """Return the variances of all differences."""
    return variance_of_pairs(image_parts(placements(labels, held), labels), labels)


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
    pairs = benchmark.pedantic(pairs_of, args=(labels, held), rounds=5, warmup_rounds=1)
    few = 3 if benchmark.enabled else 1
    started = time.perf_counter()
    covariance = straightforward(labels, held[: few + 1])
    seconds = (time.perf_counter() - started) * METHODS / (few + 1)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert pairs.value[0, 1] == pytest.approx(variance, abs=1e-12)
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


def test_tasks_that_share_images(benchmark: Any) -> None:
    """30 methods, one-vs-rest over 10 classes and 10,000 images: strata, and all pairs of the mean."""
    of = np.random.default_rng(0).integers(0, 10, IMAGES)
    labels = (of != np.arange(10)[:, None]).astype(np.uint8)
    parts = np.random.default_rng(1).normal(size=(METHODS, IMAGES)) / IMAGES
    found = benchmark.pedantic(lambda: variance_of_pairs(parts, strata_of(labels)), rounds=3)
    difference = parts[0] - parts[1]
    classes = [difference[of == at] for at in range(10)]
    expected = sum(len(held) * held.var(ddof=1) for held in classes)
    assert found.value[0, 1] == pytest.approx(expected, rel=1e-9)


def test_intervals_over_data_sets(benchmark: Any) -> None:
    """30 methods on 12 data sets, studentised."""
    held = blocked(np.random.default_rng(0).uniform(0.7, 0.9, (12, METHODS)), range(12))
    found = benchmark.pedantic(mean_intervals, args=(held,), rounds=3)
    assert ((found[:, 0] < held.mean) & (held.mean < found[:, 1])).all()


def test_moderated_variances(benchmark: Any) -> None:
    """100 tasks of 3 seeds."""
    values = np.random.default_rng(0).uniform(0.7, 0.9, (100, 3))
    found = benchmark.pedantic(moderated_by_task, args=(values, np.full(100, 0.01)), rounds=10)
    assert found.value.shape == (100,)
