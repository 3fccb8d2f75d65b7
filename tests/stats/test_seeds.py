"""Variances over seeds: closed forms, independent tasks, and Smyth's moderated variances written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import polygamma, psi

from bench.stats.seeds import (
    FREEDOM_THAT_HELPS,
    LEAST_FREEDOM,
    SEEDS_OF_ONE_TASK,
    TASKS_THAT_HELP,
    by_task,
    moderated_by_task,
    seeds_needed,
    seeds_needed_by_task,
    variance_over_seeds,
)
from tests.stats.cases import welch


def test_of_each_task_it_is_the_variance_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 6))
    found = by_task(values)
    assert found.value == pytest.approx(values.var(axis=-1, ddof=1) / 6)
    assert found.freedom == pytest.approx(np.full((3, 4), 5.0))


def test_of_a_mean_over_tasks_it_is_the_sum_of_theirs() -> None:
    values = np.random.default_rng(1).normal(size=(2, 3, 4))
    weights = np.array([0.5, 0.25, 0.25])
    found = variance_over_seeds(values, weights)
    for at in (0, 1):
        parts = [
            weight**2 * np.var(task, ddof=1) / 4 for weight, task in zip(weights, values[at], strict=True)
        ]
        assert (found.value[at], found.freedom[at]) == pytest.approx(welch(parts, [3, 3, 3]))


def test_two_seeds_on_many_tasks_have_many_degrees_of_freedom() -> None:
    """T (S - 1) of them, on average; from the two means over tasks there would be one."""
    values = np.random.default_rng(2).normal(size=(500, 30, 2))
    found = variance_over_seeds(values, np.full(30, 1 / 30))
    assert 27 < found.freedom.mean() < 30
    assert found.value.mean() == pytest.approx(1 / 60, rel=0.03)


def test_what_all_tasks_share_is_not_what_seeds_leave_open() -> None:
    """Tasks that differ from one another add nothing, however much."""
    values = np.array([0.5, 0.9, 0.7])[:, None] + np.zeros((3, 4))
    assert variance_over_seeds(values, np.full(3, 1 / 3)).value == 0


def test_seeds_are_paired_in_a_difference() -> None:
    shared = np.random.default_rng(3).normal(size=(4, 5))
    assert variance_over_seeds((shared + 0.1) - shared, np.full(4, 0.25)).value == 0
    assert variance_over_seeds(shared, np.full(4, 0.25)).value > 0


def test_a_single_seed_adds_nothing() -> None:
    found = variance_over_seeds(np.ones((2, 3, 1)), np.full(3, 1 / 3))
    assert found.value.tolist() == [0.0, 0.0]


def test_rounding_is_no_spread() -> None:
    assert by_task([[0.1 + 0.2, 0.3, 0.3]]).value[0] == 0


def inverse_trigamma(value: float) -> float:
    """Return limma's solution by Newton's method."""
    x = 0.5 + 1 / value
    for _ in range(50):
        tri = float(polygamma(1, x))
        step = tri * (1 - tri / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x


def smyth(variances: np.ndarray, freedom: int) -> tuple[float, float]:
    """Return prior variance and degrees of freedom as limma's fitFDist, Smyth 2004, section 6.2."""
    e = np.log(variances) - psi(freedom / 2) + math.log(freedom / 2)
    beyond = np.mean((e - e.mean()) ** 2 * len(e) / (len(e) - 1) - polygamma(1, freedom / 2))
    prior = 2 * inverse_trigamma(float(beyond))
    return math.exp(e.mean() + psi(prior / 2) - math.log(prior / 2)), prior


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_moderated_variances_are_limmas(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    spread = 0.02 * np.exp(rng.normal(0, 1.2, 25))
    values = np.clip(
        0.85 + rng.normal(0, 0.05, (25, 1)) + spread[:, None] * rng.normal(size=(25, seeds)), 0, 1
    )
    mean = values.mean(axis=1)
    scale, freedom = mean * (1 - mean), seeds - 1
    own = values.var(axis=1, ddof=1) / scale**2
    prior, of_prior = smyth(own, freedom)
    assert 0 < of_prior < 200, "a case with a prior"
    posterior = (of_prior * prior + freedom * own) / (of_prior + freedom)
    found = moderated_by_task(values, np.full(25, 1e-3))
    assert found.value == pytest.approx(posterior * scale**2 / seeds, rel=1e-6)
    assert found.freedom == pytest.approx(np.full(25, min(of_prior + freedom, 25.0 * freedom)), rel=1e-6)


def test_variances_that_are_alike_are_pooled() -> None:
    """More alike than chance leaves them: each is their mean, with all their degrees of freedom."""
    values = 0.8 + np.tile([-0.01, 0.0, 0.01], (8, 1)) * np.linspace(0.99, 1.01, 8)[:, None]
    found = moderated_by_task(values, np.full(8, 1e-3))
    assert found.value == pytest.approx(np.full(8, values.var(axis=1, ddof=1).mean() / 3), rel=1e-6)
    assert found.freedom == pytest.approx(np.full(8, 16.0), rel=1e-6)


def test_near_one_hundred_variances_are_compared_on_the_logit_scale() -> None:
    """A spread in proportion to p (1 - p) is alike on all tasks, and each keeps its own."""
    at = np.array([0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
    values = at[:, None] + np.array([-1.0, 1.0, 0.0]) * 0.05 * (at * (1 - at))[:, None]
    found = moderated_by_task(values, np.full(6, 1e-3))
    assert found.value == pytest.approx(values.var(axis=1, ddof=1) / 3, rel=1e-6)
    assert found.freedom == pytest.approx(np.full(6, 12.0), rel=1e-6)


def test_an_auroc_of_one_counts_as_half_an_image_away() -> None:
    values = 0.8 + 0.01 * np.random.default_rng(0).normal(size=(6, 3))
    values[2] = 1.0
    near, far = (moderated_by_task(values, np.full(6, margin)).value[2] for margin in (1e-3, 1e-2))
    assert 0 < near < far < by_task(values).value[0]


def test_few_tasks_keep_their_own_and_one_seed_has_none() -> None:
    values = 0.8 + 0.01 * np.random.default_rng(0).normal(size=(TASKS_THAT_HELP, 3))
    few = values[: TASKS_THAT_HELP - 1]
    assert moderated_by_task(few, np.full(len(few), 1e-3)).value == pytest.approx(by_task(few).value)
    assert moderated_by_task(values, np.full(TASKS_THAT_HELP, 1e-3)).value[0] != by_task(values).value[0]
    assert not moderated_by_task(values[:, :1], np.full(TASKS_THAT_HELP, 1e-3)).value.any()
    still = np.full((8, 3), 0.9)
    still[0, 0] = 0.91
    assert moderated_by_task(still, np.full(8, 1e-3)).value == pytest.approx(by_task(still).value)


def test_false_findings_on_one_task_with_two_seeds() -> None:
    """Moderated, the t interval of one of ten tasks misses in 5 % of 2,000 benchmarks; its own would too,
    but be many times as wide."""
    rng = np.random.default_rng(0)
    missed, widths = 0, []
    for _ in range(400):
        values = 0.8 + 0.02 * rng.normal(size=(10, 2))
        found = moderated_by_task(values, np.full(10, 1e-3))
        missed += (np.abs(values.mean(axis=1) - 0.8) > found.reach()).sum()
        widths.append(np.median(by_task(values).reach()) / np.median(found.reach()))
    # Four standard errors, were the tasks of a benchmark independent, are 0.014.
    assert missed / 4000 == pytest.approx(0.05, abs=0.03)
    assert np.median(widths) > 3


def test_seeds_that_would_do() -> None:
    assert [seeds_needed(tasks) for tasks in (1, 2, 3, 4, 10)] == [5, 3, 2, 2, 2]
    for tasks in range(2, 30):
        needed = seeds_needed(tasks)
        assert tasks * (needed - 1) >= LEAST_FREEDOM > tasks * (needed - 2)
    assert [seeds_needed_by_task(tasks) for tasks in (1, 2, 4, 5, 10)] == [5, 5, 5, 2, 2]
    for tasks in range(TASKS_THAT_HELP, 30):
        needed = seeds_needed_by_task(tasks)
        assert needed <= SEEDS_OF_ONE_TASK
        assert tasks * (needed - 1) >= FREEDOM_THAT_HELPS
