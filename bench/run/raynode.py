"""One of Ray's actors as its executor sees it, and the class that runs there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import checkpoint
from bench.errors import AnobenchError
from bench.run.executor import Event, Job, Place, Told

#: Seconds between two reports of a long training or extraction.
TELL_EVERY = 1.0


class Worker:
    """The class of the actors: warm, it keeps its runner, and one job runs at a time.

    Parameters
    ----------
    setup : str
        As `bench.run.remote.travelling` wrote it.
    variables : mapping
        As `bench.run.remote.environ` returned them.
    board : actor handle
        Of a `Board`.
    """

    def __init__(self, setup: str, variables: Mapping[str, str | None], board: Any) -> None:
        from bench.run.remote import Remote, settle

        settle(variables)
        self._board, self._told, self._job = board, 0.0, -1
        self._problem, self._remote = "", None
        try:
            self._remote = Remote(setup)
            self._remote.runner.progress = lambda *what: self._tell("training", *what)
            self._remote.runner.provider.progress = lambda *what: self._tell("features", *what)
        except AnobenchError as error:
            self._problem = str(error)
        threading.Thread(target=self._wait_for_stop, daemon=True, name="stop").start()

    def ready(self) -> str:
        """Return what is wrong with this worker; empty if it can run jobs."""
        return self._problem

    def run(self, jobs: Sequence[Job]) -> list[Event] | str:
        """Do jobs one after the other; return all events, or what is wrong with this machine."""
        found: list[Event] = []
        assert self._remote is not None
        for job in jobs:
            self._job = job.id
            try:
                found += self._remote.events(job)
            except AnobenchError as error:
                return str(error)
        return found

    def _tell(self, kind: Any, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            self._board.tell.remote(Told(job=self._job, kind=kind, what=what, done=done, total=total))

    def _wait_for_stop(self) -> None:
        """Ask the cell in flight to end at its next checkpoint once the driver says so."""
        import ray

        with contextlib.suppress(Exception):  # the board is gone: so is the driver, and this worker with it
            ray.get(self._board.stopped.remote())
            checkpoint.ask_to_stop()


class Board:
    """A small actor between driver and workers: a worker that runs a cell can be told nothing directly."""

    def __init__(self) -> None:
        import asyncio

        self._stop, self._told = asyncio.Event(), list[Told]()

    async def tell(self, told: Told) -> None:
        self._told.append(told)

    async def read(self) -> list[Told]:
        told, self._told = self._told, []
        return told

    async def stop(self) -> None:
        self._stop.set()

    async def stopped(self) -> None:
        await self._stop.wait()


@dataclass(slots=True)
class Call:
    """Jobs that an actor was given at once, and Ray's reference to what they will give."""

    jobs: list[Job]
    ref: Any
    #: Monotonic seconds at which its turn came; None before.
    began: float | None = None


@dataclass(slots=True, eq=False)
class Actor:
    """A place on a node, and the actor there once it has work.

    Attributes
    ----------
    usual : float
        Seconds that a job took lately; 0 is unknown.
    ready : object or None
        The reference that says whether the actor can run; None once it said so.
    probe : object or None
        The reference that will say what became of an actor that does not answer.
    """

    place: Place
    node: str
    handle: Any = None
    calls: deque[Call] = field(default_factory=deque)
    queued: list[Job] = field(default_factory=list)
    usual: float = 0.0
    ran: bool = False
    ready: Any = None
    probe: Any = None

    @property
    def jobs(self) -> list[Job]:
        return [*(job for call in self.calls for job in call.jobs), *self.queued]

    def refs(self) -> list[Any]:
        """Return what is waited for: that it is ready, what became of it, or its first call's end."""
        first = self.ready or self.probe or (self.calls[0].ref if self.calls else None)
        return [] if first is None else [first]

    def turn(self) -> Call | None:
        """Return the first call if its turn has just come."""
        if self.calls and self.ready is None and self.calls[0].began is None:
            self.calls[0].began = time.monotonic()
            return self.calls[0]
        return None

    def over(self) -> Call:
        """Take the first call off, and learn from it how long a job takes."""
        call = self.calls.popleft()
        if call.began is not None:
            seconds = (time.monotonic() - call.began) / max(1, len(call.jobs))
            self.usual = seconds if not self.usual else 0.7 * self.usual + 0.3 * seconds
        self.ran = True
        return call


def first_line(error: Exception) -> str:
    """Return what Ray says first of an error, and why an actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:1] + [line for line in lines[1:] if "cause" in line or "exit" in line][:1])
