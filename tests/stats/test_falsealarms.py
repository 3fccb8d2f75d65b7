"""Rates of false alarms: exact intervals, and the law of a conformal threshold, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.stats.falsealarms import (
    Calibrated,
    alarm_band,
    combined_p,
    draws,
    exact_interval,
    excess_p,
    resampled,
)


def test_exact_intervals_are_scipys() -> None:
    for found, of in ((0, 20), (3, 20), (20, 20), (47, 467)):
        theirs = stats.binomtest(found, of).proportion_ci(method="exact")
        assert exact_interval(found, of) == pytest.approx((theirs.low, theirs.high))
    assert exact_interval(0, 20)[1] == pytest.approx(0.168, abs=5e-4)
    assert exact_interval(0, 0) == (0, 1)
    assert exact_interval(2.5, 20)[0] > exact_interval(2, 20)[0]


def simulated(rng: np.random.Generator, n: int, rank: int, good: int, *, shift: float = 0.0) -> Calibrated:
    value = np.sort(rng.random(n))[rank - 1]
    return Calibrated(int((rng.random(good) + shift > value).sum()), good, n, rank)


def test_the_test_of_validity_rejects_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [
        combined_p(
            [
                excess_p(simulated(rng, n, rank, good))
                for n, rank, good in ((39, 38, 30), (99, 95, 20), (200, 190, 50))
            ]
        )
        for _ in range(600)
    ]
    assert 0.025 < np.mean(np.array(found) < 0.05) < 0.08
    assert combined_p([excess_p(simulated(rng, 99, 95, 200, shift=0.2))]) < 1e-4
    assert np.isnan(combined_p([]))


def test_the_band_holds_the_pooled_rate() -> None:
    rng, shapes = np.random.default_rng(1), ((39, 38, 30), (99, 95, 20), (200, 190, 50))
    low, high = alarm_band([Calibrated(0, good, n, rank) for n, rank, good in shapes])
    pooled = [
        sum(simulated(rng, n, rank, good).alarms for n, rank, good in shapes) / 100 for _ in range(2000)
    ]
    inside = np.mean([low <= rate <= high for rate in pooled])
    assert 0.94 <= inside <= 0.99
    assert alarm_band([]) == (0, 1)


def test_resampled_f1_is_that_of_the_drawn_images() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    labels = np.array([0.0] * 12 + [1.0] * 9)
    scores = np.round(rng.normal(size=21) + labels, 1)
    drawn = draws(labels, replicates=40, seed=3)
    assert (drawn[:, labels == 0].sum(1) == 12).all()
    assert (drawn[:, labels == 1].sum(1) == 9).all()
    found = resampled([labels], [scores], [0.4], [drawn])
    for weights, f1, regret in zip(drawn, found.f1, found.regret, strict=True):
        assert f1 == pytest.approx(f1_score(labels, scores > 0.4, sample_weight=weights, zero_division=0))
        best = max(f1_score(labels, scores >= t, sample_weight=weights, zero_division=0) for t in scores)
        assert regret == pytest.approx(best - f1)
        assert regret >= 0
    assert resampled([labels], [scores], [99.0], [drawn]).f1.max() == 0
    np.testing.assert_array_equal(drawn, draws(labels, replicates=40, seed=3))
