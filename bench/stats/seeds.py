"""What seeds leave open about methods' means, estimated within tasks.

The seeds of a cell are drawn for its task alone, so that what they do on one task says nothing of another:
the variance of a mean over T tasks is the sum of T variances with S - 1 degrees of freedom each, together
about T (S - 1). Estimated from the S means over tasks instead it would have S - 1: one for two seeds.

On a single task few seeds tell little. There a method's variances on the other tasks help: on the logit
scale, where they are alike near 100 % and in the middle, each is drawn towards their common size, as far as
they agree.

References
----------
Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments", Statistical Applications in Genetics and Molecular Biology 3, 2004 (moderated variances).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import polygamma, psi

from bench.stats import Floats
from bench.stats.variance import Variance

#: Degrees of freedom from which a variance over seeds can be told, and seeds that a single task needs.
LEAST_FREEDOM, SEEDS_OF_ONE_TASK = 3, 5
#: Tasks, and degrees of freedom over all of them, from which the others help on one task.
TASKS_THAT_HELP, FREEDOM_THAT_HELPS = 5, 5


def seeds_needed(tasks: int) -> int:
    """Return how many seeds it takes before the variance of a mean over so many tasks can be told."""
    return SEEDS_OF_ONE_TASK if tasks == 1 else 1 + math.ceil(LEAST_FREEDOM / tasks)


def seeds_needed_by_task(tasks: int) -> int:
    """Return how many seeds it takes before a variance on one of so many tasks can be told."""
    if tasks < TASKS_THAT_HELP:
        return SEEDS_OF_ONE_TASK
    return min(SEEDS_OF_ONE_TASK, 1 + math.ceil(FREEDOM_THAT_HELPS / tasks))


def variance_over_seeds(values: ArrayLike, weights: ArrayLike) -> Variance:
    """Return the variances of weighted means over tasks and seeds.

    Parameters
    ----------
    values : array_like, shape (..., tasks, seeds)
        For the difference of two methods with the same seeds: their differences, seed by seed.
    weights : array_like, shape (tasks,)

    Returns
    -------
    Variance, shape (...)
        0 for a single seed, of which nothing can be told.
    """
    return by_task(values).scaled(weights).sum(axis=-1)


def by_task(values: ArrayLike) -> Variance:
    """Return the variance of the mean over seeds on each task, shape (..., tasks)."""
    held: Floats = np.asarray(values, np.float64)
    seeds = held.shape[-1]
    if seeds < 2:
        return Variance.of(np.zeros(held.shape[:-1]), 1)
    found = np.where(np.ptp(held, axis=-1) > 1e-13, held.var(axis=-1, ddof=1), 0.0)
    return Variance.of(found / seeds, seeds - 1)


def moderated_by_task(values: ArrayLike, margins: ArrayLike) -> Variance:
    """Return the variance of one method's mean over seeds on each task, with the help of its other tasks.

    Parameters
    ----------
    values : array_like, shape (tasks, seeds)
        AUROCs.
    margins : array_like, shape (tasks,)
        The least that an AUROC counts as away from 0 and 1: half an image.

    Returns
    -------
    Variance, shape (tasks,)
        With few tasks (`TASKS_THAT_HELP`) or nearly no spread each task's own.

    References
    ----------
    Smyth 2004, sections 5 and 6.2 (equations 5 to 8).
    """
    held: Floats = np.asarray(values, np.float64)
    tasks, seeds = held.shape
    if seeds < 2 or tasks < TASKS_THAT_HELP:
        return by_task(held)
    mean = np.clip(held.mean(axis=1), margins, 1 - np.asarray(margins))
    scale, freedom = mean * (1 - mean), seeds - 1
    own = held.var(axis=1, ddof=1) / scale**2
    varies = own > 1e-20
    if varies.sum() < 2:
        return by_task(held)
    prior, prior_freedom = _prior(own[varies], freedom)
    # Never more degrees of freedom than all tasks have together.
    total = min(freedom + prior_freedom, float(tasks * freedom))
    share = freedom / (freedom + prior_freedom)
    posterior = (1 - share) * prior + share * own
    return Variance.of(posterior * scale**2 / seeds, total)


def _prior(variances: Floats, freedom: int) -> tuple[float, float]:
    """Return the common size of variances and its degrees of freedom, infinite where they are alike."""
    logs = np.log(variances) - psi(freedom / 2) + math.log(freedom / 2)
    centre = float(logs.mean())
    beyond = float(logs.var(ddof=1)) - float(polygamma(1, freedom / 2))
    if beyond <= 1e-6:
        return float(variances.mean()), math.inf
    half = brentq(lambda x: float(polygamma(1, x)) - beyond, 1e-3, 1e7) if beyond < 1e6 else 1e-3
    return math.exp(centre + float(psi(half)) - math.log(half)), 2 * half
