"""Random cases for the statistics: small and large n, ties, zeros, perfect separation, methods alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]

#: Seeds of random cases, ten a test: a test of its own for each of hundreds costs more than what it tests.
TENS = [range(start, start + 10) for start in range(0, 300, 10)]


def images(seed: int, methods: int = 2) -> tuple[NDArray[np.uint8], Floats]:
    """Return labels (n,) and scores (methods, n) with at least two images of each class."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([4, 5, 8, 20, 60, 200]))
    labels = (rng.random(n) < rng.choice([0.2, 0.5, 0.8])).astype(np.uint8)
    labels[:4] = 0, 1, 0, 1
    shared = rng.normal(size=n)
    gap = rng.choice([-1.0, 0.0, 1.0, 3.0, 30.0], size=(methods, 1))
    scores = rng.choice([0.0, 0.7, 1.0]) * shared + rng.normal(size=(methods, n)) + gap * labels
    if seed % 3 == 0:
        scores = np.round(scores)
    if seed % 7 == 0:
        scores[:, rng.random(n) < 0.2] = np.inf
    if seed % 11 == 0:
        scores[1] = scores[0]
    if seed % 13 == 0:
        scores[1] = 2.0
    return labels, scores


def differences(seed: int, largest: int = 60) -> Floats:
    """Return paired differences, shape (n,): ties and zeros in most, sometimes nothing but zeros."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, largest + 1))
    d = rng.normal(rng.choice([-1.0, 0.0, 0.5]), 1.0, n)
    if seed % 2 == 0:
        d = np.round(d * 2) / 2
    if seed % 10 == 0:
        d = np.abs(d)
    if seed % 50 == 0:
        d = np.zeros(n)
    return d


def table(seed: int, *, least: int = 2, data_sets: int = 12, methods: int = 7) -> Floats:
    """Return values (data sets, methods), with ties in every second case."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(least, data_sets + 1)), int(rng.integers(2, methods + 1))
    values = rng.normal(size=(n, k)) + rng.choice([0.0, 0.3, 2.0]) * np.arange(k)
    return np.round(values) if seed % 2 == 0 else values


def by_definition(labels: NDArray[np.uint8], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return AUROCs and the parts of their covariance over anomalous and over normal images.

    As in DeLong et al. 1988, equations 2 to 6, from every pair of images.
    """
    x, y = scores[:, labels == 1], scores[:, labels == 0]
    (k, m), n = x.shape, y.shape[1]
    table = (y[:, None, :] < x[:, :, None]) + 0.5 * (y[:, None, :] == x[:, :, None])
    theta, v10, v01 = table.mean(axis=(1, 2)), table.mean(axis=2), table.mean(axis=1)
    s10, s01 = np.zeros((k, k)), np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10[r, s] = ((v10[r] - theta[r]) * (v10[s] - theta[s])).sum() / (m - 1)
            s01[r, s] = ((v01[r] - theta[r]) * (v01[s] - theta[s])).sum() / (n - 1)
    return theta, s10 / m, s01 / n


def welch(parts: Sequence[float], freedom: Sequence[float]) -> tuple[float, float]:
    """Return a sum of variances and its degrees of freedom: squares over ν + 2, 2 subtracted, at most all."""
    total = sum(parts)
    spread = sum(part**2 / (of + 2) for part, of in zip(parts, freedom, strict=True))
    every = sum(of for part, of in zip(parts, freedom, strict=True) if part)
    return total, min(total**2 / spread - 2, every)


def joined(*sums: tuple[float, float]) -> tuple[float, float]:
    """Return the sum of variances and its cautious degrees of freedom, of variances and theirs."""
    total, of = sums[0]
    for value, freedom in sums[1:]:
        if total + value:
            both = total + value
            of = 1 / (np.sqrt(total / both) / of + np.sqrt(value / both) / freedom)
        total += value
    return total, of


def delong_test(
    labels: NDArray[np.uint8], first: Floats, second: Floats, *, seeds: float = 0.0, of_seeds: float = 1.0
) -> tuple[float, float]:
    """Return DeLong's difference of two AUROCs and its p value by Student's t.

    `seeds` is a variance over seeds beside that over images, estimated with `of_seeds` degrees of freedom.
    """
    theta, anomalous, normal = by_definition(labels, np.stack([first, second]))
    parts = [of[0, 0] + of[1, 1] - 2 * of[0, 1] for of in (anomalous, normal)]
    counts = [(labels == 1).sum() - 1, (labels == 0).sum() - 1]
    value, freedom = joined(welch(parts, counts), (seeds, of_seeds))
    difference = float(theta[0] - theta[1])
    return difference, float(2 * student.sf(abs(difference) / np.sqrt(value), freedom))
