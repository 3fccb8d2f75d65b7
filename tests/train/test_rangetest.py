"""The learning-rate range test on losses whose steepest descent is known."""

from __future__ import annotations

import numpy as np
import pytest

from bench import range_test_rates, suggested_rate


def test_rates_grow_exponentially_between_their_ends() -> None:
    rates = range_test_rates(50, lowest=1e-6, highest=0.1)
    assert len(rates) == 50
    assert rates[0] == 1e-6
    assert rates[-1] == pytest.approx(0.1)
    ratios = np.diff(np.log(rates[1:]))
    np.testing.assert_allclose(ratios, ratios[0])


def test_the_steepest_descent_is_found() -> None:
    rates = range_test_rates()
    step = np.arange(100)
    losses = np.where(step < 60, 4.0, 1.0)
    assert suggested_rate(rates, losses) == rates[60]


def test_what_follows_a_divergence_is_ignored() -> None:
    rates = range_test_rates()
    losses = np.concatenate([np.linspace(4, 3.5, 50), np.full(30, 1e4), np.zeros(20)])
    found = suggested_rate(rates, losses)
    assert found is not None
    assert found <= rates[50]


def test_losses_that_are_no_numbers_are_left_out() -> None:
    rates = range_test_rates()
    losses = np.concatenate([np.full(30, 4.0), np.full(40, 2.0), np.full(30, np.nan)])
    assert suggested_rate(rates, losses) == rates[30]


@pytest.mark.parametrize("losses", [[], [1.0] * 5, [np.nan] * 100, [1.0, 1e9] + [1.0] * 98])
def test_too_little_to_go_by_gives_nothing(losses: list[float]) -> None:
    assert suggested_rate(range_test_rates(), losses) is None
