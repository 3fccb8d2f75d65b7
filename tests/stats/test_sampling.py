"""Draws: anyone can redo them, they go by weight, and the stated probability is that of the draw."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from bench.stats.sampling import chance_to_find, drawn, draws_needed, fewest_altered, parts, seed_text

KEYS = [f"key{at}" for at in range(40)]
GROUPS = [at // 4 for at in range(40)]
EVEN = np.ones(40)


def test_a_draw_depends_on_pack_and_nonce_alone() -> None:
    seed = seed_text("a" * 64, "nonce")
    first, second = drawn(KEYS, EVEN, GROUPS, 9, seed)
    assert (len(first), len(second)) == parts(9) == (5, 4)
    assert len({*first, *second}) == 9
    turned = drawn(KEYS[::-1], EVEN, GROUPS[::-1], 9, seed)
    assert [[KEYS[::-1][at] for at in part] for part in turned] == [
        [KEYS[at] for at in part] for part in (first, second)
    ]
    assert drawn(KEYS, EVEN, GROUPS, 9, seed_text("a" * 64, "other")) != (first, second)
    assert drawn(KEYS, EVEN, GROUPS, 9, seed_text("b" * 64, "nonce")) != (first, second)
    # What docs/submissions.md says: anybody can compute it.
    assert seed == "70a32d805b7057a528f967d34a39b89cd81b4d85455ebf266fadc532df43ebea"


def test_those_drawn_by_weight_are_of_different_groups_first() -> None:
    for at in range(50):
        first, _ = drawn(KEYS, EVEN, GROUPS, 20, seed_text("", str(at)))
        assert len({GROUPS[each] for each in first}) == 10
    everything, rest = drawn(KEYS, EVEN, GROUPS, 40, "seed")
    assert sorted([*everything, *rest]) == list(range(40))


def test_weights_are_how_often_a_unit_comes_first() -> None:
    weights, times = np.array([1.0, 2.0, 5.0]), 4000
    firsts = [drawn(KEYS[:3], weights, [0, 1, 2], 1, seed_text("", str(at)))[0][0] for at in range(times)]
    shares = np.bincount(firsts, minlength=3) / times
    assert np.abs(shares - weights / 8).max() < 4 * np.sqrt(0.25 / times)


@pytest.mark.parametrize(("altered", "n"), [(1, 4), (5, 6), (12, 9), (40, 1), (3, 40)])
def test_the_probability_is_that_of_draws_where_weights_lead_astray(altered: int, n: int) -> None:
    """The forger's cells have the least weight, so that only the second half of a draw finds them."""
    weights = np.where(np.arange(40) < altered, 1e-12, 1.0)
    times = 1500
    hits = [
        any(
            at < altered for part in drawn(KEYS, weights, range(40), n, seed_text("p", str(i))) for at in part
        )
        for i in range(times)
    ]
    wanted = chance_to_find(40, altered, n)
    first, second = parts(n)
    if altered <= 40 - first:
        exact = 1 - comb(40 - first - altered, second) / comb(40 - first, second)
        assert wanted == pytest.approx(exact, abs=1e-12)
    assert abs(np.mean(hits) - wanted) < 4 * np.sqrt(0.25 / times)


def test_how_many_must_be_altered() -> None:
    most = np.array([0.5, 0.1, 0.3, 0.1])
    assert fewest_altered(most, 0.1) == 1  # 0.4 in all
    assert fewest_altered(most, 0.15) == 2
    assert fewest_altered(most, 0.25) == 4
    assert fewest_altered(most, 0.26) == 5
    assert fewest_altered(np.full(50, 0.01), 0.01) == 50


def test_how_many_draws_it_takes() -> None:
    for units, altered in ((50, 5), (50, 25), (500, 20), (7, 1)):
        needed = draws_needed(units, altered)
        assert chance_to_find(units, altered, needed) >= 0.95 or needed == units
        assert chance_to_find(units, altered, needed - 1) < 0.95
    assert draws_needed(50, 50) == 1


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="positive finite weight"):
        drawn(KEYS, np.zeros(40), GROUPS, 1, "")
    with pytest.raises(ValueError, match="n from 0 to 40"):
        drawn(KEYS, EVEN, GROUPS, 41, "")
