"""Sums of variances: degrees of freedom against simulation, tests and intervals against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats.variance import NOTHING, Variance


def test_one_part_has_its_own_degrees_of_freedom() -> None:
    for freedom in (1, 2, 7, 400):
        found = Variance.of([0.3, 1e-9, 50.0], freedom)
        assert found.value.tolist() == [0.3, 1e-9, 50.0]
        assert found.freedom == pytest.approx([freedom] * 3, rel=1e-9)


def test_degrees_of_freedom_of_a_sum_are_satterthwaites() -> None:
    """Written out, with the squares of the parts over ν + 2 and 2 subtracted."""
    parts, of = np.array([2.0, 0.5, 1.0]), np.array([3, 9, 40])
    total = Variance.of(parts[0], of[0]) + Variance.of(parts[1], of[1]) + Variance.of(parts[2], of[2])
    assert total.value == pytest.approx(3.5)
    assert total.freedom == pytest.approx(3.5**2 / sum(parts**2 / (of + 2)) - 2)
    along = Variance.of(parts[None], of).sum(axis=1)
    assert (along.value[0], along.freedom[0]) == pytest.approx((3.5, float(total.freedom)))


@pytest.mark.parametrize("freedom", [1, 2, 4])
def test_they_are_near_the_truth_where_the_usual_formula_is_not(freedom: int) -> None:
    """Of 200 parts estimated from normal samples of unlike spread, the mean over 2,000 samples."""
    rng = np.random.default_rng(0)
    true = np.linspace(0.5, 2, 200)
    drawn = true * rng.chisquare(freedom, (2000, 200)) / freedom
    expected = true.sum() ** 2 / (true**2 / freedom).sum()
    found = Variance.of(drawn, freedom).sum(axis=1)
    assert found.freedom.mean() == pytest.approx(expected, rel=0.03)
    assert found.spread.mean() == pytest.approx((true**2 / freedom).sum(), rel=0.05)
    usual = drawn.sum(axis=1) ** 2 / (drawn**2 / freedom).sum(axis=1)
    assert usual.mean() < 0.85 * expected


def test_false_findings_of_a_sum_of_two_parts() -> None:
    """Images with many degrees of freedom, five seeds with four: of 20,000 tests, four standard errors.

    Where the variance over seeds is five times that over images it is 6.4 %.
    """
    rng = np.random.default_rng(1)
    for large, small, expected in ((1.0, 0.2, 0.05), (1.0, 1.0, 0.055), (0.2, 1.0, 0.064)):
        value = Variance.of(large * rng.chisquare(60, 20_000) / 60, 60)
        value = value + Variance.of(small * rng.chisquare(4, 20_000) / 4, 4)
        p = value.p(rng.normal(0, math.sqrt(large + small), 20_000))
        assert (p <= 0.05).mean() == pytest.approx(expected, abs=0.007)


def test_p_and_reach_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for freedom in (1, 3, 8, 200):
        sample = rng.normal(0.4, 1.0, freedom + 1)
        mean, of = Variance.of(sample.var(ddof=1) / len(sample), freedom), stats.ttest_1samp(sample, 0)
        assert mean.p(sample.mean()) == pytest.approx(of.pvalue, abs=1e-12)
        assert mean.p(-sample.mean()) == mean.p(sample.mean())
        for level in (0.8, 0.95):
            low, high = of.confidence_interval(level)
            assert mean.reach(level) == pytest.approx((high - low) / 2, rel=1e-9)


def test_scaled_is_the_variance_of_the_multiple() -> None:
    found = Variance.of([1.0, 4.0], [3, 5]).scaled([-2.0, 0.5])
    assert found.value == pytest.approx([4.0, 1.0])
    assert found.freedom == pytest.approx([3.0, 5.0])


def test_no_p_value_below_the_least() -> None:
    found = Variance.of([1e-6, 1.0], 10)
    assert found.p([1.0, 0.0], least=0.1) == pytest.approx([0.1, 1.0])
    assert found.p([1.0, 1.0], least=2.0).tolist() == [1.0, 1.0]
    assert found.p([1.0, 1.0], least=[0.2, 0.9]) == pytest.approx([0.2, 0.9])


def test_no_variance_and_none_known() -> None:
    nothing = Variance.of(0.0, 4)
    assert (float(nothing.freedom), float(nothing.reach())) == (math.inf, 0.0)
    assert nothing.p([0.0, NOTHING / 2, -0.1]).tolist() == [1.0, 1.0, 0.0]
    assert nothing.p(0.5, least=0.02) == pytest.approx(0.02)
    unknown = Variance.of(math.nan, 4)
    assert np.isnan([float(unknown.p(0.0, least=0.5)), float(unknown.reach())]).all()
    assert np.isnan((unknown + Variance.of(1.0, 4)).p(3.0))


def test_rounding_is_no_difference() -> None:
    """0.1 + 0.2 is not 0.3: that does not separate two methods that do not vary."""
    assert Variance.of(0.0, 1).p((0.1 + 0.2) - 0.3) == 1.0


def test_parts_of_it() -> None:
    found = Variance.of(np.arange(1.0, 7).reshape(2, 3), 5)
    assert found[1].value.tolist() == [4, 5, 6]
    assert found[:, 2].freedom == pytest.approx([5.0, 5.0])
