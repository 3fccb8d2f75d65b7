"""The driver: gives work to an executor, writes what comes back, and decides what is retried.

One policy for every executor (`bench.run.retry`). Once cells running side by side exceed a device's memory,
half as many run there, and later one more again. A job that ended through another's fault is simply
submitted again.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.run.claims import Claims, PeerRuns
from bench.run.cost import Peaks
from bench.run.ending import Ending
from bench.run.executors.base import Event, Executor, Extracted, Finished, Job, Lost, Slot
from bench.run.pixels import MapReader
from bench.run.progress import ProgressTracker
from bench.run.retry import Retries, failed_result
from bench.run.schedule import Dispatcher
from bench.run.timing import PACKED
from bench.run.units import FeatureGroup, Unit
from bench.run.writer import RecordWriter
from bench.suite.resolve import Resolver

log = logging.getLogger(__name__)

#: The longest time between two checks of signals and limits (seconds).
TICK = 0.25
#: A device that was full gets one more job at once after so many cells for each that it runs at once.
CALM = 4


@dataclass(slots=True)
class _Out:
    """A job that the executor has."""

    job: Job
    slot: Slot
    unit: Unit | None
    left: set[str] = field(default_factory=set)


class Driver:
    """Runs work to its end.

    Parameters
    ----------
    work : sequence of Unit
    executor : Executor
    archive : Archive
    resolver : Resolver
        For the records of cells that have none from a worker.
    ending : Ending
        Entered by the caller.
    claims : Claims
    known : mapping of str to Record
        Records from before the run, by key: a different one means that another driver ran the cell.
    alone : bool
        Nothing runs beside a cell on its device.
    max_failures : int, optional
        The run ends after so many failed cells.
    tracker : ProgressTracker, optional
    loading : mapping, optional
        Seconds that a worker takes to read a group's features (`bench.run.units.loading_seconds`).
    maps : MapReader, optional
        Measures the anomaly maps of finished cells.
    """

    def __init__(
        self,
        work: Sequence[Unit],
        executor: Executor,
        archive: Archive,
        resolver: Resolver,
        ending: Ending,
        *,
        claims: Claims,
        known: Mapping[str, Record] | None = None,
        alone: bool = False,
        max_failures: int | None = None,
        tracker: ProgressTracker | None = None,
        loading: Mapping[FeatureGroup, float] | None = None,
        maps: MapReader | None = None,
    ) -> None:
        self._executor, self._resolver, self._ending = executor, resolver, ending
        self._peers, self._alone = PeerRuns(archive, claims, known or {}), alone
        self._max_failures = max_failures
        seconds = dict(loading or {})
        self._dispatcher = Dispatcher(
            work, devices=len(executor.slots()), loading=lambda group: seconds.get(group, 0.0)
        )
        self._writer, self._here = RecordWriter(archive, maps), any(slot.here for slot in executor.slots())
        self._tracker = tracker or ProgressTracker("", [])
        self._out: dict[int, _Out] = {}
        self._again: deque[Job] = deque()
        self._retries = Retries()
        self._most: dict[str, int] = {}
        #: Cells that came to their end on such a device since it was full.
        self._calm: Counter[str] = Counter()
        #: Devices that get nothing else until a retried job has its empty worker or device, by the job.
        self._emptied: dict[int, str] = {}
        self._peaks = Peaks()
        self._numbers = itertools.count()
        self._failures = set[str]()

    def run(self) -> Generator[Record, None, None]:
        """Run; yield each record once it is written, and those that other drivers wrote meanwhile.

        Raises
        ------
        ArchiveError
            A record cannot be written.
        """
        try:
            self._executor.start()
            with contextlib.suppress(KeyboardInterrupt):
                yield from self._loop()
            self._ending.why = self._ending.why or ("interrupted" if self._left() else "")
            yield from self._written(wait=True)
        finally:
            self._executor.close()
            self._writer.close()
            self._peers.close()

    def _loop(self) -> Iterator[Record]:
        stopped = killed = False
        while self._left():
            if self._ending.why and not stopped:
                stopped = True
                self._executor.stop()
            if self._ending.now and not killed:
                killed = True
                self._executor.kill()
            if not stopped:
                self._fill()
            for event in self._executor.events(TICK):
                self._tracker.event(event)
                self._handle(event)
            # No record is written while a cell runs that may have changed what writes it.
            yield from self._written(wait=self._here)
            yield from self._poll_peers()
            self._tracker.update(self._dispatcher.seconds_left, self._ending.why)

    def _left(self) -> bool:
        if self._out:
            return True
        return not self._ending.why and bool(self._dispatcher.left or self._again or self._peers.waiting)

    def _fill(self) -> None:
        """Submit jobs until no slot takes one."""
        submitted = True
        while submitted:
            submitted = False
            for slot in self._executor.idle():
                out = self._next(slot)
                if out is not None:
                    submitted = True
                    self._out[out.job.id] = out
                    self._tracker.submitted(out.job)
                    self._executor.submit(out.job, slot)

    def _next(self, slot: Slot) -> _Out | None:
        most = self._most.get(slot.device)
        if most is not None and sum(out.slot.device == slot.device for out in self._out.values()) >= most:
            return None
        for job in self._again:
            if self._executor.fits(job, slot):
                self._again.remove(job)
                return _Out(job, slot, None, {cell.key for cell in job.cells})
        if slot.device in {self._emptied.get(job.id) for job in self._again}:
            return None  # it is to be empty for one of them
        fits = lambda unit: self._executor.fits(self._job(unit, unit.cells), slot)  # noqa: E731
        while (unit := self._dispatcher.take(slot.name, fits)) is not None:
            cells = unit.cells if not unit.runs_cells else self._peers.claimed(unit.cells)
            if cells:
                return _Out(self._job(unit, cells), slot, unit, {cell.key for cell in cells})
            self._dispatcher.done(unit)
        return None

    def _job(self, unit: Unit, cells: tuple[Cell, ...]) -> Job:
        learned = [peak for peak in (unit.device_bytes, self._peaks.of(cells)) if peak is not None]
        return Job(
            id=next(self._numbers),
            cells=cells,
            part=unit.part,
            seconds=unit.seconds,
            device_bytes=max(learned, default=unit.guessed_bytes),
            on_cpu=unit.on_cpu,
            alone=self._alone,
        )

    def _poll_peers(self) -> Iterator[Record]:
        """Yield what other drivers have done; take over what they gave up."""
        done, left = self._peers.poll()
        for record in done:
            self._tracker.finished(record)
            yield record
        for cell in left:
            self._retry(cell)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._finished(event)
        elif isinstance(event, Extracted):
            self._close(self._out[event.job])
        elif isinstance(event, Lost):
            out = self._out[event.job]
            if event.why not in ("interrupted", "unstarted"):
                self._dispatcher.forget(out.slot.name)
            if out.unit is not None and out.job.part is not None and self._retries.extraction(event, out.job):
                del self._out[out.job.id]
                self._dispatcher.give_back(out.unit)
                return
            self._lost(event, out)
            self._close(out)

    def _close(self, out: _Out) -> None:
        del self._out[out.job.id]
        if out.unit is not None:
            self._dispatcher.done(out.unit)

    def _finished(self, event: Finished) -> None:
        out, event = self._out[event.job], self._writer.judged(event)
        record, key = event.record, event.record.cell.key
        out.left.discard(key)
        self._peaks.learn(record)
        if self._retries.out_of_memory(event):
            device = out.slot.device
            busy = sum(other.slot.device == device for other in self._out.values())
            self._most[device], self._calm[device] = max(1, busy // 2), 0
            log.warning(
                "%s: %s is out of memory; %d at once from now on", record.cell, device, self._most[device]
            )
            self._retry(record.cell, alone=True, on=device)
        else:
            self._recover(out.slot.device)
            if event.packed and record.timing is not None:
                event = replace(event, record=replace(record, flags=(*record.flags, PACKED)))
            self._write(event)
        if not out.left:
            self._close(out)

    def _recover(self, device: str) -> None:
        """Let one more run at once on a device that was full, after enough cells without trouble."""
        if device in self._most:
            self._calm[device] += 1
            if self._calm[device] >= CALM * self._most[device]:
                self._most[device], self._calm[device] = self._most[device] + 1, 0

    def _write(self, result: Finished) -> None:
        record = result.record
        self._tracker.finished(record)
        self._writer.write(result, self._peers.release)
        self._count_failure(record)

    def _written(self, *, wait: bool = False) -> Iterator[Record]:
        for record in self._writer.written(wait=wait):
            self._count_failure(record)  # its maps may be what they should not
            yield record

    def _count_failure(self, record: Record) -> None:
        if record.status == "failed" and record.cell.key not in self._failures:
            self._failures.add(record.cell.key)
            if len(self._failures) == self._max_failures:
                self._ending.ask("failures")

    def _retry(
        self, cell: Cell, *, fresh: bool = False, alone: bool = False, avoid: str = "", on: str = ""
    ) -> None:
        """Have a cell tried again; `on` is the device that is emptied for it."""
        alone = alone or self._alone
        job = Job(id=next(self._numbers), cells=(cell,), fresh=fresh, alone=alone, avoid=avoid)
        if on:
            self._emptied[job.id] = on
        self._again.append(job)

    def _lost(self, event: Lost, out: _Out) -> None:
        if event.why == "interrupted" and not self._ending.why:
            # Nobody asked for an end, except the cell itself.
            event = replace(event, why="died", reason="it asked its own process to stop")
        if event.why == "interrupted":
            for cell in event.cells:
                self._peers.release(cell.key)
            return
        if out.job.part is not None:
            dataset = out.job.cells[0].dataset
            log.warning("features of %s: %s; its cells extract for themselves", dataset, event.reason)
            return
        if event.why == "unstarted":
            self._again.append(replace(out.job, id=next(self._numbers), cells=event.cells))
            return
        for cell in event.cells:
            if self._retries.cell(cell, event, out.job):
                lost_there = out.slot.device if event.why == "device" else ""
                on = out.slot.device if event.why in ("died", "memory") else ""
                self._retry(cell, fresh=event.why != "node", avoid=lost_there, on=on)
            else:
                self._write(failed_result(cell, event, self._resolver))
