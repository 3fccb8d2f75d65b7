"""What runs in Ray's actors: the worker, and the board through which driver and workers reach each other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import AnobenchError
from bench.run.executors.base import Job, Progress
from bench.run.executors.wire import Ready, packed
from bench.run.executors.worker import forward_progress
from bench.run.spool import SpoolFolder
from bench.train import checkpoint

#: Seconds between two reports of a long training or extraction.
REPORT_EVERY = 1.0


class Worker:
    """The class of the actors: it makes its runner once and runs one job at a time.

    Parameters
    ----------
    setup : str
        From `bench.run.executors.remote.portable_json`.
    variables : mapping
        From `bench.run.executors.remote.environ`.
    board : actor handle
        Of a `MessageBoard`.
    """

    def __init__(self, setup: str, variables: Mapping[str, str | None], board: Any) -> None:
        from bench.run.contain.leftover import adopt_orphans
        from bench.run.executors.remote import Remote, take_over

        take_over(variables)
        adopt_orphans()
        self._board, self._job = board, -1
        self._problem, self._remote = "", None
        try:
            self._remote = Remote(setup)
            runner, report = self._remote.runner, board.report.remote
            runner.spool = _SpoolOnBoard(board) if runner.spool is not None else None
            forward_progress(runner, lambda: self._job, report, every=REPORT_EVERY)
        except AnobenchError as error:
            self._problem = str(error)
        threading.Thread(target=self._wait_for_stop, daemon=True, name="stop").start()

    def ready(self) -> Ready:
        """Return whether this worker can run jobs."""
        environment = self._remote.runner.environment if self._remote else {}
        return Ready(problem=self._problem, environment=environment)

    def run(self, jobs: Sequence[Job]) -> list[bytes] | str:
        """Run jobs one after the other; return all messages, or what is wrong with this machine.

        The jobs after a cell that changed this process for good have none; an empty message tells of it.
        """
        found: list[bytes] = []
        assert self._remote is not None
        for job in jobs:
            self._job = job.id
            try:
                found += [packed(event) for event in self._remote.events(job)]
            except AnobenchError as error:
                return str(error)
            if self._remote.runner.containment.spoilt:
                return [*found, b""]
        return found

    def _wait_for_stop(self) -> None:
        """Ask the running cell to end at its next checkpoint once the driver says so."""
        import ray

        with contextlib.suppress(Exception):  # the board is gone, and with it the driver and this worker
            ray.get(self._board.stopped.remote())
            checkpoint.ask_to_stop()


class _SpoolOnBoard:
    """A `MapSink` on the driver's machine: workers need not see its results folder."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def write(self, key: str, content: bytes) -> None:
        import ray

        ray.get(self._board.write_maps.remote(key, content))  # the next part waits

    def end(self, key: str, *, keep: bool) -> None:
        import ray

        ray.get(self._board.end_maps.remote(key, keep))


class MessageBoard:
    """A small actor between driver and workers, on the driver's machine: a worker that runs a cell takes no
    calls, and its anomaly maps go this way into the spool.

    Parameters
    ----------
    maps : str
        The spool's folder; empty if there is none.
    """

    def __init__(self, maps: str) -> None:
        import asyncio

        self._stop, self._reports = asyncio.Event(), list[Progress]()
        self._spool = SpoolFolder(Path(maps))

    async def write_maps(self, key: str, content: bytes) -> None:
        self._spool.write(key, content)

    async def end_maps(self, key: str, keep: bool) -> None:
        self._spool.end(key, keep=keep)

    async def report(self, progress: Progress) -> None:
        self._reports.append(progress)

    async def read(self) -> list[Progress]:
        """Return the reports since the last call."""
        reports, self._reports = self._reports, []
        return reports

    async def stop(self) -> None:
        self._stop.set()

    async def stopped(self) -> None:
        await self._stop.wait()
