"""What runs in Ray's actors: the worker, and the board through which driver and workers reach each other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import AnobenchError
from bench.run.executors.base import Event, Job, Progress
from bench.run.executors.messages import Ready
from bench.train import checkpoint

#: Seconds between two reports of a long training or extraction.
TELL_EVERY = 1.0


class Worker:
    """The class of the actors: warm, it keeps its runner, and one job runs at a time.

    Parameters
    ----------
    setup : str
        As `bench.run.executors.remote.travelling` wrote it.
    variables : mapping
        As `bench.run.executors.remote.environ` returned them.
    board : actor handle
        Of a `MessageBoard`.
    """

    def __init__(self, setup: str, variables: Mapping[str, str | None], board: Any) -> None:
        from bench.run.executors.remote import Remote, settle

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

    def ready(self) -> Ready:
        """Return whether this worker can run jobs."""
        environment = self._remote.runner.environment if self._remote else {}
        return Ready(problem=self._problem, environment=environment)

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
            self._board.tell.remote(Progress(job=self._job, kind=kind, what=what, done=done, total=total))

    def _wait_for_stop(self) -> None:
        """Ask the cell in flight to end at its next checkpoint once the driver says so."""
        import ray

        with contextlib.suppress(Exception):  # the board is gone: so is the driver, and this worker with it
            ray.get(self._board.stopped.remote())
            checkpoint.ask_to_stop()


class MessageBoard:
    """A small actor between driver and workers: a worker that runs a cell can be told nothing directly."""

    def __init__(self) -> None:
        import asyncio

        self._stop, self._told = asyncio.Event(), list[Progress]()

    async def tell(self, progress: Progress) -> None:
        self._told.append(progress)

    async def read(self) -> list[Progress]:
        told, self._told = self._told, []
        return told

    async def stop(self) -> None:
        self._stop.set()

    async def stopped(self) -> None:
        await self._stop.wait()
