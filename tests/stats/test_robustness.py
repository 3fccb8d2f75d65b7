"""Summaries of contamination curves: closed forms, numpy and scikit-learn, and what bounds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import auc

from bench.stats.robustness import DELTA, Breakdown, breakdown, relative_area, slope

RATES = [0.0, 0.05, 0.1, 0.2]


def test_against_numpy_and_scikit_learn() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rates = np.sort(rng.choice(np.arange(0, 50), int(rng.integers(2, 9)), replace=False)) / 100
        curves = rng.uniform(0.4, 1, (3, len(rates)))
        for at in range(3):
            line = np.polyfit(rates, curves[at], 1)
            assert slope(rates, curves)[at] == pytest.approx(line[0] / 10, abs=1e-9)
            area = auc(rates, curves[at]) / (rates[-1] - rates[0]) / curves[at, 0]
            assert relative_area(rates, curves)[at] == pytest.approx(area, abs=1e-9)


def test_a_line_has_its_slope_for_ten_points() -> None:
    curve = 0.95 - 0.3 * np.array(RATES)
    assert slope(RATES, curve) == pytest.approx(-0.03, abs=1e-12)
    assert relative_area(RATES, curve) == pytest.approx(1 - 0.3 * 0.1 / 0.95, abs=1e-12)
    assert relative_area(RATES, np.full(4, 0.7)) == pytest.approx(1.0, abs=1e-12)
    assert math.isnan(relative_area(RATES, np.zeros(4)))


def test_breakdown() -> None:
    found = breakdown(RATES, [0.0, 0.01, 0.03, 0.08], [0.0, -0.01, 0.01, 0.05])
    assert found == Breakdown(observed=0.1, certain=0.2)
    assert breakdown(RATES, np.zeros(4), np.zeros(4)) == Breakdown(None, None)
    assert breakdown(RATES, [0, DELTA, 0, 0], np.zeros(4)) == Breakdown(None, None)
    assert breakdown(RATES, [0, 0.5, 0, 0], np.full(4, np.nan)) == Breakdown(0.05, None)
    assert breakdown([0.2, 0.0, 0.1], [0.3, 0.0, 0.1], [0.2, 0.0, 0.0]) == Breakdown(0.1, 0.2)


@pytest.mark.parametrize(
    ("rates", "aurocs"),
    [([0.1], [0.9]), ([0.1, 0.1], [0.9, 0.9]), ([0.0, 0.1], [0.9]), ([[0.0, 0.1]], [0.9])],
)
def test_bad_input_is_refused(rates: list[float], aurocs: list[float]) -> None:
    for summary in (slope, relative_area, lambda r, a: breakdown(r, a, a)):
        with pytest.raises(ValueError, match="at least two different rates"):
            summary(rates, aurocs)


curves = arrays(np.float64, 4, elements=st.floats(0.1, 1))


@given(curves, st.permutations(range(4)), st.floats(0.01, 0.1))
def test_order_of_rates_and_levels_do_not_count(curve: np.ndarray, order: list[int], up: float) -> None:
    rates = np.array(RATES)
    assert slope(rates[order], curve[order]) == pytest.approx(slope(rates, curve + up), abs=1e-12)
    assert relative_area(rates[order], curve[order]) == pytest.approx(relative_area(rates, curve), abs=1e-12)
    assert relative_area(rates, 2 * curve) == pytest.approx(relative_area(rates, curve), abs=1e-12)


@given(curves, curves)
def test_a_stricter_delta_breaks_no_later(drops: np.ndarray, lows: np.ndarray) -> None:
    one, other = (breakdown(RATES, drops, np.minimum(drops, lows), delta=d) for d in (0.2, 0.4))
    assert (one.observed or math.inf) <= (other.observed or math.inf) or one.observed == 0.0
    if one.certain is not None:
        assert one.observed is not None
        assert one.observed <= one.certain
