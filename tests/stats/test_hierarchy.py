"""The hierarchical bootstrap by what its draws must have on average, and the intervals made of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.stats.hierarchy import LEVELS, hierarchical
from bench.stats.overall import LEAST, overall


def values(seed: int, *, n: int = 6, m: int = 3, seeds: int = 2) -> list[np.ndarray]:
    """Return m methods on n data sets of 1 to 4 tasks."""
    rng = np.random.default_rng(seed)
    return [
        0.8 + 0.05 * rng.normal(size=(m, 1, 1)) + 0.02 * rng.normal(size=(m, int(tasks), seeds))
        for tasks in rng.integers(1, 5, n)
    ]


def ranks(value: np.ndarray) -> np.ndarray:
    """Return the mean rank of each method over the tasks of one data set, of its seeds' means."""
    return stats.rankdata(-value.mean(axis=2), axis=0).mean(axis=1)


def test_without_levels_it_is_the_plain_mean() -> None:
    held = values(0)
    found = hierarchical(held, draws=2, levels=())
    tasks = [each.shape[1] for each in held]
    for at in range(2):
        np.testing.assert_allclose(found.mean[at], np.mean([v.mean(axis=(1, 2)) for v in held], axis=0))
        np.testing.assert_allclose(
            found.rank[at], np.average([ranks(v) for v in held], axis=0, weights=tasks)
        )


def test_standard_error_is_that_of_a_mean_over_data_sets() -> None:
    for seed in range(200):
        held = values(seed, n=2 + seed % 7)
        found = hierarchical(held, draws=1, levels=())
        means = np.array([v.mean(axis=(1, 2)) for v in held])
        np.testing.assert_allclose(found.mean_se[0], stats.sem(means, axis=0), atol=1e-9)
        # Mean ranks weigh data sets by their tasks: a ratio of sums.
        of, w = np.array([ranks(v) for v in held]), np.array([[v.shape[1]] for v in held])
        mean, n = (of * w).sum(axis=0) / w.sum(), len(held)
        linearised = np.sqrt(n / (n - 1) * ((w * (of - mean)) ** 2).sum(axis=0)) / w.sum()
        np.testing.assert_allclose(found.rank_se[0], linearised, atol=1e-9)


def test_variance_of_each_level() -> None:
    """Data sets drawn: (n - 1) / n of s² / n; tasks and seeds drawn inside: the variances of their means."""
    rng = np.random.default_rng(0)
    held = [rng.normal(size=(1, 5, 1)) for _ in range(4)]
    means = np.array([each.mean() for each in held])
    within = np.array([each.var() / 5 for each in held])
    drawn = {
        name: hierarchical(held, draws=20_000, levels=levels).mean.var()
        for name, levels in (("datasets", ["datasets"]), ("tasks", ["tasks"]), ("all", LEVELS))
    }
    assert drawn["datasets"] == pytest.approx(means.var() / 4, rel=0.05)
    assert drawn["tasks"] == pytest.approx(within.sum() / 16, rel=0.05)
    # Each copy of a data set draws its tasks anew.
    assert drawn["all"] == pytest.approx((means.var() + within.mean()) / 4, rel=0.05)
    only_seeds = [rng.normal(size=(1, 1, 3))]
    expected = only_seeds[0].var() / 3
    assert hierarchical(only_seeds, draws=20_000, levels=["seeds"]).mean.var() == pytest.approx(
        expected, rel=0.05
    )


def test_data_sets_of_a_block_are_drawn_together() -> None:
    held = [np.full((1, 1, 1), each) for each in (0.0, 1.0, 5.0, 6.0)]
    found = hierarchical(held, blocks=[7, 7, 9, 9], draws=200, levels=["datasets"])
    assert set(np.round(found.mean.ravel(), 9)) == {0.5, 3.0, 5.5}
    assert hierarchical(held, blocks=[1, 1, 1, 1], draws=3).mean.ravel().tolist() == [3.0] * 3


