"""A simulation of a run: the dispatcher that hands out real work, on workers that only count seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.run.schedule import Dispatcher
from bench.run.units import FeatureGroup, Unit


@dataclass(frozen=True, slots=True)
class Simulated:
    """How long a run takes.

    Attributes
    ----------
    makespan : float
        Seconds from the first unit's beginning to the last one's end.
    bound : float
        No order can be quicker: the larger of all seconds shared evenly (each group's features loaded once)
        and of the longest chain of extraction, loading and cell.
    loads : int
        How often a worker loaded a group's features.
    loading : float
        Seconds that this took.
    """

    makespan: float
    bound: float
    loads: int
    loading: float

    @property
    def ratio(self) -> float:
        return self.makespan / self.bound if self.bound else 1.0


def simulate(
    work: Sequence[Unit],
    *,
    devices: int,
    loading: Callable[[FeatureGroup], float] = lambda _: 0.0,
    seconds: Callable[[Unit], float] = lambda unit: unit.seconds,
) -> Simulated:
    """Run units on so many workers, one at a time on each.

    Parameters
    ----------
    loading : callable
        Seconds that a worker takes to read a group's features before the first of its cells there.
    seconds : callable
        What a unit really takes; the dispatcher knows only what is estimated.
    """
    dispatcher = Dispatcher(work, devices=devices, loading=loading)
    hot: dict[int, FeatureGroup] = {}
    busy: list[tuple[float, int, Unit]] = []
    idle = list(range(devices - 1, -1, -1))
    now, loads, loading_seconds = 0.0, 0, 0.0
    while dispatcher.left:
        for worker in list(reversed(idle)):
            unit = dispatcher.take(worker)
            if unit is None:
                continue
            idle.remove(worker)
            spent = seconds(unit)
            if unit.runs_cells and hot.get(worker) != unit.group:
                hot[worker] = unit.group
                loads, loading_seconds = loads + 1, loading_seconds + loading(unit.group)
                spent += loading(unit.group)
            heapq.heappush(busy, (now + spent, worker, unit))
        now, worker, unit = heapq.heappop(busy)
        dispatcher.done(unit)
        idle.append(worker)
    return Simulated(now, lower_bound(work, devices, loading, seconds), loads, loading_seconds)


def lower_bound(
    work: Sequence[Unit],
    devices: int,
    loading: Callable[[FeatureGroup], float],
    seconds: Callable[[Unit], float],
) -> float:
    """Return the seconds that no order of this work on so many devices can undercut."""
    extraction: dict[FeatureGroup, float] = {}
    longest: dict[FeatureGroup, float] = {}
    for unit in work:
        of = longest if unit.runs_cells else extraction
        of[unit.group] = max(of.get(unit.group, 0.0), seconds(unit))
    total = sum(map(seconds, work)) + sum(loading(group) for group in longest)
    chains = [extraction.get(group, 0.0) + loading(group) + most for group, most in longest.items()]
    return max([total / devices, *chains, *extraction.values()], default=0.0)
