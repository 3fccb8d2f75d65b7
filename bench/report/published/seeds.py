"""What seeds leave open between a published number and ours: both are of the same test images.

Theirs is a mean over as many runs as the source states, else one, and is taken to vary from run to run as
ours does from seed to seed. The draw of a contamination is a seed too: theirs was another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.board import Board
from bench.report.groups import CellGroup
from bench.stats.seeds import by_task, moderated_by_task, seeds_needed, seeds_needed_by_task
from bench.stats.variance import Variance, stacked

#: The least that a metric counts as away from 0 and 1.
_MARGIN = 1e-3


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """What seeds say of one of our numbers.

    Attributes
    ----------
    seeds : int
        On the task that has fewest; 0 where ours depends on none.
    needed : int
        How many it takes to tell anything.
    variance : Variance
        Of our mean, shape ().
    """

    seeds: int
    needed: int
    variance: Variance

    def reach(self, runs: int) -> float | None:
        """Return how far apart seeds alone may put theirs and ours, in 95 of 100 cases; None if not told.

        Parameters
        ----------
        runs : int
            That their number is a mean of.
        """
        if self.seeds < max(1, self.needed):
            return None
        return float(self.variance.scaled(math.sqrt(1 + self.seeds / runs)).reach())


def over_seeds(board: Board, row: int, columns: Sequence[int], rate: float, metric: str) -> OverSeeds:
    """Return what seeds say of a row's mean over columns of one data set, or of a single one of them.

    On a single task the method's other tasks of the data set help, as for the intervals by task.
    """
    groups = [board.group(row, column, rate) for column in columns]
    if not any(map(_random, groups)):
        return OverSeeds(0, 0, Variance.of(0.0, 1))
    held = [_values(group, metric) for group in groups]
    seeds = min(len(values) for group, values in zip(groups, held, strict=True) if _random(group))
    if len(columns) == 1:
        whole = board.datasets[board.plan.columns[columns[0]].dataset]
        every = [_values(board.group(row, column, rate), metric) for column in whole]
        if {len(values) for values in every} == {seeds}:
            found = moderated_by_task(np.array(every), np.full(len(every), _MARGIN))
            return OverSeeds(seeds, seeds_needed_by_task(len(whole)), found[whole.index(columns[0])])
    parts = [by_task(values).scaled(1 / len(held)) for values in held if values]
    return OverSeeds(
        seeds, seeds_needed(len(columns)), stacked(parts).sum(axis=0) if parts else Variance.of(0.0, 1)
    )


def _values(group: CellGroup, metric: str) -> list[float]:
    return list((group.by_seed(metric) or {}).values())


def _random(group: CellGroup) -> bool:
    return any(
        cell.seed is not None
        or ((how := cell.contamination).source != "official" and bool(how.rate or how.reserve))
        for cell in group.cells
    )
