"""Holm against statsmodels, groups against networkx, sets of ranks and equivalence written out."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.stats.multiple import (
    ROPE,
    equivalent,
    groups,
    holm,
    holm_pairs,
    letters,
    possible_bests,
    rank_sets,
    significantly_better,
)
from bench.stats.variance import Variance


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


NAN = float("nan")


def test_better_needs_a_difference_and_a_small_p_value() -> None:
    difference = np.array([[0.0, 0.2, 0.3], [-0.2, 0.0, 0.1], [-0.3, -0.1, 0.0]])
    adjusted = np.array([[1.0, 0.05, NAN], [0.05, 1.0, 0.051], [NAN, 0.051, 1.0]])
    found = significantly_better(difference, adjusted)
    assert np.argwhere(found).tolist() == [[0, 1]]
    assert np.argwhere(significantly_better(difference, adjusted, alpha=0.06)).tolist() == [[0, 1], [1, 2]]


def test_possible_bests_and_places() -> None:
    """The first beats the last two, the second the last: three may not be told apart, and so on."""
    better = np.zeros((4, 4), bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert possible_bests(better).tolist() == [True, True, False, False]
    assert rank_sets(better).tolist() == [[1, 2], [1, 3], [2, 4], [3, 4]]
    nobody = np.zeros((3, 3), bool)
    assert possible_bests(nobody).all()
    assert rank_sets(nobody).tolist() == [[1, 3]] * 3
    chain = np.triu(np.ones((4, 4), bool), 1)
    assert possible_bests(chain).tolist() == [True, False, False, False]
    assert rank_sets(chain).tolist() == [[1, 1], [2, 2], [3, 3], [4, 4]]


def test_places_are_those_of_every_order_that_is_possible() -> None:
    """By all orders in which no method stands before one that is significantly better."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        m = int(rng.integers(1, 6))
        strength = rng.normal(size=m)
        # Differences beyond 0.8 are significant: then "better" is an interval order.
        better = strength[:, None] - strength > 0.8
        orders = [
            order
            for order in itertools.permutations(range(m))
            if not any(better[order[b], order[a]] for a, b in itertools.combinations(range(m), 2))
        ]
        ranks = np.array([[order.index(at) + 1 for at in range(m)] for order in orders])
        assert rank_sets(better).tolist() == np.stack([ranks.min(axis=0), ranks.max(axis=0)], axis=1).tolist()
        assert possible_bests(better).tolist() == (ranks.min(axis=0) == 1).tolist()


def test_all_at_once_they_hold_in_95_percent() -> None:
    """Six normal means, two of them equal, 1,500 times: the best, all places, and no letter too many."""
    rng = np.random.default_rng(0)
    truth = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 7.0])
    wrong = {"best": 0, "places": 0, "letters": 0}
    upper = np.triu_indices(6, 1)
    for _ in range(1500):
        drawn = truth + rng.normal(size=6)
        difference = drawn[:, None] - drawn
        p = 2 * stats.norm.sf(np.abs(difference) / np.sqrt(2))
        better = significantly_better(difference, holm_pairs(p))
        low, high = rank_sets(better).T
        above, least = (truth > truth[:, None]).sum(axis=1), (truth >= truth[:, None]).sum(axis=1)
        wrong["best"] += not possible_bests(better)[5]
        wrong["places"] += bool(((low > least) | (high < 1 + above)).any())
        wrong["letters"] += bool((better & (difference > 0) & (truth[:, None] <= truth))[upper].any())
    assert {name: times / 1500 <= 0.065 for name, times in wrong.items()} == dict.fromkeys(wrong, True)


def test_pairs_that_cannot_be_told_are_neither_different_nor_counted() -> None:
    p = np.array([[1.0, 0.02, NAN], [0.02, 1.0, NAN], [NAN, NAN, 1.0]])
    adjusted = holm_pairs(p)
    assert adjusted[0, 1] == pytest.approx(0.02)
    assert np.isnan(adjusted[0, 2])
    difference = np.array([[0.0, 0.1, 0.5], [-0.1, 0.0, 0.4], [-0.5, -0.4, 0.0]])
    better = significantly_better(difference, adjusted)
    assert letters(better | better.T) == ["a", "b", "ab"]


def test_equivalence_is_two_one_sided_t_tests_with_holm() -> None:
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(4, 40)), 4
        held = rng.normal(0, 0.004, (n, m)) + np.array([0.0, 0.0, 0.002, 0.006])
        pairs = held[:, :, None] - held[:, None, :]
        off = ~np.eye(m, dtype=bool)
        found = equivalent(pairs.mean(axis=0), Variance.of(pairs.var(axis=0, ddof=1) / n, n - 1))
        upper = list(zip(*np.triu_indices(m, 1), strict=True))
        raw = [
            max(
                stats.ttest_1samp(pairs[:, a, b], -ROPE, alternative="greater").pvalue,
                stats.ttest_1samp(pairs[:, a, b], ROPE, alternative="less").pvalue,
            )
            for a, b in upper
        ]
        expected = multipletests(raw, method="holm")[1] <= 0.05
        assert [bool(found[a, b]) for a, b in upper] == expected.tolist(), seed
        assert (found == found.T).all()
        seen |= set(found[off].tolist())
    assert seen == {True, False}


def test_equivalence_at_its_edges() -> None:
    def one(difference: float, variance: float, **how: float) -> bool:
        held = np.array([[0.0, difference], [-difference, 0.0]])
        return bool(equivalent(held, Variance.of(np.full((2, 2), variance), 9), **how)[0, 1])

    assert one(0.001, 0.0)
    assert one(-0.001, 0.0)
    assert not one(0.02, 0.0), "different for certain"
    assert not one(0.0, NAN)
    assert not one(0.0, 1.0), "too much is left open"
    assert one(0.02, 0.0, rope=0.03)
    assert not one(ROPE, 1e-12)
    unknown = equivalent(np.zeros((2, 2)), Variance.of(np.full((2, 2), NAN), 9))
    assert unknown.tolist() == [[True, False], [False, True]]
