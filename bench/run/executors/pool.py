"""The pool: warm worker processes on this machine, one or more on each device.

A thin layer on `multiprocessing` (spawn, one pipe a worker). loky breaks with its first dead worker. pebble's
`ProcessPool` (5.2.3) is as fast, but killing a few workers between tasks breaks it for good, its time-outs
follow the wall clock, and a task can neither go to the worker that has its features nor be asked to end at a
checkpoint. A worker starts with its first job, and again after it died.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from bench.core.devicefaults import by_its_code
from bench.core.errors import AnobenchError
from bench.core.files import temporary_prefix
from bench.run.contain.leftover import end_marked, new_mark
from bench.run.cost import CONTEXT_BYTES, fits
from bench.run.executors.base import (
    STOPPED,
    Event,
    Extracted,
    Finished,
    Job,
    Lost,
    Progress,
    Slot,
    Started,
)
from bench.run.executors.devices import free_bytes
from bench.run.executors.process import Process
from bench.run.executors.wire import Began, KeptMemory, Message, Ready, Warned
from bench.run.setup import Setup

log = logging.getLogger(__name__)

#: Between two looks at deadlines and memory (seconds).
LOOK_EVERY = 0.1
#: A worker whose jobs take less than `SHORT` gets more ahead of time, so that it never waits for the driver:
#: as many as keep it busy for `AHEAD_SECONDS`, at least one, at most `AHEAD_JOBS`.
SHORT, AHEAD_SECONDS, AHEAD_JOBS = 1.0, 0.02, 8
#: A device is left out once so many of its workers in a row ended before they were ready, or lost it; the run
#: fails when none is left.
FAILED_WORKERS = 3


class Pool:
    """An executor (`bench.run.executors.base.Executor`): processes of this machine.

    Parameters
    ----------
    setup : Setup
        Its `device` is replaced by each worker's own.
    devices : sequence of str
        ``["cpu"]``, or ``["cuda:0", "cuda:1"]``.
    workers : int
        On each device.
    cpu_places : int
        Further workers on each device, which take only jobs that compute on the CPU; such jobs go to the
        others only while all of these are busy.
    """

    def __init__(self, setup: Setup, devices: Sequence[str], workers: int, cpu_places: int = 0) -> None:
        self._setup = setup
        self._folder, self._mark = _new_folder(), new_mark()
        self._workers = [
            Process(Slot(name=f"{device} #{number + 1}", device=device), setup, self._folder, self._mark)
            for number in range(workers + cpu_places)
            for device in devices
        ]
        self._cpu_places = set(self._workers[workers * len(devices) :])
        self._at = {worker.slot.name: worker for worker in self._workers}
        self._free_bytes: dict[str, int] = {}
        self._stopping = False
        self._failed, self._left_out = Counter[str](), set[str]()
        self._looked = -float("inf")
        self._warned: set[str] = set()
        self._waiting: list[Event] = []

    def start(self) -> None:
        """Do nothing: workers start with their first job."""

    def slots(self) -> Sequence[Slot]:
        return [worker.slot for worker in self._workers]

    def idle(self) -> Sequence[Slot]:
        if self._stopping:
            return []
        usable = [worker for worker in self._workers if worker.slot.device not in self._left_out]
        able = [worker for worker in usable if self._takes_more(worker)]
        # Workers that have features in memory come before those that would have to start.
        return [worker.slot for worker in sorted(able, key=lambda w: (len(w.jobs), not w.alive))]

    @staticmethod
    def _takes_more(worker: Process) -> bool:
        if not worker.jobs:
            return not worker.ending
        if not 0 < worker.usual < SHORT or not worker.ready or worker.ending or worker.jobs[0].alone:
            return False
        return len(worker.jobs) <= max(1, min(AHEAD_JOBS, AHEAD_SECONDS / worker.usual))

    def fits(self, job: Job, slot: Slot) -> bool:
        worker = self._at[slot.name]
        if self._cpu_places and not self._is_for(job, worker):
            return False
        if job.avoid == slot.device and self._devices() - {slot.device}:
            return False
        if worker.jobs and (job.fresh or job.alone or (job.seconds or 0.0) > SHORT):
            return False
        if self._setup.repeats and any(each.jobs for each in self._workers if each is not worker):
            return False  # what is timed has the host to itself, too
        beside = [each.jobs[0] for each in self._busy_beside(worker)]
        if any(other.alone for other in beside) or (job.alone and beside):
            return False
        if slot.device == "cpu" or job.part is not None:
            return True
        total = self._free_bytes.get(slot.device)
        if total is None:  # the first worker on a device reports its memory
            return not beside
        idle = [each for each in self._beside(worker) if each.alive and not each.jobs]
        total -= sum(each.held + CONTEXT_BYTES for each in idle)
        running = [other.device_bytes for other in beside]
        return fits(job.device_bytes, running, total) and self._has_room(job, worker)

    def _is_for(self, job: Job, worker: Process) -> bool:
        """Return whether a worker is of the kind that a job should go to, beside workers for CPU jobs."""
        if not job.on_cpu or worker in self._cpu_places:
            return job.on_cpu or worker not in self._cpu_places
        return all(each.jobs for each in self._beside(worker) if each in self._cpu_places)

    def _has_room(self, job: Job, worker: Process) -> bool:
        """Return whether a device has so much free memory now, whoever has the rest."""
        free = free_bytes(worker.slot.device)
        if free is None or job.device_bytes is None or not self._busy_beside(worker):
            return True  # not known, or nobody would make more room
        context = 0 if worker.alive else CONTEXT_BYTES
        return job.device_bytes + context - worker.held <= free

    def _devices(self) -> set[str]:
        """Return the devices that are not left out."""
        return {worker.slot.device for worker in self._workers} - self._left_out

    def _busy_beside(self, worker: Process) -> list[Process]:
        """Return the other workers on its device that have work."""
        return [each for each in self._beside(worker) if each.jobs]

    def _beside(self, worker: Process) -> list[Process]:
        """Return the other workers on its device."""
        device = worker.slot.device
        return [each for each in self._workers if each.slot.device == device and each is not worker]

    def submit(self, job: Job, slot: Slot) -> None:
        worker = self._at[slot.name]
        if job.fresh and worker.alive and worker.ran:
            worker.end()
        beside = self._busy_beside(worker)
        if job.alone and slot.device != "cpu":
            for each in self._beside(worker):  # idle: their contexts and features are in its way
                each.end()
        worker.give(job)
        for each in beside:
            each.packed = True

    def events(self, timeout: float) -> Sequence[Event]:
        found, self._waiting = self._waiting, []
        until = time.monotonic() + timeout
        while True:
            found += self._read(0.0 if found else max(0.0, min(LOOK_EVERY, until - time.monotonic())))
            if time.monotonic() - self._looked >= LOOK_EVERY:
                self._looked = time.monotonic()
                for worker in self._workers:
                    worker.enforce(self._setup.limits)
            if found or time.monotonic() >= until:
                return found

    def _read(self, timeout: float) -> list[Event]:
        """Return the workers' events; of a worker that ended, also what it lost."""
        handles = {handle: worker for worker in self._workers for handle in worker.handles()}
        found: list[Event] = []
        for worker in dict.fromkeys(handles[ready] for ready in wait(list(handles), timeout)):
            for message in worker.messages():
                found += self._understand(worker, message)
            if worker.ended:
                found += self._reap(worker)
        return found

    def _understand(self, worker: Process, message: Message) -> Iterator[Event]:
        if isinstance(message, Ready):
            if message.problem:
                raise AnobenchError(message.problem)
            # What comes after may still lose it: only a result says that a GPU works.
            if worker.slot.device == "cpu":
                self._failed.pop(worker.slot.device, None)
            worker.ready, worker.environment = True, message.environment
            self._free_bytes.setdefault(worker.slot.device, message.device_bytes)
        elif isinstance(message, KeptMemory):
            worker.held = message.device_bytes
        elif isinstance(message, Warned):
            if message.text not in self._warned:
                self._warned.add(message.text)
                logging.getLogger(message.logger).log(message.level, "%s", message.text)
        elif isinstance(message, Began):
            job = worker.started(self._setup.limits)
            worker.packed = bool(self._busy_beside(worker))
            yield Started(job=job.id, cell=job.cells[0], slot=worker.slot)
        elif isinstance(message, Progress):
            yield message
        elif isinstance(message, Finished):
            packed = worker.packed
            self._failed.pop(worker.slot.device, None)
            worker.finished(message.record.cell, self._setup.limits)
            yield replace(message, packed=packed)
        elif isinstance(message, Lost) and message.why == "device":
            fresh, packed = worker.ran == 0, worker.packed
            worker.over()
            if not by_its_code(message.reason):
                self._count_failure(worker, message.reason)
            yield replace(message, fresh=fresh, packed=packed, environment=worker.environment)
        else:
            if isinstance(message, Extracted):
                self._failed.pop(worker.slot.device, None)
            worker.over()
            yield message

    def _reap(self, worker: Process) -> list[Event]:
        """Return what a dead worker lost: its running job shares its fate, those queued are not blamed."""
        why, reason = worker.fate, worker.exit_reason()
        if not worker.ready:
            self._count_failure(worker, reason)
        lost: list[Event] = []
        for position, job in enumerate(worker.jobs):
            ran = position == 0 and worker.running
            cells = tuple(worker.left) if ran else job.cells
            blamed = why if ran or why == "interrupted" else "unstarted"
            lost.append(
                Lost(
                    job=job.id,
                    cells=cells,
                    why="interrupted" if self._stopping and not ran else blamed,
                    reason=reason,
                    fresh=worker.ran == 0,
                    packed=worker.packed,
                    log=worker.log_end() if ran else "",
                    environment=worker.environment,
                )
            )
        worker.reap()
        return lost

    def _count_failure(self, worker: Process, reason: str) -> None:
        """Leave out a device on which worker after worker fails.

        Raises
        ------
        AnobenchError
            No device is left.
        """
        device = worker.slot.device
        self._failed[device] += 1
        if self._failed[device] < FAILED_WORKERS or self._stopping or device in self._left_out:
            return
        what = "ended before they could run anything" if not worker.ready else "lost it"
        self._left_out.add(device)
        if not self._devices():
            raise AnobenchError(
                f"{FAILED_WORKERS} worker processes in a row on {device} {what} "
                f"({reason}); the last one wrote:\n{worker.log_end()[-2000:] or '(nothing)'}"
            )
        log.warning("%s is left out: %d workers in a row %s (%s)", device, FAILED_WORKERS, what, reason)

    def stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.ask_to_stop()

    def kill(self) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.kill("interrupted", STOPPED)

    def close(self) -> None:
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.end()
        end_marked(self._mark)
        shutil.rmtree(self._folder, ignore_errors=True)


def _new_folder() -> Path:
    """Return a temporary folder.

    Raises
    ------
    AnobenchError
        There is no place for one.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=temporary_prefix()))
    except OSError as error:
        raise AnobenchError(
            f"no temporary folder can be made ({error.strerror or error}); set TMPDIR to a folder that exists"
        ) from None
