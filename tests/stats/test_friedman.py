"""Friedman's test and Nemenyi's against scipy, scikit-posthocs, all permutations, and Demšar's tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bench.stats.friedman import (
    ARRANGEMENTS,
    critical_difference,
    data_sets_needed,
    friedman,
    least_p,
)
from tests.stats.cases import TENS, table


@pytest.mark.parametrize("seeds", TENS[:22], ids=str)
def test_statistic_is_scipys(seeds: range) -> None:
    for seed in seeds:
        values = table(seed)
        found, (n, k) = friedman(values), values.shape
        if k < 3 or found.chi2 == 0:
            continue  # scipy wants three methods
        reference = stats.friedmanchisquare(*values.T)
        assert found.chi2 == pytest.approx(reference.statistic, abs=1e-9), seed
        assert found.p_chi2 == pytest.approx(reference.pvalue, abs=1e-9), seed
        assert found.w == pytest.approx(reference.statistic / (n * (k - 1)), abs=1e-12)
        if math.isfinite(found.f):
            f = (n - 1) * reference.statistic / (n * (k - 1) - reference.statistic)
            assert found.f == pytest.approx(f, rel=1e-9), seed
            assert found.p_f == pytest.approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)), abs=1e-9), seed


def test_iman_and_davenports_f_is_that_of_a_two_way_analysis_of_ranks() -> None:
    """The F of the ranks' analysis of variance with blocks, from sums of squares alone."""
    for seed in range(60):
        values = table(seed, least=3)
        ranks, (n, k) = stats.rankdata(-values, axis=1), values.shape
        between = n * ((ranks.mean(axis=0) - ranks.mean()) ** 2).sum()
        within = ((ranks - ranks.mean(axis=0) - ranks.mean(axis=1, keepdims=True) + ranks.mean()) ** 2).sum()
        if between > 1e-9 and within > 1e-9:
            expected = between / (k - 1) / (within / ((k - 1) * (n - 1)))
            assert friedman(values).f == pytest.approx(expected, rel=1e-9)


def by_permuting(values: np.ndarray) -> float:
    """Return the exact p value: all arrangements of every data set's values."""
    arranged = [list(itertools.permutations(row)) for row in stats.rankdata(values, axis=1)]

    def spread(ranks: np.ndarray) -> float:
        return float((np.sum(ranks, axis=0) ** 2).sum())

    observed = spread(np.array([each[0] for each in arranged]))
    held = [spread(np.array(rows)) >= observed - 1e-9 for rows in itertools.product(*arranged)]
    return float(np.mean(held))


def test_small_tables_by_permuting_everything() -> None:
    shapes = [(2, 2), (3, 2), (6, 2), (2, 3), (3, 3), (4, 3), (2, 4)]
    for seed in range(210):
        rng = np.random.default_rng(seed)
        n, k = shapes[seed % len(shapes)]
        values = rng.normal(size=(n, k)) + rng.choice([0, 1]) * np.arange(k)
        values = np.round(values) if seed % 2 else values
        assert friedman(values).p == pytest.approx(by_permuting(values), abs=1e-9), seed


def test_two_methods_are_the_sign_test() -> None:
    rng = np.random.default_rng(0)
    for n in range(2, 16):
        values = rng.normal(size=(n, 2))
        wins = int((values[:, 0] > values[:, 1]).sum())
        assert friedman(values).p == pytest.approx(stats.binomtest(wins, n).pvalue, abs=1e-9)


def test_a_sample_of_permutations_where_all_are_too_many() -> None:
    """Near the exact value, which scipy samples too; far outside both it is Iman and Davenport's."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(10, 3)) + 0.5 * np.arange(3)
    assert math.factorial(3) ** 9 > ARRANGEMENTS
    reference = stats.permutation_test(
        tuple(values.T),
        lambda *columns: float((stats.rankdata(columns, axis=0).sum(axis=1) ** 2).sum()),
        permutation_type="samples",
        n_resamples=4000,
        alternative="greater",
        rng=0,
    )
    found = friedman(values)
    assert found.p == pytest.approx(reference.pvalue, abs=0.03)
    assert found.p == friedman(values).p
    large = friedman(rng.normal(size=(30, 8)))
    assert large.p == large.p_f


def test_published_example() -> None:
    """Demšar 2006, section 3.2.2: mean ranks 3.143, 2.000, 2.893, 1.964 of 4 methods on 14 data sets."""
    ranks = np.array([3.143, 2.0, 2.893, 1.964])
    chi2 = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    assert chi2 == pytest.approx(9.28, abs=0.01)
    assert 13 * chi2 / (14 * 3 - chi2) == pytest.approx(3.69, abs=0.01)
    assert critical_difference(14, 4) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(14, 4, alpha=0.1) == pytest.approx(1.12, abs=0.005)


def test_critical_values_of_the_table() -> None:
    """Demšar 2006, table 5a: q of 2 to 10 methods."""
    for alpha, row in (
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ):
        for k, q in zip(range(2, 11), row, strict=True):
            n = 11
            found = critical_difference(n, k, alpha=alpha) / math.sqrt(k * (k + 1) / (6 * n))
            assert found == pytest.approx(q, abs=1.1e-3)


def test_all_equal_and_all_agreeing() -> None:
    equal = friedman(np.ones((5, 4)))
    assert (equal.chi2, equal.f, equal.p, equal.w) == (0.0, 0.0, 1.0, 0.0)
    agreed = friedman(np.tile([3.0, 2.0, 1.0], (5, 1)))
    assert agreed.ranks.tolist() == [1.0, 2.0, 3.0]
    assert (agreed.f, agreed.w) == (math.inf, 1.0)
    assert agreed.p == pytest.approx(least_p(5, 3), abs=1e-12)
    assert friedman([[1.0, 2.0, 3.0]]).p == 1.0


def test_how_many_data_sets_it_takes() -> None:
    assert [data_sets_needed(k) for k in (2, 3, 4, 10)] == [6, 3, 2, 2]
    for k in (2, 3):
        n = data_sets_needed(k)
        best = np.tile(np.arange(float(k)), (n, 1))
        assert friedman(best).p <= 0.05 < friedman(best[:-1]).p


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((3, 1)), np.zeros(3), [[1.0, np.nan]]])
def test_bad_input_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"expected values \(n, k\)"):
        friedman(bad)


grids = arrays(
    np.float64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.integers(0, 5).map(float)
)


@given(grids)
def test_only_the_order_within_a_data_set_counts(values: np.ndarray) -> None:
    rescaled = np.exp(values) * np.arange(1, len(values) + 1)[:, None] + 7
    one, other = friedman(values), friedman(rescaled)
    assert one.p == other.p
    assert one.ranks.tolist() == other.ranks.tolist()
    assert 0 < one.p <= 1
    assert 0 <= one.w <= 1 + 1e-12


@given(grids, st.randoms())
def test_order_of_methods_and_data_sets_does_not_count(values: np.ndarray, random: object) -> None:
    columns = list(range(values.shape[1]))
    random.shuffle(columns)  # type: ignore[attr-defined]
    one, other = friedman(values), friedman(values[::-1, columns])
    assert one.p == pytest.approx(other.p, abs=1e-12)
    assert one.chi2 == pytest.approx(other.chi2, abs=1e-9)
    assert other.ranks.tolist() == one.ranks[columns].tolist()
