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


def test_many_parts_are_corrected_and_two_sums_are_joined_cautiously() -> None:
    """Written out: squares over ν + 2 with 2 subtracted, at most all degrees; square roots of the shares."""
    parts, of = np.array([2.0, 0.5, 1.0]), np.array([3, 9, 40])
    along = Variance.of(parts[None], of).sum(axis=1)
    assert along.value == pytest.approx(3.5)
    assert along.freedom == pytest.approx(3.5**2 / sum(parts**2 / (of + 2)) - 2)
    both = Variance.of(2.0, 3) + Variance.of(0.5, 9)
    assert both.value == pytest.approx(2.5)
    assert both.freedom == pytest.approx(1 / (math.sqrt(0.8) / 3 + math.sqrt(0.2) / 9))
    alike = Variance.of(np.ones(4), 1).sum(axis=0)
    assert alike.freedom == 4, "the formula gives 10"


def test_what_does_not_vary_adds_nothing() -> None:
    held = Variance.of([0.0, 0.0, 2.0], [1, 5, 3])
    assert (held.sum(axis=0).value, held.sum(axis=0).freedom) == (2.0, 3.0)
    both = Variance.of(0.0, 4) + Variance.of(0.5, 9)
    assert (both.value, both.freedom) == (0.5, 9.0)
    assert (Variance.of(0.0, 4) + Variance.of(0.0, 2)).freedom == math.inf


@pytest.mark.parametrize("freedom", [1, 2, 4])
def test_they_are_near_the_truth_where_the_usual_formula_is_not(freedom: int) -> None:
    """Of 200 parts estimated from normal samples of unlike spread, the mean over 2,000 samples."""
    rng = np.random.default_rng(0)
    true = np.linspace(0.5, 2, 200)
    drawn = true * rng.chisquare(freedom, (2000, 200)) / freedom
    expected = true.sum() ** 2 / (true**2 / freedom).sum()
    found = Variance.of(drawn, freedom).sum(axis=1)
    assert found.freedom.mean() == pytest.approx(expected, rel=0.03)
    usual = drawn.sum(axis=1) ** 2 / (drawn**2 / freedom).sum(axis=1)
    assert usual.mean() < 0.85 * expected


@pytest.mark.parametrize(("parts", "freedom"), [(1, 4), (3, 1), (4, 1), (2, 2), (5, 1), (10, 1), (10, 2)])
@pytest.mark.parametrize("share", [0.2, 1.0, 5.0, 20.0])
def test_false_findings_of_seeds_and_images(parts: int, freedom: int, share: float) -> None:
    """Seeds with as few degrees of freedom as are let through, images with many: at most 6 % of 40,000."""
    rng = np.random.default_rng(1)
    seeds = Variance.of(rng.chisquare(freedom, (40_000, parts)) / freedom / parts, freedom).sum(axis=1)
    value = seeds + Variance.of(rng.chisquare(200, 40_000) / 200 / share, 200)
    p = value.p(rng.normal(0, math.sqrt(1 + 1 / share), 40_000))
    assert 0.015 < (p <= 0.05).mean() < 0.056


@pytest.mark.parametrize("share", [0.3, 1.0, 3.0, 10.0])
def test_false_findings_among_many_equal_methods(share: float) -> None:
    """15 methods on one task with five seeds, all 105 pairs at the first step of Holm's: of 1,000 boards."""
    rng, (first, second) = np.random.default_rng(0), np.triu_indices(15, 1)
    seeds = rng.normal(size=(1000, 15, 5))
    mean = seeds.mean(axis=2) + rng.normal(0, math.sqrt(1 / 5 / share), (1000, 15))
    over_seeds = Variance.of((seeds[:, first] - seeds[:, second]).var(axis=2, ddof=1) / 5, 4)
    value = over_seeds + Variance.of(np.full((1000, 105), 2 / 5 / share), 1e6)
    p = value.p(mean[:, first] - mean[:, second])
    assert (p.min(axis=1) <= 0.05 / 105).mean() < 0.06


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
