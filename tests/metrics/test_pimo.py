"""AUPIMO against a plain sweep over thresholds, its closed forms, and its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.metrics.pimo import NormalTail, aupimo


def tail(good: Any, upper: float = 1e-4) -> NormalTail:
    found = NormalTail(len(good), max(each.size for each in good), upper=upper)
    for each in good:
        found.add(each)
    return found


def plain(good: Any, lesion: Any, lower: float, upper: float) -> float:
    """Return AUPIMO by every threshold, on a fine grid of ln FPR."""
    thresholds = np.unique(np.concatenate([each.ravel() for each in good]))[::-1]
    rates = np.mean([[np.mean(each >= t) for t in thresholds] for each in good], axis=0)
    recall = np.array([np.mean(lesion >= t) for t in thresholds])
    x = np.linspace(np.log(lower), np.log(upper), 20_001)
    y = np.interp(x, np.log(rates), recall)
    return float(np.trapezoid(y, x) / np.log(upper / lower))


@pytest.mark.parametrize("seed", range(10))
def test_against_a_plain_sweep(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [(20, 25)] * 6 if seed % 2 else [(20, 25), (10, 30), (8, 8), (25, 25)]
    good = [rng.normal(size=size).astype(np.float32) for size in sizes]
    if seed % 3 == 0:
        good = [np.round(each, 1) for each in good]
    lesion = (rng.normal(size=60) + rng.uniform(0, 4)).astype(np.float32)
    lower = 0.02
    found = aupimo(lesion, tail(good, 0.2).curve(), lower=lower, upper=0.2)
    assert found == pytest.approx(plain(good, lesion, lower, 0.2), abs=2e-4)


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    rng = np.random.default_rng(0)
    good = [
        np.sort(rng.normal(size=(50, 50)).astype(np.float32), axis=None).reshape(50, 50) + i / 50
        for i in range(40)
    ]
    found = tail(good, 1e-3)
    assert len(found._scores) <= 1e-3 * 40 * 2500 + 1
    thresholds, rates = found.curve()
    pooled = np.concatenate([each.ravel() for each in good])
    np.testing.assert_allclose(rates, [np.mean(pooled >= t) for t in thresholds])
    assert rates[-1] > 1e-3
    assert found.pixels == pooled.size


def test_a_perfect_a_blind_and_a_random_map() -> None:
    good = [np.random.default_rng(i).random((400, 400)).astype(np.float32) for i in range(10)]
    curve = tail(good).curve()
    assert aupimo(np.full(9, 2.0), curve) == pytest.approx(1)
    assert aupimo(np.full(9, -1.0), curve) == 0
    # Recall is then FPR: (U - L) / ln(U / L).
    even = np.linspace(0, 1, 1_000_000, dtype=np.float64).astype(np.float32)
    curve = tail([even.reshape(1000, 1000)]).curve()
    assert aupimo(even, curve) == pytest.approx(9e-5 / np.log(10), rel=0.02)


def test_ties_at_the_top_are_a_straight_line_from_nothing() -> None:
    curve = tail([np.zeros((100, 100), np.float32)] * 3).curve()
    assert curve[1].tolist() == [pytest.approx(1.0)]
    assert aupimo(np.zeros(5), curve) == pytest.approx(9e-5 / np.log(10), rel=1e-9)  # recall = FPR
    assert aupimo(np.ones(5), curve) == pytest.approx(1)


def test_what_is_not_defined_is_not_a_number() -> None:
    curve = tail([np.zeros((10, 10), np.float32)]).curve()
    assert np.isnan(aupimo(np.empty(0), curve))
    assert np.isnan(aupimo(np.ones(3), NormalTail(0, 0).curve()))
