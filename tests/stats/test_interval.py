"""Intervals of AUROCs: closed forms, Newcombe's equation, bounds and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from bench.stats.delong import image_parts, variance_over_images
from bench.stats.interval import perfect_interval, share_interval
from bench.stats.placements import placements
from bench.stats.variance import Variance


def interval(auroc: float, variance: float, freedom: float = 30, **how: float) -> tuple[float, float]:
    low, high = share_interval(np.array([auroc]), Variance.of([variance], freedom), **how)[0].tolist()
    return low, high


def test_against_the_formula() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a, se, level = rng.uniform(0.02, 0.98), rng.uniform(0.001, 0.2), rng.choice([0.8, 0.95, 0.99])
        freedom = int(rng.integers(1, 200))
        reach = student.ppf(0.5 + level / 2, freedom) * se / (a * (1 - a))
        logit = math.log(a / (1 - a))
        expected = [1 / (1 + np.exp(-(logit + sign * reach))) for sign in (-1, 1)]
        assert interval(a, se**2, freedom, level=level) == pytest.approx(expected, abs=1e-9)


def test_what_does_not_vary_and_what_is_not_known_has_none() -> None:
    for auroc, variance in ((1.0, 0.0), (0.0, 0.0), (0.5, 0.0), (1.0, 0.01), (0.7, math.nan)):
        assert all(map(math.isnan, interval(auroc, variance)))


def test_newcombes_bound_solves_his_equation() -> None:
    """It is the θ at which an AUROC of 1 lies z standard errors, computed at θ, away."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        m, n = (int(each) for each in rng.integers(1, 300, 2))
        level = float(rng.choice([0.9, 0.95]))
        theta, high = perfect_interval(anomalous=m, normal=n, level=level)
        half = (m + n) / 2 - 1
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        distance = (1 - theta) / math.sqrt(theta * (1 - theta) * spread / (m * n))
        assert distance == pytest.approx(norm.ppf(0.5 + level / 2), rel=1e-6)
        assert high == 1


def test_one_image_each_is_wilsons_interval() -> None:
    """With one image of a class on either side the AUROC is a share of one pair."""
    assert perfect_interval(anomalous=1, normal=1) == pytest.approx(
        proportion_confint(1, 1, method="wilson"), abs=1e-9
    )


def test_perfect_separation_of_few_proves_little() -> None:
    lows = [perfect_interval(anomalous=n, normal=n)[0] for n in (2, 5, 50, 500)]
    assert lows == sorted(lows)
    assert lows[1] < 0.75
    assert lows[-1] > 0.99


@given(st.floats(0.001, 0.999), st.floats(1e-6, 0.1), st.integers(1, 500))
def test_intervals_hold_the_estimate_and_stay_inside(auroc: float, variance: float, freedom: int) -> None:
    low, high = interval(auroc, variance, freedom)
    assert 0 <= low <= auroc + 1e-12
    assert auroc - 1e-12 <= high <= 1


@given(st.floats(0.001, 0.999), st.floats(1e-6, 0.01))
def test_turned_round_it_is_the_interval_of_the_rest(auroc: float, variance: float) -> None:
    low, high = interval(auroc, variance)
    other = interval(1 - auroc, variance)
    assert (1 - high, 1 - low) == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("auroc", [0.7, 0.97])
def test_coverage_of_small_test_sets(auroc: float) -> None:
    """20 anomalous and 60 normal images, 1,000 times; the plain interval holds 97 in about 83 %."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 20])
    scores = rng.normal(size=(1000, 80)) + math.sqrt(2) * norm.ppf(auroc) * labels
    placed = placements(labels, scores)
    variance = variance_over_images(image_parts(placed, labels), labels)
    found = share_interval(placed.auroc, variance)
    found[np.isnan(found[:, 0])] = perfect_interval(anomalous=20, normal=60)
    held = ((found[:, 0] <= auroc) & (auroc <= found[:, 1])).mean()
    assert 0.93 <= held <= 0.98
