"""The signed-rank and sign tests against scipy, by counting every sign, and at the edges."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bench.stats.signedrank import (
    DIGITS,
    EXACT,
    least_p,
    pairs_needed,
    walsh_cut,
    wilcoxon,
)
from tests.stats.cases import TENS, differences


def by_counting(d: np.ndarray) -> float:
    """Return the two-sided p value: the share of all 2ⁿ signs with a rank sum as small as this or smaller."""
    ranks = stats.rankdata(np.abs(d))[d != 0]
    signs = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
    smaller = min(ranks[d[d != 0] > 0].sum(), ranks[d[d != 0] < 0].sum())
    return float(min(1.0, 2 * (signs @ ranks <= smaller + 1e-9).mean()))


@pytest.mark.parametrize("seeds", TENS[:25], ids=str)
def test_ties_and_zeros_by_counting_every_sign(seeds: range) -> None:
    for seed in seeds:
        d = differences(seed, largest=11)
        assert wilcoxon(d).p == pytest.approx(by_counting(d), abs=1e-9), seed


@pytest.mark.parametrize("seeds", TENS[:25], ids=str)
def test_exact_without_ties_is_scipys(seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        d = rng.normal(rng.choice([0, 0.4]), 1, int(rng.integers(1, 51)))
        reference = stats.wilcoxon(d, method="exact").pvalue
        assert wilcoxon(d).p == pytest.approx(reference, abs=1e-9), seed


def test_many_pairs_are_scipys_normal_approximation() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        d = rng.normal(rng.choice([0, 0.1]), 1, EXACT + 1 + int(rng.integers(0, 200)))
        if seed % 2:
            d = np.round(d, 1)
        if np.count_nonzero(d) <= EXACT:
            continue
        reference = stats.wilcoxon(d, zero_method="pratt", correction=True, method="asymptotic").pvalue
        assert wilcoxon(d).p == pytest.approx(reference, abs=1e-9), seed


def test_the_approximation_is_near_where_exact_ends() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        d = rng.normal(0.2, 1, EXACT)
        near = stats.wilcoxon(d, correction=True, method="asymptotic").pvalue
        assert wilcoxon(d).p == pytest.approx(near, abs=2e-3)


def test_nothing_but_ties() -> None:
    found = wilcoxon(np.zeros(9))
    assert (found.p, found.estimate, found.effect, found.zeros) == (1.0, 0.0, 0.0, 9)


@pytest.mark.parametrize("seeds", TENS[:21], ids=str)
def test_the_interval_is_the_test_turned_round(seeds: range) -> None:
    """Just inside it a shift is not rejected, just outside it is (scipy's exact test)."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        d, level = rng.normal(0.3, 1, int(rng.integers(6, 25))), float(rng.choice([0.8, 0.9, 0.95]))
        found = wilcoxon(d, level=level)
        for bound, out in ((found.low, -1), (found.high, 1)):
            inside, outside = (stats.wilcoxon(d - bound - out * step).pvalue for step in (-1e-9, 1e-9))
            assert outside <= 1 - level < inside


@pytest.mark.parametrize("n", [1, 2, 5, 6, 12, 30])
def test_estimate_is_the_median_of_walsh_averages(n: int) -> None:
    d = np.random.default_rng(n).normal(size=n)
    averages = [(d[i] + d[j]) / 2 for i in range(n) for j in range(i, n)]
    found = wilcoxon(d)
    assert found.estimate == pytest.approx(np.median(averages), abs=1e-11)
    assert np.isinf(found.low) == (n < 6)


def test_published_example() -> None:
    """Demšar 2006, table 2: C4.5 with and without tuning on 14 data sets; the smaller rank sum is 12."""
    plain = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.94, 0.619, 0.972, 0.957]
    tuned = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978]
    found = wilcoxon(np.subtract(tuned, plain))
    # Zeros (two) by Pratt: both rank sums lack half of his 1.5 each. Significant at 0.05, as in the paper.
    assert found.zeros == 2
    assert (found.effect + 1) / 2 * 102 == pytest.approx(102 - 10.5, abs=1e-9)
    assert found.p < 0.05


def test_rounding_makes_no_order() -> None:
    """0.9 - 0.8 and 0.8 - 0.7 differ in the last bit: a tie all the same."""
    d = np.array([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.8, 0.3 - 0.3, 0.1 + 0.2 - 0.3])
    assert len(set(np.abs(d))) > 2
    assert wilcoxon(d) == wilcoxon(np.array([0.1, 0.1, -0.1, 0.0, 0.0]))
    assert DIGITS == 12


def test_how_many_pairs_it_takes() -> None:
    for n in range(1, 20):
        assert least_p(n) == pytest.approx(wilcoxon(np.arange(1.0, n + 1)).p)
    assert [pairs_needed(0.05, m) for m in (1, 3, 45)] == [6, 7, 11]
    for alpha in (0.1, 0.05, 0.01):
        n = pairs_needed(alpha, 10)
        assert least_p(n) * 10 <= alpha < least_p(n - 1) * 10
        assert walsh_cut(pairs_needed(alpha), 1 - alpha) == 1
        assert walsh_cut(pairs_needed(alpha) - 1, 1 - alpha) == 0


@pytest.mark.parametrize("bad", [[], [[0.1, 0.2]], [np.nan, 1.0], [np.inf, 1.0]])
def test_bad_input_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="expected finite differences"):
        wilcoxon(bad)


values = arrays(np.float64, st.integers(1, 25), elements=st.integers(-8, 8).map(lambda x: x / 4))


@given(values)
def test_turning_the_sign_turns_the_result(d: np.ndarray) -> None:
    one, other = wilcoxon(d), wilcoxon(-d)
    assert (one.p, one.estimate, one.low, one.high) == (other.p, -other.estimate, -other.high, -other.low)
    assert one.effect == -other.effect


@given(values, st.randoms())
def test_order_and_unit_do_not_count(d: np.ndarray, random: object) -> None:
    shuffled = d.tolist()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = wilcoxon(d), wilcoxon(np.array(shuffled) * 4)
    assert (one.p, one.effect) == (other.p, other.effect)
    assert one.low * 4 == other.low


@given(values)
def test_bounds(d: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = wilcoxon(d)
    assert least_p(len(d)) - 1e-12 <= found.p <= 1
    assert found.low <= found.estimate <= found.high
    assert -1 <= found.effect <= 1
