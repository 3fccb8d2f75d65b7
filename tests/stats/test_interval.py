"""Intervals of AUROCs: closed forms, Newcombe's published example, and bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from bench.stats.interval import auroc_interval, newcombe_interval, square_and_add
from tests.stats.cases import TENS

SIZES = {"anomalous": 30, "normal": 20}


@pytest.mark.parametrize("seeds", TENS[:20], ids=str)
def test_against_the_formulas(seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        a, se, level = rng.uniform(0.02, 0.98), rng.uniform(0, 0.2), rng.choice([0.8, 0.95, 0.99])
        z = norm.ppf(0.5 + level / 2)
        logit = math.log(a / (1 - a))
        expected = [1 / (1 + math.exp(-(logit + sign * z * se / (a * (1 - a))))) for sign in (-1, 1)]
        assert auroc_interval(a, se**2, **SIZES, level=level) == pytest.approx(expected, abs=1e-12)
        plain = (max(0, a - z * se), min(1, a + z * se))
        assert auroc_interval(a, se**2, **SIZES, level=level, scale="plain") == pytest.approx(
            plain, abs=1e-12
        )


@pytest.mark.parametrize("seeds", TENS[:20], ids=str)
def test_newcombes_bounds_solve_his_equation(seeds: range) -> None:
    """Each bound is the θ at which the AUROC lies z standard errors, computed at θ, away."""
    for seed in seeds:
        solves(seed)


def solves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = (int(each) for each in rng.integers(1, 300, 2))
    auroc = float(rng.choice([0.0, 1.0, rng.uniform(0, 1)]))
    half = (m + n) / 2 - 1
    for theta in newcombe_interval(auroc, anomalous=m, normal=n):
        if theta in (0.0, 1.0):
            assert theta == auroc
            continue
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        distance = abs(auroc - theta) / math.sqrt(theta * (1 - theta) * spread / (m * n))
        assert distance == pytest.approx(norm.ppf(0.975), rel=1e-6)


def test_one_image_each_is_wilsons_interval() -> None:
    """With one image of a class on either side the AUROC is a share of one pair."""
    assert newcombe_interval(1.0, anomalous=1, normal=1) == pytest.approx(
        proportion_confint(1, 1, method="wilson"), abs=1e-9
    )


def test_perfect_separation_of_few_proves_little() -> None:
    low, high = auroc_interval(1.0, 0.0, anomalous=5, normal=5)
    assert (high, low < 0.75) == (1.0, True)
    assert auroc_interval(0.0, 0.0, anomalous=5, normal=5) == pytest.approx((0.0, 1 - low), abs=1e-12)
    assert auroc_interval(1.0, 0.0, anomalous=500, normal=500)[0] > 0.99


def test_no_variance_known_no_interval() -> None:
    for scale in ("logit", "plain"):
        assert all(math.isnan(each) for each in auroc_interval(0.7, math.nan, **SIZES, scale=scale))


@given(st.floats(0, 1), st.floats(0, 0.1), st.integers(1, 500), st.integers(1, 500))
def test_intervals_hold_the_estimate_and_stay_inside(auroc: float, variance: float, m: int, n: int) -> None:
    held = [newcombe_interval(auroc, anomalous=m, normal=n)]
    held += [auroc_interval(auroc, variance, anomalous=m, normal=n, scale=s) for s in ("logit", "plain")]
    for low, high in held:
        assert 0 <= low <= auroc + 1e-12
        assert auroc - 1e-12 <= high <= 1


def test_square_and_add() -> None:
    """Independent, symmetric bounds: the root of the sum of squares; alike ones: nothing."""
    estimates, bounds = np.array([0.8, 0.7]), np.array([[0.77, 0.83], [0.66, 0.74]])
    low, high = square_and_add(estimates, bounds, np.zeros((2, 2)))
    assert (low[0, 1], high[0, 1]) == pytest.approx((0.1 - 0.05, 0.1 + 0.05), abs=1e-12)
    assert (low[1, 0], high[1, 0]) == pytest.approx((-0.15, -0.05), abs=1e-12)
    low, high = square_and_add(estimates[[0, 0]], bounds[[0, 0]], np.ones((2, 2)))
    np.testing.assert_allclose([low, high], 0.0, atol=1e-8)


def test_square_and_add_of_shares_is_newcombes_difference() -> None:
    """His example of method 10, independent shares 56/70 - 48/80: 0.0524 to 0.3339."""
    shares = np.array([56 / 70, 48 / 80])
    bounds = np.array(
        [proportion_confint(56, 70, method="wilson"), proportion_confint(48, 80, method="wilson")]
    )
    low, high = square_and_add(shares, bounds, np.zeros((2, 2)))
    assert (low[0, 1], high[0, 1]) == pytest.approx((0.0524, 0.3339), abs=1e-4)
