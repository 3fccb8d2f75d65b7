"""The smallest difference that a design sees, against statsmodels and the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower

from bench.stats.power import smallest_difference


def test_a_known_standard_error_is_the_normal_test_of_statsmodels() -> None:
    for power in (0.6, 0.8, 0.9):
        # One group with 1 / n = se²; at these powers the other tail is below 1e-3.
        expected = NormalIndPower(ddof=0).solve_power(nobs1=25, ratio=0, alpha=0.05, power=power)
        assert smallest_difference(0.2, power=power) == pytest.approx(expected, rel=1e-3)
    assert smallest_difference(1.0) == pytest.approx(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))


@pytest.mark.parametrize("freedom", [8, 20, 60])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 28])
def test_students_t_is_near_the_noncentral_one(freedom: int, alpha: float) -> None:
    """The t test finds it as often as it says, to five points: the fewer degrees of freedom, the less."""
    n = freedom + 1
    found = smallest_difference(1 / math.sqrt(n), freedom=freedom, alpha=alpha)
    assert TTestPower().power(found, n, alpha) == pytest.approx(0.8, abs=0.05)


def test_it_finds_that_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    shift = smallest_difference(1 / math.sqrt(12), freedom=11)
    p = stats.ttest_1samp(rng.normal(shift, 1, (4000, 12)), 0, axis=1).pvalue
    assert (p <= 0.05).mean() == pytest.approx(0.8, abs=0.04)


def test_it_scales_and_shrinks() -> None:
    assert smallest_difference(0.0) == 0.0
    assert smallest_difference(3.0, freedom=5) == pytest.approx(3 * smallest_difference(1.0, freedom=5))
    assert (
        smallest_difference(1.0, freedom=3) > smallest_difference(1.0, freedom=30) > smallest_difference(1.0)
    )
    assert smallest_difference(1.0, power=0.9) > smallest_difference(1.0, power=0.5)
    assert smallest_difference(1.0, alpha=0.01) > smallest_difference(1.0)


@pytest.mark.parametrize(
    "bad", [{"se": -1.0}, {"se": math.nan}, {"alpha": 0.0}, {"alpha": 1.0}, {"power": 1.0}, {"power": 0.0}]
)
def test_bad_input_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected se >= 0"):
        smallest_difference(**{"se": 1.0} | bad)
