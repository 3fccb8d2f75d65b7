"""Overall means and mean ranks with intervals over data sets, from the hierarchical bootstrap.

Plain percentiles would not do. With few data sets they are too narrow (75 % coverage for three), and drawing
tasks and seeds once more inside data sets, whose spread already holds theirs, makes them too wide (98 % where
only tasks differ). The intervals are therefore *studentised*: the deviation of each resample is divided by
its own standard error over blocks, so that what a level adds to the spread cancels, and a skewed distribution
of data sets is followed. With fewer than `LEAST` blocks resamples have hardly a standard error of their own;
there the interval is Student's t over blocks.

References
----------
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, sections 3.8 and 5.2.1.
Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from bench.stats import Floats
from bench.stats.hierarchy import hierarchical

#: Fewer blocks than this get Student's interval.
LEAST = 5


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """A quantity of m methods with standard errors and intervals over blocks; each of shape (m,).

    Attributes
    ----------
    estimate, se, low, high : ndarray
        All but the estimate are NaN for a single block, which has no spread.
    """

    estimate: Floats
    se: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Overall:
    """Overall means and mean ranks of m methods.

    Attributes
    ----------
    mean, rank : Estimates
    blocks : int
        How many independent blocks stand behind the intervals.
    """

    mean: Estimates
    rank: Estimates
    blocks: int


def overall(
    values: Sequence[ArrayLike],
    *,
    blocks: Sequence[int] | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    limits: tuple[float, float] | None = None,
) -> Overall:
    """Return the overall mean and the mean rank of each method with intervals over data sets like these.

    Parameters
    ----------
    values, blocks, draws, seed
        As for `hierarchical`. For the difference of two methods give one "method": their differences.
    level : float
    limits : (float, float), optional
        What a mean can be: intervals are cut there. Those of ranks are cut to [1, m].

    Raises
    ------
    ValueError
        As for `hierarchical`.

    References
    ----------
    Davison and Hinkley 1997, section 5.2.1 (studentised bootstrap intervals).
    """
    point = hierarchical(values, blocks=blocks, draws=1, levels=())
    n = len(values) if blocks is None else len(set(blocks))
    drawn = hierarchical(values, blocks=blocks, draws=draws, seed=seed) if n >= LEAST else None
    found = []
    for kind, cut in (("mean", limits), ("rank", (1.0, float(point.rank.shape[1])))):
        estimate, se = getattr(point, kind)[0], getattr(point, f"{kind}_se")[0]
        if drawn is None:
            reach = float(t.ppf((1 + level) / 2, n - 1)) * se if n > 1 else se
            low, high = estimate - reach, estimate + reach
        else:
            low, high = _studentised(
                estimate, se, getattr(drawn, kind), getattr(drawn, f"{kind}_se"), level=level
            )
        if cut is not None:
            low, high = np.clip(low, *cut), np.clip(high, *cut)
        found.append(Estimates(estimate, se, low, high))
    return Overall(mean=found[0], rank=found[1], blocks=n)


def _studentised(
    estimate: Floats, se: Floats, replicates: Floats, ses: Floats, *, level: float
) -> tuple[Floats, Floats]:
    """Return estimate - q · se for the upper and lower quantile q of (replicate - estimate) / its own se."""
    tail = (1 - level) / 2
    low, high = estimate.copy(), estimate.copy()
    for at in range(len(estimate)):
        there = ses[:, at] > 1e-9 * se[at]  # not where a resample is one block many times
        if se[at] > 0 and there.any():
            t_values = (replicates[there, at] - estimate[at]) / ses[there, at]
            low[at], high[at] = estimate[at] - se[at] * np.quantile(t_values, [1 - tail, tail])
    return low, high
