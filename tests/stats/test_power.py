"""The smallest difference that a design sees, against statsmodels and against the test itself, simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower

from bench.stats.power import SIGNED_RANK_EFFICIENCY, smallest_difference, smallest_difference_of
from bench.stats.signedrank import pairs_needed, wilcoxon


def test_the_t_test_is_that_of_statsmodels() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n, sd = int(rng.integers(4, 80)), rng.uniform(0.001, 5)
        alpha, power = rng.choice([0.1, 0.05, 0.01]), rng.uniform(0.5, 0.95)
        found = smallest_difference(sd, n, alpha=alpha, power=power, efficiency=1.0)
        assert TTestPower().power(found / sd, n, alpha) == pytest.approx(power, abs=1e-9), seed


def test_a_known_standard_error_is_the_normal_test_of_statsmodels() -> None:
    for power in (0.6, 0.8, 0.9):
        # One group with 1 / n = se²; at these powers the other tail is below 1e-3.
        expected = NormalIndPower(ddof=0).solve_power(nobs1=25, ratio=0, alpha=0.05, power=power)
        assert smallest_difference_of(0.2, power=power) == pytest.approx(expected, rel=1e-3)
    assert smallest_difference_of(0.2, freedom=3) > smallest_difference_of(0.2)


@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (8, 0.05), (15, 0.05), (25, 0.01), (40, 0.05)])
def test_the_signed_rank_test_finds_it_as_often_as_it_says(n: int, alpha: float) -> None:
    """Four standard errors of 1,000 simulated tests are 0.05."""
    shift = smallest_difference(1.0, n, alpha=alpha, power=0.8)
    samples = np.random.default_rng(1).normal(shift, 1, (1000, n))
    found = np.mean([wilcoxon(each).p <= alpha for each in samples])
    assert found == pytest.approx(0.8, abs=0.05)


def test_six_data_sets_need_all_six_on_one_side() -> None:
    """At 5 % the test then is the sign of all: Φ(δ)⁶ = 0.8."""
    assert smallest_difference(1.0, 6) == pytest.approx(stats.norm.ppf(0.8 ** (1 / 6)), abs=0.03)


def test_too_few_data_sets_see_nothing() -> None:
    assert math.isinf(smallest_difference(0.01, 5))
    for m in (1, 3, 45):
        needed = pairs_needed(0.05, m)
        assert math.isinf(smallest_difference(0.01, needed - 1, alpha=0.05 / m))
        assert math.isfinite(smallest_difference(0.01, needed, alpha=0.05 / m))
    assert math.isinf(smallest_difference(0.01, 1, efficiency=1.0))


def test_where_simulation_ends_nothing_jumps() -> None:
    for alpha in (0.05, 0.005):
        at = [smallest_difference(1.0, n, alpha=alpha) for n in (24, 25, 26, 27)]
        assert at == sorted(at, reverse=True)
        assert at[1] / at[2] == pytest.approx(at[0] / at[1], abs=0.015)
    assert 3 / math.pi == SIGNED_RANK_EFFICIENCY


def test_it_scales_and_shrinks() -> None:
    assert smallest_difference(0.0, 10) == 0.0
    assert smallest_difference(3.0, 10) == pytest.approx(3 * smallest_difference(1.0, 10))
    assert smallest_difference(1.0, 10, power=0.9) > smallest_difference(1.0, 10, power=0.5)
    assert smallest_difference(1.0, 50, power=0.01, efficiency=1.0) == 0.0


@pytest.mark.parametrize("bad", [{"sd": -1.0}, {"sd": math.nan}, {"alpha": 0.0}, {"power": 1.0}])
def test_bad_input_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected sd"):
        smallest_difference(**{"sd": 1.0, "n": 10, **bad})
