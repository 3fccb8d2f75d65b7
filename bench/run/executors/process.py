"""One worker process as its pool sees it: its pipe, its jobs, its limits and its end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import psutil

from bench.core.cell import Cell
from bench.core.errors import ArchiveError, exit_words
from bench.run.contain.leftover import marked
from bench.run.executors import worker
from bench.run.executors.base import Fate, Finished, Job, Slot
from bench.run.executors.devices import own_device
from bench.run.executors.inbox import STOP
from bench.run.executors.wire import Began, KeptMemory, Message, Ready, Receiver, Warned, unpacked
from bench.run.setup import Setup
from bench.suite.suite import Limits

_SPAWN = multiprocessing.get_context("spawn")
#: What a hanging worker gets to write its stack before it is killed (seconds).
STACK_SECONDS = 0.2
#: What a dismissed worker gets to exit (seconds).
EXIT_SECONDS = 3.0
#: What a worker gets until it is ready (seconds).
READY_SECONDS = 300.0


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start a process without the main module: a script that calls `bench.run` would run again there."""
    main: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(hidden)


class Process:
    """A worker and its slot; the process starts with the first job, and again after it ended."""

    def __init__(self, slot: Slot, setup: Setup, folder: Path, mark: str) -> None:
        self.slot = slot
        device, self._visible = own_device(slot.device)
        self._setup, self._runs = replace(setup, device=device).to_json(), 1 + setup.repeats
        self._log_file = folder / f"{slot.name.replace(':', '-').replace(' #', '-')}.log"
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._messages: Connection | None = None
        self._mark = mark
        #: Smoothed seconds of its latest jobs; 0 before the first.
        self.usual = 0.0
        #: `Record.environment` of its cells, once it is ready.
        self.environment: Mapping[str, Any] = {}
        self._clear()

    def _clear(self) -> None:
        self.jobs: deque[Job] = deque()
        #: Cells of the first job without a record, while it runs.
        self.left: list[Cell] = []
        self.running = self.ready = self.ended = self.packed = False
        self.ran = 0
        #: Bytes of its device that it keeps between jobs.
        self.held = 0
        self._began = time.monotonic()
        self._deadline: float | None = None
        self._killing: tuple[Fate, str, float] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def ending(self) -> bool:
        return self._killing is not None

    def handles(self) -> list[Any]:
        """Return what becomes ready when it sends something or ends."""
        return [self._messages, self._process.sentinel] if self._process and self._messages else []

    def give(self, job: Job) -> None:
        """Send a job, after starting the process if there is none."""
        if self._process is None:
            self._start()
        self.jobs.append(job)
        assert self._pipe is not None
        with contextlib.suppress(OSError):  # it died: its sentinel shows it
            self._pipe.send(job)

    def _start(self) -> None:
        self._clear()
        theirs, self._pipe = _SPAWN.Pipe(duplex=False)
        self._messages, sends = _SPAWN.Pipe(duplex=False)
        self._receiver = Receiver(self._messages.fileno())
        arguments = (self._setup, theirs, sends, str(self._log_file), self._visible)
        self._process = _SPAWN.Process(
            target=worker.main, args=arguments, name=f"anobench {self.slot.name}", daemon=False
        )
        # Before anything is marked: it serves this process, not the run.
        resource_tracker.ensure_running()
        with _without_main(), marked(self._mark):
            self._process.start()
        theirs.close()
        sends.close()

    def messages(self) -> Iterator[Message]:
        """Yield its messages so far, and set `ended` if there will be no more.

        What belongs to no job that runs now is passed over; after what is no message, it is killed.
        """
        assert self._process is not None
        alive = self._process.is_alive()  # asked first: what it sent before it died is read below
        alive = self._receiver.read() and alive
        try:
            while (content := self._receiver.take()) is not None:
                message = unpacked(content, {job.id: job for job in self.jobs})
                if message is not None and self._expects(message):
                    yield message
        except ArchiveError as error:
            if alive:
                self.kill("died", f"its process sent {error}")
        self.ended = not alive

    def _expects(self, message: Message) -> bool:
        """Return whether a message fits what the worker is doing."""
        if isinstance(message, Ready):
            return not self.ready
        if isinstance(message, KeptMemory | Warned):
            return True
        if not self.jobs or message.job != self.jobs[0].id:
            return False
        if isinstance(message, Began):
            return not self.running
        if isinstance(message, Finished):
            return self.running and message.record.cell.key in {cell.key for cell in self.left}
        return self.running

    def started(self, limits: Limits) -> Job:
        """Note that the first job runs now."""
        job = self.jobs[0]
        self.left, self.running, self._began = list(job.cells), True, time.monotonic()
        self._set_deadline(limits, len(job.cells))
        return job

    def _set_deadline(self, limits: Limits, cells: int) -> None:
        if limits.cell_seconds is not None and self.jobs and self.jobs[0].part is None:
            # Cells that are fitted together may take as long as one by one.
            seconds = limits.cell_seconds * cells * self._runs + limits.grace_seconds
            self._deadline = time.monotonic() + seconds

    def finished(self, cell: Cell, limits: Limits) -> None:
        """Note that a cell of the running job is done."""
        self.left = [each for each in self.left if each.key != cell.key]
        self._set_deadline(limits, 1)
        if not self.left:
            self.over()

    def over(self) -> Job:
        """Note that the first job is over."""
        job = self.jobs.popleft()
        if self.running:
            took = time.monotonic() - self._began
            self.usual = took if not self.usual else 0.8 * self.usual + 0.2 * took
            self.ran += 1
        self.running, self._deadline, self.packed = False, None, False
        self._began = time.monotonic()
        return job

    def enforce(self, limits: Limits) -> None:
        """Kill it if it exceeds a limit."""
        if self._process is None:
            return
        now = time.monotonic()
        if self._killing is not None:
            if now >= self._killing[2]:
                self._signal(signal.SIGKILL)
        elif self._deadline is not None and now > self._deadline:
            self.kill(
                "timeout",
                f"took longer than the suite's limit of {limits.cell_seconds:g} s (limits.cell_seconds) and "
                f"did not end within {limits.grace_seconds:g} s more; its process was killed",
                after=STACK_SECONDS,
            )
        elif (
            limits.cell_memory is not None and self.running and self._resident() > limits.cell_memory * 2**30
        ):
            self.kill(
                "memory",
                f"its process used more than the suite's limit of {limits.cell_memory:g} GiB "
                "(limits.cell_memory); it was killed",
            )
        elif not self.ready and now - self._began > READY_SECONDS:
            self.kill("died", f"its process was not ready after {READY_SECONDS:g} s")

    def _resident(self) -> int:
        assert self._process is not None
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def kill(self, why: Fate, reason: str, *, after: float = 0.0) -> None:
        """Kill it and what it has started; with `after`, let it write its stack for so many seconds first."""
        if self._process is None or (self._killing is not None and after):
            return
        self._killing = (why, reason, time.monotonic() + after)
        if after and worker.STACK_SIGNAL is not None:
            self._signal(worker.STACK_SIGNAL, group=False)
        else:
            self._signal(signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Ask it to end its job at the next checkpoint, and to start no other."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(STOP)

    def _signal(self, number: int, *, group: bool = True) -> None:
        if self._process is None or self._process.pid is None or self._process.exitcode is not None:
            return
        with contextlib.suppress(OSError):
            if group and hasattr(os, "killpg") and os.getpgid(self._process.pid) == self._process.pid:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    @property
    def fate(self) -> Fate:
        return "died" if self._killing is None else self._killing[0]

    def exit_reason(self) -> str:
        """Return how it ended."""
        if self._killing is not None:
            return self._killing[1]
        assert self._process is not None
        self._process.join(EXIT_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "its process closed its pipe"
        return f"its process {exit_words(code)}"

    def log_end(self) -> str:
        return worker.read_end(self._log_file)

    def reap(self) -> None:
        """Forget a process that ended, and end what it had started."""
        if self._process is not None:
            pid = self._process.pid
            self._signal(signal.SIGKILL)
            self._process.join(EXIT_SECONDS)
            if pid is not None and hasattr(os, "killpg"):
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)  # its session may have outlived it
            self._process.close()
        for pipe in (self._pipe, self._messages):
            if pipe is not None:
                pipe.close()
        self._process = self._pipe = self._messages = None
        self._clear()

    def dismiss(self) -> None:
        """Ask an idle process to exit; kill a busy one."""
        if self._pipe is None:
            return
        if self.jobs or not self.ready:
            self._signal(signal.SIGKILL)
            return
        with contextlib.suppress(OSError):
            self._pipe.send(None)

    def end(self) -> None:
        """End the process, now."""
        if self._process is None:
            return
        if self.jobs or not self.ready:
            self._signal(signal.SIGKILL)
        else:
            self.dismiss()
            self._process.join(EXIT_SECONDS)
        self.reap()
