"""Holm's adjustment against statsmodels; groups against the maximal cliques of networkx."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.multitest import multipletests

from bench.stats.multiple import groups, holm, holm_pairs, letters


def test_holm_is_that_of_statsmodels() -> None:
    for seed in range(250):
        rng = np.random.default_rng(seed)
        p = rng.random(int(rng.integers(1, 60))) ** rng.choice([1, 4])
        if seed % 3 == 0:
            p = np.round(p, 1)
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_pairs_counts_each_pair_once() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        m = int(rng.integers(2, 9))
        p = np.triu(rng.random((m, m)), 1)
        p = p + p.T
        found, upper = holm_pairs(p), np.triu_indices(m, 1)
        np.testing.assert_allclose(found[upper], multipletests(p[upper], method="holm")[1], atol=1e-12)
        assert (found == found.T).all()
        assert (np.diag(found) == 1).all()


def test_what_could_not_be_tested_does_not_count() -> None:
    found = holm([0.01, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04, np.nan])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [[0.5]]])
def test_holm_refuses_what_is_no_p_value(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="expected p values"):
        holm(bad)


p_values = arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))


@given(p_values)
def test_holm_is_monotone_and_never_below_the_raw_nor_above_bonferroni(p: np.ndarray) -> None:
    found = holm(p)
    order = np.argsort(p, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert (found >= p).all()
    assert (found <= np.minimum(1, p * len(p)) + 1e-15).all()


@given(p_values, st.randoms())
def test_holm_does_not_know_the_order_given(p: np.ndarray, random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(holm(p[order]), holm(p)[order])


@given(p_values, st.integers(0, 11), st.floats(0, 1))
def test_a_smaller_p_value_makes_none_larger(p: np.ndarray, at: int, factor: float) -> None:
    at %= len(p)
    lower = p.copy()
    lower[at] *= factor
    assert (holm(lower) <= holm(p) + 1e-15).all()


def pairs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 10))
    different = np.triu(rng.random((m, m)) < rng.choice([0.1, 0.5, 0.9]), 1)
    return different | different.T


def test_groups_are_the_maximal_cliques_of_what_is_not_different() -> None:
    for seed in range(250):
        different = pairs(seed)
        graph = networkx.Graph()
        graph.add_nodes_from(range(len(different)))
        graph.add_edges_from(np.argwhere(np.triu(~different, 1)).tolist())
        expected = sorted(tuple(sorted(clique)) for clique in networkx.find_cliques(graph))
        assert groups(different) == expected, seed


def test_two_share_a_letter_if_and_only_if_they_are_not_different() -> None:
    for seed in range(250):
        different = pairs(seed)
        found = [set(each) for each in letters(different)]
        for a in range(len(different)):
            assert found[a]
            for b in range(a):
                assert bool(found[a] & found[b]) == (not different[a, b])


def test_letters() -> None:
    assert letters([[0, 0, 1], [0, 0, 0], [1, 0, 0]]) == ["a", "ab", "b"]
    assert letters(np.zeros((3, 3))) == ["a", "a", "a"]
    assert letters(~np.eye(3, dtype=bool)) == ["a", "b", "c"]
    many = letters(~np.eye(30, dtype=bool))
    assert (many[0], many[25], many[26], many[29]) == ("a", "z", "aa", "ad")
    assert groups(np.zeros((0, 0))) == []
