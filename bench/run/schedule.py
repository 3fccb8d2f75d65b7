"""Dispatch: which unit of work a worker gets next. Pure: real runs and simulations share it.

Three rules. A group's cells wait until its features are extracted. A worker stays with the group whose
features it has in memory, and takes the longest cells first. But a unit that is long compared with all other
work, counted from the extraction that it waits for, goes first: started last, it would leave other devices
idle.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from bench.run.units import FeatureGroup, Unit

#: A unit is urgent if it takes more than this share of the time left with every device busy.
URGENT = 0.5


@dataclass(slots=True, eq=False)
class _GroupWork:
    """A group's work that no worker has yet; the longest last in each list."""

    loading: float
    extractions: list[Unit] = field(default_factory=list)
    cells: list[Unit] = field(default_factory=list)
    #: Unfinished parts of the extraction.
    extracting: int = 0
    seconds: float = 0.0
    #: Workers that have its features in memory.
    workers: int = 0

    def ready(self) -> list[Unit]:
        """Return the units that can start now."""
        return self.extractions or ([] if self.extracting else self.cells)

    def chain(self, unit: Unit) -> float:
        """Return the seconds from a unit's start to the end of the longest cell that waits for it."""
        if unit.part is None or not self.cells:
            return unit.seconds
        return unit.seconds + self.loading + self.cells[-1].seconds

    def share(self) -> float:
        """Return the seconds left for each of its workers once it has one more."""
        return self.seconds / (1 + self.workers)

    def queue(self, unit: Unit) -> list[Unit]:
        return self.cells if unit.part is None else self.extractions

    def put(self, unit: Unit) -> None:
        self.queue(unit).append(unit)
        self.queue(unit).sort(key=lambda each: each.seconds)
        self.seconds += unit.seconds

    def remove(self, unit: Unit) -> None:
        queue = self.queue(unit)
        at = next(at for at in range(len(queue) - 1, -1, -1) if queue[at] is unit)
        del queue[at]
        # Rounding errors must not look like work.
        self.seconds = self.seconds - unit.seconds if self.cells or self.extractions else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    unit: Unit
    group: _GroupWork
    chain: float


class Dispatcher:
    """Gives units to workers.

    Parameters
    ----------
    work : iterable of Unit
    devices : int
        Workers that can be busy at once.
    loading : callable, optional
        Seconds that a worker takes to read a group's features; 0 by default.
    """

    def __init__(
        self, work: Iterable[Unit], *, devices: int, loading: Callable[[FeatureGroup], float] = lambda _: 0.0
    ) -> None:
        self._devices = max(1, devices)
        self._groups: dict[FeatureGroup, _GroupWork] = {}
        self._hot: dict[Hashable, _GroupWork] = {}
        self._out: dict[int, Unit] = {}
        # Longest last, and among equals the first of the plan last: units are taken from the end.
        planned = list(work)
        planned.reverse()
        planned.sort(key=lambda unit: unit.seconds)
        for unit in planned:
            group = self._groups.setdefault(unit.group, _GroupWork(loading(unit.group)))
            group.queue(unit).append(unit)
            group.seconds += unit.seconds
            group.extracting += not unit.runs_cells
        self._waiting = list(reversed(self._groups.values()))

    @property
    def left(self) -> int:
        """Units that are not done, including those that workers have."""
        return len(self._out) + sum(len(g.cells) + len(g.extractions) for g in self._waiting)

    @property
    def seconds_left(self) -> float:
        """Estimated seconds of work that no worker has yet."""
        return sum(group.seconds for group in self._waiting)

    def take(self, worker: Hashable, fits: Callable[[Unit], bool] = lambda _: True) -> Unit | None:
        """Return a unit for an idle worker; None if nothing can start there now.

        Parameters
        ----------
        worker : hashable
            The process that has features in memory.
        fits : callable, optional
            Whether a unit fits the memory that its device has left.
        """
        offers = []
        for group in self._waiting:
            unit = next((unit for unit in reversed(group.ready()) if fits(unit)), None)
            if unit is not None:
                offers.append(_Offer(unit, group, group.chain(unit)))
        if not offers:
            return None
        chosen = self._choose(offers, self._hot.get(worker))
        self._move(worker, chosen.group)
        chosen.group.remove(chosen.unit)
        if not (chosen.group.cells or chosen.group.extractions):
            self._waiting.remove(chosen.group)
        self._out[id(chosen.unit)] = chosen.unit
        return chosen.unit

    def _choose(self, offers: list[_Offer], hot: _GroupWork | None) -> _Offer:
        own = next((offer for offer in offers if offer.group is hot), None)
        longest = max(offers, key=lambda offer: offer.chain)
        if own is not None and longest.chain <= own.chain + longest.group.loading:
            return own
        if longest.chain > URGENT * self.seconds_left / self._devices:
            return longest
        return own or max(offers, key=lambda offer: offer.group.share())

    def _move(self, worker: Hashable, group: _GroupWork) -> None:
        if self._hot.get(worker) is not group:
            self.forget(worker)
            group.workers += 1
            self._hot[worker] = group

    def done(self, unit: Unit) -> None:
        """Note that a unit has ended, failed or not: cells whose features failed say so themselves."""
        del self._out[id(unit)]
        if not unit.runs_cells:
            self._groups[unit.group].extracting -= 1

    def give_back(self, unit: Unit) -> None:
        """Put back a unit whose worker died, for another worker."""
        del self._out[id(unit)]
        group = self._groups[unit.group]
        if group not in self._waiting:
            self._waiting.append(group)
        group.put(unit)

    def forget(self, worker: Hashable) -> None:
        """Note that a worker's process is gone, and with it the features in its memory."""
        group = self._hot.pop(worker, None)
        if group is not None:
            group.workers -= 1
