"""Means over data sets: scipy's t test and interval, the ratio estimator written out, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats.overdatasets import BOOTSTRAP_FROM, blocked, mean_intervals


def values(n: int, m: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.6, 0.9, (n, 1)) + rng.normal(0, 0.03, (n, m))


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_one_data_set_a_block_is_scipys_paired_t_test(n: int) -> None:
    held = values(n, 3, seed=n)
    found = blocked(held, range(n))
    assert found.mean == pytest.approx(held.mean(axis=0))
    pairs = found.differences()
    p = pairs.variance.p(pairs.mean).reshape(3, 3)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert p[a, b] == pytest.approx(stats.ttest_rel(held[:, a], held[:, b]).pvalue, rel=1e-9)
        assert p[b, a] == p[a, b]
    assert pairs.mean.reshape(3, 3)[0, 1] == pytest.approx((held[:, 0] - held[:, 1]).mean())


@pytest.mark.parametrize("n", [2, 5, 7])
def test_few_data_sets_have_the_t_interval_on_the_logit_scale(n: int) -> None:
    held = values(n, seed=n)
    low, high = mean_intervals(blocked(held, range(n)))[1]
    mean, se = held[:, 1].mean(), stats.sem(held[:, 1])
    reach = stats.t.ppf(0.975, n - 1) * se / (mean * (1 - mean))
    at = math.log(mean / (1 - mean))
    assert (low, high) == pytest.approx((1 / (1 + math.exp(reach - at)), 1 / (1 + math.exp(-at - reach))))


def test_what_is_no_share_has_scipys_t_interval() -> None:
    held = values(5)[:, :1] - values(5)[:, 1:]
    expected = stats.ttest_1samp(held[:, 0], 0).confidence_interval()
    assert mean_intervals(blocked(held, range(5)), shares=False)[0] == pytest.approx(tuple(expected))


def test_several_data_sets_in_a_block_are_a_ratio_estimator() -> None:
    """Cochran 1977, equation 6.13: blocks are drawn, and every data set counts alike."""
    held, blocks = values(6), [4, 4, 4, 9, 9, 0]
    found = blocked(held, blocks)
    assert sorted(found.weights.tolist()) == [1, 2, 3]
    assert found.mean == pytest.approx(held.mean(axis=0))
    mean = held.mean(axis=0)
    residuals = [sum(held[at] - mean for at in range(6) if blocks[at] == block) for block in (4, 9, 0)]
    expected = 3 / (3 - 1) * sum(np.square(each) for each in residuals) / 6**2
    assert found.variance.value == pytest.approx(expected)
    assert found.variance.freedom == pytest.approx([2.0, 2.0])


def test_a_block_twice_as_large_counts_twice() -> None:
    held = np.array([[0.9], [0.9], [0.6]])
    assert blocked(held, [0, 0, 1]).mean[0] == pytest.approx(0.8)


def test_a_single_block_says_nothing_of_others() -> None:
    found = blocked(values(3), [5, 5, 5])
    assert np.isnan(found.variance.value).all()
    assert np.isnan(mean_intervals(found)).all()
    assert np.isnan(found.differences().variance.p(found.differences().mean)).all()


def coverage(drawn: np.ndarray, truth: float, *, shares: bool = True) -> float:
    """Return how many of m columns' intervals hold the true mean over n blocks (rows)."""
    low, high = mean_intervals(blocked(drawn, range(len(drawn))), shares=shares).T
    return float(((low <= truth) & (truth <= high)).mean())


def test_coverage_of_the_bootstrap_on_ten_blocks() -> None:
    """Of 600 samples of 10; three standard errors are 2.7 points."""
    rng = np.random.default_rng(0)
    assert BOOTSTRAP_FROM <= 10
    assert coverage(rng.normal(0.8, 0.03, (10, 600)), 0.8) == pytest.approx(0.95, abs=0.03)
    # Left-skewed, as AUROCs near 1 are: there Student's t misses more often.
    skewed = 1 - rng.gamma(2, 0.03, (10, 600))
    assert coverage(skewed, 0.94) > 0.92


def test_coverage_of_the_logit_interval_on_five_blocks() -> None:
    skewed = 1 - np.random.default_rng(1).gamma(2, 0.03, (5, 2000))
    assert coverage(skewed, 0.94) > 0.92


def test_the_bootstrap_is_near_students_t_where_all_is_normal() -> None:
    held = np.random.default_rng(3).normal(0.7, 0.02, (40, 1))
    low, high = mean_intervals(blocked(held, range(40)))[0]
    expected = stats.ttest_1samp(held[:, 0], 0).confidence_interval()
    assert (low, high) == pytest.approx(tuple(expected), abs=0.0015)
    again = mean_intervals(blocked(held, range(40)))[0]
    assert (low, high) == tuple(again.tolist())


def test_the_studentised_bootstrap_by_definition() -> None:
    """Each resample's mean and standard error written out, with blocks of unlike size."""
    held, blocks = values(12, 1, seed=2), [0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 7]
    found = blocked(held, blocks)
    n = 8
    times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 4000)
    t_values = []
    for often in times:
        at = np.repeat(np.arange(n), often)
        of = blocked(np.concatenate([held[np.array(blocks) == each] for each in at]),
                     np.repeat(np.arange(n), [int(found.weights[each]) for each in at]))  # fmt: skip
        se = np.sqrt(of.variance.value[0])
        if se > 1e-9:
            t_values.append((of.mean[0] - found.mean[0]) / se)
    se = np.sqrt(found.variance.value[0])
    upper, lower = np.quantile(t_values, [0.975, 0.025])
    expected = (found.mean[0] - upper * se, found.mean[0] - lower * se)
    assert mean_intervals(found)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [4, 9])
def test_what_does_not_vary_is_certain_and_shares_stay_shares(n: int) -> None:
    held = np.stack([np.full(n, 0.75), np.ones(n), 1 - 0.001 * np.arange(n) ** 3 / n**3], axis=1)
    found = mean_intervals(blocked(held, range(n)))
    assert found[0] == pytest.approx([0.75, 0.75])
    assert found[1] == pytest.approx([1.0, 1.0])
    assert 0 < found[2, 0] < held[:, 2].mean() < found[2, 1] <= 1


@pytest.mark.parametrize(
    ("held", "blocks"),
    [
        (np.zeros((2, 2)), [0]),
        (np.zeros(2), [0, 0]),
        (np.zeros((0, 2)), []),
        (np.array([[np.nan]]), [0]),
    ],
)
def test_bad_input_is_refused(held: np.ndarray, blocks: list[int]) -> None:
    with pytest.raises(ValueError, match="without NaN and a block each"):
        blocked(held, blocks)
