"""All pairs over data sets: the parts put together, and what is said where there are not enough data sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.stats.across import across
from bench.stats.friedman import critical_difference
from bench.stats.signedrank import wilcoxon
from tests.stats.cases import table


def test_each_pair_is_scipys_test_with_statsmodels_holm() -> None:
    for seed in range(1, 60, 2):  # without ties
        values = table(seed, least=3, methods=5)
        found, m = across(values), values.shape[1]
        upper = np.triu_indices(m, 1)
        raw = [
            stats.wilcoxon(values[:, a] - values[:, b], method="exact").pvalue for a, b in np.transpose(upper)
        ]
        np.testing.assert_allclose(found.p[upper], raw, atol=1e-9)
        np.testing.assert_allclose(found.adjusted[upper], multipletests(raw, method="holm")[1], atol=1e-9)
        a, b = m - 1, 0
        alone = wilcoxon(values[:, a] - values[:, b])
        assert (found.estimate[a, b], found.low[a, b], found.high[a, b]) == (
            alone.estimate,
            alone.low,
            alone.high,
        )
        assert found.effect[b, a] == -alone.effect
        assert found.difference[a, b] == pytest.approx((values[:, a] - values[:, b]).mean(), abs=1e-12)


def test_not_enough_data_sets() -> None:
    """With five data sets no pair can be significant, whatever it shows; three methods take seven."""
    best = np.arange(1.0, 8)[:, None] * np.array([1.0, 2.0, 4.0])
    five, six, seven = (across(best[:n]) for n in (5, 6, 7))
    assert [each.needed for each in (five, six, seven)] == [7, 7, 7]
    assert [each.enough for each in (five, six, seven)] == [False, False, True]
    assert [each.different.any() for each in (five, six, seven)] == [False, False, True]
    assert seven.different[0, 1]
    assert not seven.different.diagonal().any()


def test_needed_is_the_first_number_that_could_do() -> None:
    for m in (2, 3, 5, 9):
        best = np.arange(1.0, 16)[:, None] * np.arange(m)
        needed = across(best).needed
        assert across(best[:needed]).different.any()
        assert not across(best[: needed - 1]).different.any()


def test_one_data_set_has_no_ranks_to_compare() -> None:
    found = across([[0.9, 0.8]])
    assert (found.n, found.friedman, found.critical_difference) == (1, None, None)
    assert found.p.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert np.isinf(found.low[0, 1])


def test_the_critical_difference_is_there_only_where_friedmans_test_is_significant() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(10, 4))
    assert across(noise).friedman.p > 0.05
    assert across(noise).critical_difference is None
    assert across(noise + 2 * np.arange(4)).critical_difference == critical_difference(10, 4)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((3, 1)), np.zeros(3), [[1.0, np.nan]]])
def test_bad_input_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"expected values \(n, m\)"):
        across(bad)


@given(arrays(np.float64, (7, 3), elements=st.integers(0, 8).map(lambda x: x / 8)))
def test_matrices_are_antisymmetric(values: np.ndarray) -> None:
    found = across(values)
    for each in (found.difference, found.estimate, found.effect):
        np.testing.assert_array_equal(each, -each.T)
    np.testing.assert_array_equal(found.low, -found.high.T)
    np.testing.assert_array_equal(found.p, found.p.T)
    assert (found.adjusted >= found.p).all()
