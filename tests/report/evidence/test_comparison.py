"""Standings: the scope of a claim, its tests and intervals, against their references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from bench.report.evidence.comparison import Samples, best, compare_methods
from bench.stats.bootstrap import with_seeds
from bench.stats.multiple import holm
from bench.stats.overall import overall
from bench.stats.power import smallest_difference, smallest_difference_of


def samples(
    means: np.ndarray, *, spread: float | None = None, blocks: tuple[int, ...] | None = None, seeds: int = 1
) -> Samples:
    """Return methods (columns) on data sets (rows), each of two tasks, and their replicates if any."""
    rng = np.random.default_rng(0)
    n, m = means.shape
    values = tuple(np.repeat(line[:, None, None], 2, axis=1) + np.zeros((m, 2, seeds)) for line in means)
    drawn = None
    if spread is not None:
        drawn = tuple(line[:, None] + rng.normal(scale=spread, size=(m, 500)) for line in means)
    return Samples(
        tuple(range(m)), blocks or tuple(range(n)), values, drawn, why="" if drawn else "no scores"
    )


def test_few_data_sets_are_compared_on_their_images() -> None:
    held = samples(np.array([[0.9, 0.8, 0.899], [0.7, 0.6, 0.699]]), spread=0.01)
    found = compare_methods(held)
    assert (found.scope, found.interval_scope, found.n, found.needed) == ("images", "images", 2, 7)
    assert found.letters == ("a", "b", "a")
    assert found.mean == pytest.approx([0.8, 0.7, 0.799])
    drawn = np.mean(held.replicates or (), axis=0)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = [with_seeds([found.mean[a] - found.mean[b]], drawn[a] - drawn[b]) for a, b in pairs]
    adjusted = holm([each.p for each in expected])
    for at, (a, b) in enumerate(pairs):
        assert found.difference[a, b] == pytest.approx(expected[at].estimate) == -found.difference[b, a]
        assert (found.low[a, b], found.high[a, b]) == pytest.approx((expected[at].low, expected[at].high))
        assert found.low[b, a] == pytest.approx(-found.high[a, b])
        assert found.adjusted[a, b] == pytest.approx(adjusted[at]) == found.adjusted[b, a]
    alone = with_seeds([0.8], drawn[0])
    assert found.on_images[0] == pytest.approx([alone.low, alone.high])
    assert best(found) == 0
    spread = float(np.median([each.se for each in expected]))
    assert found.smallest == pytest.approx(smallest_difference_of(spread, alpha=0.05 / 3))


def test_enough_data_sets_are_the_blocks() -> None:
    rng = np.random.default_rng(1)
    means = rng.uniform(0.6, 0.9, (9, 1)) - np.array([0.0, 0.05, 0.002]) + rng.normal(0, 0.004, (9, 3))
    found = compare_methods(samples(means))
    assert (found.scope, found.interval_scope) == ("data sets", "data sets")
    raw = [wilcoxon(means[:, a], means[:, b], method="exact").pvalue for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [found.adjusted[0, 1], found.adjusted[0, 2], found.adjusted[1, 2]] == pytest.approx(
        list(holm(raw))
    )
    assert found.letters == ("a", "b", "a")
    spreads = [np.std(means[:, a] - means[:, b], ddof=1) for a, b in ((0, 1), (0, 2), (1, 2))]
    smallest = smallest_difference(float(np.median(spreads)), 9, alpha=0.05 / 3)
    assert found.smallest == pytest.approx(smallest)
    over = overall([np.repeat(line[:, None, None], 2, axis=1) for line in means])
    assert found.interval[1] == pytest.approx([over.mean.low[1], over.mean.high[1]])
    assert found.rank_interval[1] == pytest.approx([over.rank.low[1], over.rank.high[1]])


def test_two_methods_need_six_data_sets() -> None:
    means = np.array([[0.9, 0.8]]) - np.arange(6)[:, None] / 100
    found = compare_methods(samples(means))
    assert found.scope == "data sets"
    assert found.adjusted[0, 1] == pytest.approx(2**-5)
    assert found.letters == ("a", "b")
    five = compare_methods(samples(means[:5]))
    assert (five.scope, five.needed, five.letters, five.why) == ("", 6, (), "no scores")
    assert np.isnan(five.smallest)
    # Five are enough for an interval, not for a test.
    assert five.interval_scope == "data sets"


def test_variants_of_one_data_set_are_one_block() -> None:
    means = np.array([[0.9, 0.8]]) - np.arange(6)[:, None] / 100
    found = compare_methods(samples(means, blocks=(0, 0, 0, 1, 1, 2)))
    assert (found.n, found.scope) == (3, "")
    assert found.by_block[0] == pytest.approx([0.89, 0.79])
    # Every data set has the same weight in the mean that is shown.
    assert found.mean == pytest.approx(means.mean(axis=0))


def test_equal_methods_share_everything() -> None:
    found = compare_methods(samples(np.array([[0.9, 0.9]]), spread=0.0))
    assert found.scope == "images"
    assert found.adjusted[0, 1] == 1
    assert best(found) == 0
    assert found.letters == ("a", "a")


def test_seeds_that_differ_much_prove_little() -> None:
    certain = samples(np.array([[0.9, 0.8]]), spread=0.01, seeds=2)
    values = certain.values[0].copy()
    values[0] += np.array([-0.05, 0.05])
    unsure = Samples(certain.rows, certain.blocks, (values,), certain.replicates)
    assert compare_methods(certain).letters == ("a", "b")
    assert compare_methods(unsure).letters == ("a", "a")
    widths = [np.ptp(compare_methods(each).on_images[0]) for each in (certain, unsure)]
    assert widths[1] > 5 * widths[0]


def test_one_method_has_an_interval_and_nothing_to_test() -> None:
    found = compare_methods(samples(np.array([[0.9]]), spread=0.01))
    assert (found.scope, found.letters, found.needed) == ("", (), 0)
    assert found.interval_scope == "images"
    assert found.across is None


def test_what_was_not_measured_alike_is_not_tested() -> None:
    held = samples(np.array([[0.9, 0.8]] * 8), spread=0.001)
    found = compare_methods(Samples(held.rows, held.blocks, held.values, None, "mixed", comparable=False))
    assert (found.scope, found.letters, found.across, found.interval_scope) == ("", (), None, "")