def test_seeds_and_classes_are_not_more_data_sets() -> None:
    """Every seed and every task ten times over changes neither the standard error nor Student's interval."""
    held = values(1, n=4)
    more = [np.tile(each, (1, 10, 10)) for each in held]
    one, other = overall(held), overall(more)
    assert (one.blocks, other.blocks) == (4, 4)
    np.testing.assert_allclose(one.mean.se, other.mean.se)
    np.testing.assert_allclose(one.mean.low, other.mean.low)
    np.testing.assert_allclose(one.rank.high, other.rank.high)


def test_few_blocks_get_students_interval() -> None:
    for seed in range(200):
        n = 2 + seed % (LEAST - 2)
        held = values(seed, n=n)
        found = overall(held).mean
        means = np.array([v.mean(axis=(1, 2)) for v in held])
        low, high = stats.t.interval(0.95, n - 1, means.mean(axis=0), stats.sem(means, axis=0))
        np.testing.assert_allclose(found.low, low, atol=1e-9)
        np.testing.assert_allclose(found.high, high, atol=1e-9)


def test_studentised_interval_by_its_definition() -> None:
    """Drawn from data sets alone it can be written out; the overall one draws tasks and seeds besides."""
    means = np.random.default_rng(0).exponential(size=9)
    held = [np.full((1, 1, 1), each) for each in means]
    found = overall(held, draws=4000)
    rng = np.random.default_rng(1)
    drawn = means[rng.integers(0, 9, (40_000, 9))]
    t_values = (drawn.mean(axis=1) - means.mean()) / stats.sem(drawn, axis=1)
    low, high = means.mean() - stats.sem(means) * np.quantile(t_values, [0.975, 0.025])
    assert (found.mean.low[0], found.mean.high[0]) == pytest.approx((low, high), rel=0.1)
    # Skewed to the right, so is the interval.
    assert high - means.mean() > 1.2 * (means.mean() - low)


def test_one_data_set_has_a_mean_but_no_interval() -> None:
    found = overall(values(0, n=1))
    assert np.isfinite(found.mean.estimate).all()
    for each in (found.mean.se, found.mean.low, found.rank.high):
        assert np.isnan(each).all()


def test_limits_and_nothing_that_varies() -> None:
    rng = np.random.default_rng(0)
    held = [1 - 0.1 * np.abs(rng.normal(size=(2, 3, 1))) for _ in range(3)]
    found = overall(held, limits=(0.0, 1.0))
    assert (found.mean.high <= 1).all()
    assert (found.rank.low >= 1).all()
    assert (found.rank.high <= 2).all()
    alike = overall([np.array([[[0.9]], [[0.5]]])] * 8)
    assert alike.rank.low.tolist() == alike.rank.high.tolist() == [1.0, 2.0]


def test_methods_keep_their_places() -> None:
    held = values(3, n=7)
    one, other = overall(held), overall([each[::-1] for each in held])
    np.testing.assert_allclose(one.mean.low, other.mean.low[::-1], atol=1e-12)
    np.testing.assert_allclose(one.rank.high, other.rank.high[::-1], atol=1e-12)
    again = overall(held)
    assert (again.mean.low == one.mean.low).all()


@pytest.mark.parametrize(
    ("held", "options", "word"),
    [
        ([], {}, "for each data set"),
        ([np.zeros((2, 3))], {}, "for each data set"),
        ([np.zeros((2, 3, 1)), np.zeros((1, 3, 1))], {}, "for each data set"),
        ([np.zeros((2, 0, 1))], {}, "for each data set"),
        ([np.full((2, 3, 1), np.nan)], {}, "without NaN"),
        ([np.zeros((2, 3, 1))], {"levels": ["classes"]}, "datasets, tasks, seeds"),
        ([np.zeros((2, 3, 1))], {"blocks": [1, 2]}, "a block for each"),
    ],
)
def test_bad_input_is_refused(held: list[np.ndarray], options: dict[str, list[object]], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        hierarchical(held, **options)
