"""What may be said of single tasks, and of how much methods' seeds differ there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from bench.report.evidence.blocks import BoardImages
from bench.report.evidence.comparison import ALPHA
from bench.report.groups import CellGroup
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.delong import least_p
from bench.stats.interval import perfect_interval, share_interval
from bench.stats.multiple import holm_pairs, possible_bests, significantly_better
from bench.stats.seeds import (
    TASKS_THAT_HELP,
    by_task,
    moderated_by_task,
    seeds_needed,
    seeds_needed_by_task,
)
from bench.stats.variance import Variance, stacked

#: Whether a method may be the best of a column: it may, it is significantly worse, or it cannot be told.
Mark = Literal["possible", "worse", "untold"]


class TaskTests(BoardImages):
    """A board's test images with its seeds: intervals and marks of each task."""

    def values(
        self,
        columns: Sequence[int],
        rows: Sequence[int],
        rate: float,
        seeds: Sequence[int | None] = (),
        *,
        metric: str = "auroc",
    ) -> Floats:
        """Return AUROCs, or another metric, of shape (rows, columns, seeds).

        What has no seeds, or others, repeats its mean. The seeds are those of all methods at the rate unless
        they are given.
        """
        groups = [[self.board.group(row, column, rate) for column in columns] for row in rows]
        at = seeds or self.seeds(rate)
        return np.array([[_by_seed(group, at, metric) for group in line] for line in groups])

    @cache  # noqa: B019
    def seeds(self, *rates: float) -> tuple[int | None, ...]:
        """Return the seeds that any method has at some rates; (None,) if nothing depends on one."""
        return self.seeds_of(range(len(self.board.plan.rows)), *rates) or (None,)

    def seeds_of(self, rows: Sequence[int], *rates: float) -> tuple[int, ...]:
        """Return the seeds, or draws of anomalies, that any of these rows has at some rates."""
        groups = (
            group.by_seed("auroc") or {}
            for rate in rates
            for row, *_, group in self.board.groups(rate=rate)
            if row in rows
        )
        return tuple(sorted({seed for held in groups for seed in held if seed is not None}))

    def untold(self, row: int, columns: Sequence[int], rates: Sequence[float], *, by_task: int = 0) -> int:
        """Return how many seeds it takes before anything can be told of a row; 0 where it can be.

        One draw of anomalies for all methods is a condition of the comparison, not a seed: what is told holds
        for this draw.

        Parameters
        ----------
        row : int
        columns : sequence of int
            Those that a mean is over.
        rates : sequence of float
        by_task : int
            Of a single task with so many in its data set.
        """
        needed = seeds_needed_by_task(by_task) if by_task else seeds_needed(len(columns))
        every = self.seeds(*rates)
        for rate in rates:
            for column in columns:
                group = self.board.group(row, column, rate)
                of = {seed for seed in group.by_seed("auroc") or {} if seed is not None}
                random = any(cell.seed is not None for cell in group.cells)
                if (random or len(of) > 1) and (len(of) < needed or of != set(every)):
                    return needed
        return 0

    def task_interval(self, row: int, column: int, rate: float) -> tuple[float, float] | None:
        """Return the interval of an AUROC: DeLong's variance and that over seeds, on the logit scale."""
        tested = self.task(column, rate)
        if tested is None or row not in tested.rows or self.untold_on_task(row, column, rate):
            return None
        at = tested.rows.index(row)
        auroc, variance = (
            tested.auroc[at : at + 1],
            tested.own[at : at + 1] + self._seeds_on(row, column, rate),
        )
        if np.isnan(variance.value[0]):
            return None
        low, high = share_interval(auroc, variance)[0].tolist()
        if not np.isnan(low):
            return low, high
        low, high = perfect_interval(anomalous=tested.anomalous, normal=tested.normal)
        return (low, high) if auroc[0] > 0.5 else (1 - high, 1 - low)

    def untold_on_task(self, row: int, column: int, rate: float) -> int:
        """Return how many seeds it takes before anything can be told of a row on a task; 0 if it can be."""
        tasks = len(self.board.datasets[self.board.plan.columns[column].dataset])
        return self.untold(row, [column], [rate], by_task=tasks)

    @cache  # noqa: B019
    def _seeds_of(self, row: int, dataset: str, rate: float) -> Variance:
        """Return the variance over seeds of a row on each task of a data set, with the help of the others."""
        columns = self.board.datasets[dataset]
        tested = [self.task(column, rate) for column in columns]
        margins = [0.5 / max(each.anomalous, each.normal) if each else 1e-3 for each in tested]
        return moderated_by_task(self.values(columns, [row], rate)[0], margins)

    def _seeds_on(self, row: int, column: int, rate: float) -> Variance:
        """Return the variance over seeds of a row's AUROC on a task, shape (1,)."""
        name = self.board.plan.columns[column].dataset
        at = self.board.datasets[name].index(column)
        return self._seeds_of(row, name, rate)[at : at + 1]

    def _seeds_of_pairs(self, rows: Sequence[int], column: int, rate: float) -> Variance:
        """Return the variances over seeds of all differences on a task, shape (m, m).

        Seed by seed, as for means, unless the other tasks help with each method's own.
        """
        name = self.board.plan.columns[column].dataset
        if len(self.board.datasets[name]) < TASKS_THAT_HELP:
            values = self.values([column], rows, rate)[:, 0]
            return by_task(values[:, None] - values[None, :])
        own = stacked([self._seeds_on(row, column, rate) for row in rows])
        both = np.broadcast_to(own.value, (len(rows),) * 2), np.broadcast_to(own.freedom, (len(rows),) * 2)
        every = Variance(both[0], both[1]), Variance(both[0].T, both[1].T)
        return stacked([*every]).sum(axis=0)

    def task_marks(self, rows: Sequence[int], column: int, rate: float) -> list[Mark | None]:
        """Return whether each row may be the best on a task, None where there are no scores.

        By the paired test of all pairs (DeLong's variance and that over seeds) with Holm's correction.
        """
        tested = self.task(column, rate)
        held = [row for row in rows if tested is not None and row in tested.rows]
        if tested is None or len(held) < 2:
            return [None] * len(rows)
        at = [tested.rows.index(row) for row in held]
        pairs = tested.pairs[np.ix_(at, at)] + self._seeds_of_pairs(held, column, rate)
        told = np.array([not self.untold_on_task(row, column, rate) for row in held])
        known = told[:, None] & told & ~np.isnan(pairs.value)
        difference = tested.auroc[at][:, None] - tested.auroc[at]
        p = pairs.p(difference, least=least_p(tested.anomalous, tested.normal))
        better = significantly_better(difference, holm_pairs(np.where(known, p, np.nan)), ALPHA)
        may, known = possible_bests(better), known.sum(axis=1) > 1
        marks: dict[int, Mark] = {
            row: "untold" if not known[each] else "possible" if may[each] else "worse"
            for each, row in enumerate(held)
        }
        return [marks.get(row) for row in rows]


def _by_seed(group: CellGroup, seeds: Sequence[int | None], metric: str) -> list[float]:
    """Return a complete group's metric for each seed; its mean for all where it has not just these."""
    held = group.by_seed(metric) or {}
    if set(held) == set(seeds):
        return [held[seed] for seed in seeds]
    return [mean(held.values())] * len(seeds)
