"""Random cases for the statistics: small and large n, ties, zeros, perfect separation, methods alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.stats.delong import Difference, delong_pairs, placements

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


def delong_test(labels: NDArray[np.uint8], first: Floats, second: Floats) -> Difference:
    """Return the difference of two AUROCs on the same images, its interval and its paired test."""
    pairs = delong_pairs(placements(labels, np.stack([first, second])))
    found = (pairs.difference, pairs.low, pairs.high, pairs.se, pairs.p)
    return Difference(*(float(matrix[0, 1]) for matrix in found))
