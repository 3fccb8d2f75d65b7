"""Dispatch: which unit of work a worker gets next. Pure: real runs and simulations share it.

Three rules. A group's cells wait until its features are extracted. A worker stays with the group whose
features it holds, and takes the longest cells first. But what is long beside all that is left, counted from
the extraction it waits for, goes first wherever it is: begun last, it would keep all other devices waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from bench.run.units import FeatureGroup, Unit

#: A unit is urgent if it takes more than this share of the time that is left with every device busy.
URGENT = 0.5


@dataclass(slots=True, eq=False)
class _Held:
    """A group's work that nobody has yet; the longest last in each list."""

    loading: float
    extractions: list[Unit] = field(default_factory=list)
    cells: list[Unit] = field(default_factory=list)
    #: Parts of the extraction that are not done.
    extracting: int = 0
    seconds: float = 0.0
    #: Workers that hold its features.
    workers: int = 0

    def able(self) -> list[Unit]:
        """Return the units of which one can begin now."""
        return self.extractions or ([] if self.extracting else self.cells)

    def chain(self, unit: Unit) -> float:
        """Return the seconds from a unit's beginning to the end of the longest cell that waits for it."""
        if unit.part is None or not self.cells:
            return unit.seconds
        return unit.seconds + self.loading + self.cells[-1].seconds

    def crowd(self) -> float:
        """Return the seconds left for each of the workers there, once one more has come."""
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
        # What rounding left behind must not look like work.
        self.seconds = self.seconds - unit.seconds if self.cells or self.extractions else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    unit: Unit
    held: _Held
    chain: float


class Dispatcher:
    """Hands out units to workers.

    Parameters
    ----------
    work : iterable of Unit
    devices : int
        Workers that can be busy at once.
    loading : callable, optional
        Seconds that a worker takes to read a group's features; nothing by default.
    """

    def __init__(
        self, work: Iterable[Unit], *, devices: int, loading: Callable[[FeatureGroup], float] = lambda _: 0.0
    ) -> None:
        self._devices = max(1, devices)
        self._groups: dict[FeatureGroup, _Held] = {}
        self._hot: dict[Hashable, _Held] = {}
        self._out: dict[int, Unit] = {}
        # Longest last, and of equal ones the first of the plan last: lists are taken from their end.
        planned = list(work)
        planned.reverse()
        planned.sort(key=lambda unit: unit.seconds)
        for unit in planned:
            held = self._groups.setdefault(unit.group, _Held(loading(unit.group)))
            held.queue(unit).append(unit)
            held.seconds += unit.seconds
            held.extracting += not unit.runs_cells
        self._waiting = list(reversed(self._groups.values()))

    @property
    def left(self) -> int:
        """Units that are not done, those that workers have included."""
        return len(self._out) + sum(len(h.cells) + len(h.extractions) for h in self._waiting)

    @property
    def seconds_left(self) -> float:
        """Estimated seconds of work that nobody has yet."""
        return sum(held.seconds for held in self._waiting)

    def take(self, worker: Hashable, fits: Callable[[Unit], bool] = lambda _: True) -> Unit | None:
        """Return the unit for a worker that is idle; None if nothing can begin there now.

        Parameters
        ----------
        worker : hashable
            The process: what holds features in memory.
        fits : callable, optional
            Whether a unit fits what its device has left of memory.
        """
        offers = []
        for held in self._waiting:
            unit = next((unit for unit in reversed(held.able()) if fits(unit)), None)
            if unit is not None:
                offers.append(_Offer(unit, held, held.chain(unit)))
        if not offers:
            return None
        chosen = self._choose(offers, self._hot.get(worker))
        self._move(worker, chosen.held)
        chosen.held.remove(chosen.unit)
        if not (chosen.held.cells or chosen.held.extractions):
            self._waiting.remove(chosen.held)
        self._out[id(chosen.unit)] = chosen.unit
        return chosen.unit

    def _choose(self, offers: list[_Offer], hot: _Held | None) -> _Offer:
        own = next((offer for offer in offers if offer.held is hot), None)
        longest = max(offers, key=lambda offer: offer.chain)
        if own is not None and longest.chain <= own.chain + longest.held.loading:
            return own
        if longest.chain > URGENT * self.seconds_left / self._devices:
            return longest
        return own or max(offers, key=lambda offer: offer.held.crowd())

    def _move(self, worker: Hashable, held: _Held) -> None:
        if self._hot.get(worker) is not held:
            self.forget(worker)
            held.workers += 1
            self._hot[worker] = held

    def done(self, unit: Unit) -> None:
        """Take note that a unit has ended, well or not: cells whose features failed say so by themselves."""
        del self._out[id(unit)]
        if not unit.runs_cells:
            self._groups[unit.group].extracting -= 1

    def give_back(self, unit: Unit) -> None:
        """Put back a unit whose worker died; another one will get it."""
        del self._out[id(unit)]
        held = self._groups[unit.group]
        if held not in self._waiting:
            self._waiting.append(held)
        held.put(unit)

    def forget(self, worker: Hashable) -> None:
        """Take note that a worker's process, and the features that it held, are gone."""
        held = self._hot.pop(worker, None)
        if held is not None:
            held.workers -= 1
