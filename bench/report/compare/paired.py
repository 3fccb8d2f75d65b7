"""The values of one task on both sides, seed by seed, and what seeds leave open about their difference.

Seeds that both sides have are compared one by one, so that what a seed does to both does not count; without
any in common the two means vary independently. Where only draws of anomalies have seeds, and both sides have
the same, these draws are a condition of the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.report.compare.sides import Measured, ResultKey
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.seeds import by_task
from bench.stats.variance import Variance, stacked

Cells = Mapping[str, Measured]


@dataclass(frozen=True, slots=True, eq=False)
class PairedTask:
    """One task.

    Attributes
    ----------
    place : ResultKey
    metric : str
    before, after : mapping of str to Measured
        The finished cells that are compared, by seed; where any seeds are common, those alone.
    changed : tuple of str
        What differs in the cells' keys.
    """

    place: ResultKey
    metric: str
    before: Cells
    after: Cells
    changed: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        return self.before.keys() == self.after.keys()

    @property
    def values(self) -> tuple[Floats, Floats]:
        """Of both sides, shape (seeds,)."""
        first, second = (
            np.array([each.metrics[self.metric] for each in side.values()])
            for side in (self.before, self.after)
        )
        return first, second

    @property
    def means(self) -> tuple[float, float]:
        first, second = self.values
        return mean(first.tolist()), mean(second.tolist())

    @property
    def seeds(self) -> int:
        """How many seeds there are, on the side that has fewer; 0 where the difference depends on none."""
        return min((len(side) for side in (self.before, self.after) if self._random(side)), default=0)

    def _random(self, side: Cells) -> bool:
        return any(each.random for each in side.values()) or not (self.paired or "" in side)

    @property
    def same(self) -> bool:
        """Whether the metric is the same to the last digit."""
        first, second = self.values
        return self.paired and bool((first == second).all())

    @property
    def identical(self) -> bool:
        """Whether the scores are the same to the bit; of a CSV, all metrics."""
        return self.paired and all(_identical(self.before[seed], self.after[seed]) for seed in self.before)

    @property
    def over_seeds(self) -> Variance:
        """The variance over seeds of the difference of the means, shape ()."""
        first, second = self.values
        if not self.seeds:
            return Variance.of(0.0, 1)
        return (
            by_task(second - first) if self.paired else stacked([by_task(first), by_task(second)]).sum(axis=0)
        )


def held(
    place: ResultKey, metric: str, before: Cells, after: Cells, changed: tuple[str, ...] = ()
) -> PairedTask | None:
    """Return what both sides have of a task; None where one of them has no value."""
    first, second = finished(before, metric), finished(after, metric)
    if common := sorted(first.keys() & second.keys()):
        first, second = ({seed: each[seed] for seed in common} for each in (first, second))
    return PairedTask(place, metric, first, second, changed) if first and second else None


def finished(side: Cells, metric: str) -> dict[str, Measured]:
    """Return the cells of a place that have the metric, by seed."""
    return {seed: each for seed, each in side.items() if each.status == "ok" and metric in each.metrics}


def _identical(a: Measured, b: Measured) -> bool:
    first, second = a.record, b.record
    if a.metrics != b.metrics or first is None or second is None:
        return a.metrics == b.metrics
    scores = bool(first.scores_sha256) and first.scores_sha256 == second.scores_sha256
    return scores and first.truth == second.truth
