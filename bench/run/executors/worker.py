"""A worker process: makes its runner once, then runs the jobs that come through its pipe, until that ends.

It keeps nothing: records and scores go back through the pipe. What it and its libraries write (also C code,
also the stack of a crash) goes to a file of its own, emptied before each cell.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import AnobenchError
from bench.run.executors.base import Extracted, Finished, Job, Progress
from bench.run.executors.messages import Began, Ready, Stopped, Warned
from bench.run.setup import Setup
from bench.run.timing import timed
from bench.train import checkpoint

if TYPE_CHECKING:
    from bench.run.evaluation import Result
    from bench.run.runner import Runner

#: So much of the end of what a cell's process wrote is kept.
LOG_BYTES = 64 * 1024
#: Between two reports of a long training or extraction (seconds).
TELL_EVERY = 0.5
#: Asks a worker that hangs for its stack, which works inside C code too.
STACK_SIGNAL = getattr(signal, "SIGUSR1", None)

_PR_SET_PDEATHSIG = 1


def main(setup: str, connection: Connection, log_file: str, visible: str | None) -> None:
    """Run jobs until the pipe ends.

    Parameters
    ----------
    setup : str
        `Setup.to_json`.
    visible : str or None
        What ``CUDA_VISIBLE_DEVICES`` is to be: the worker's one GPU.
    """
    _die_with_parent()
    if hasattr(os, "setsid"):
        os.setsid()  # a terminal's Ctrl-C is for the driver, and what a method starts can be ended with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: checkpoint.ask_to_stop())
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    with _Log(Path(log_file)) as log, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            runner = Setup.from_json(setup).runner()
        except AnobenchError as error:
            connection.send(Ready(problem=str(error)))
            return
        worker = _Worker(runner, connection, log, Setup.from_json(setup).repeats)
        connection.send(Ready(device_bytes=_free_device_bytes(runner), environment=runner.environment))
        while (job := connection.recv()) is not None:
            worker.do(job)
    # Everything is with the driver, who waits for this end: taking torch apart would only make that longer.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


class _Worker:
    """Does jobs and tells of them."""

    def __init__(self, runner: Runner, connection: Connection, log: _Log, repeats: int) -> None:
        self._runner, self._connection, self._log, self._repeats = runner, connection, log, repeats
        self._sent: set[str] = set()
        self._job, self._told = -1, 0.0
        runner.progress = lambda *what: self._tell("training", *what)
        runner.provider.progress = lambda *what: self._tell("features", *what)
        handler = _Forward(connection)
        logging.getLogger("bench").addHandler(handler)

    def do(self, job: Job) -> None:
        self._job = job.id
        if checkpoint.stop_asked():
            self._connection.send(Stopped(job=job.id))
            return
        self._log.empty()
        self._connection.send(Began(job=job.id))
        try:
            if job.part is not None:
                self._extract(job)
            else:
                for result in results_of(self._runner, job, self._repeats):
                    self._finished(job, result)
        except checkpoint.StopRequested:
            self._connection.send(Stopped(job=job.id))

    def _extract(self, job: Job) -> None:
        self._connection.send(Extracted(job=job.id, reason=extract_job(self._runner, job)))

    def _finished(self, job: Job, result: Result) -> None:
        record, scores = result
        truth = None
        if record.truth and record.truth not in self._sent:
            self._sent.add(record.truth)
            truth = self._runner.truths[record.truth]
        log = self._log.end() if record.status == "failed" else ""
        self._connection.send(Finished(job=job.id, record=record, scores=scores, truth=truth, log=log))
        self._log.empty()

    def _tell(self, kind: Any, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            self._connection.send(Progress(job=self._job, kind=kind, what=what, done=done, total=total))


def results_of(runner: Runner, job: Job, repeats: int) -> Iterator[Result]:
    """Run a job's cells; yield each one's record and scores."""
    if repeats:
        return (timed(runner, cell, repeats) for cell in job.cells)
    return runner.run_together(job.cells) if len(job.cells) > 1 else iter([runner.run(job.cells[0])])


def extract_job(runner: Runner, job: Job) -> str:
    """Extract a job's features; return what went wrong, which the cells that need them will say too."""
    from bench.run.prefetch import extract

    assert job.part is not None
    try:
        extract(runner, job.cells, job.part)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


class _Log:
    """Standard output and error of this process, in a file that is emptied for each cell."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Log:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        faulthandler.enable()
        if STACK_SIGNAL is not None:
            faulthandler.register(STACK_SIGNAL, all_threads=True)
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def empty(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.ftruncate(self._file, 0)

    def end(self) -> str:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return read_end(self._path)


def read_end(path: Path) -> str:
    """Return the end of a worker's log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


class _Forward(logging.Handler):
    """Sends the library's warnings to the driver, who shows each once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection, self._thread = connection, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:  # the pipe is for one thread
            with contextlib.suppress(OSError, ValueError):
                self._connection.send(
                    Warned(logger=record.name, level=record.levelno, text=record.getMessage())
                )


def _free_device_bytes(runner: Runner) -> int:
    """Return the memory of the worker's GPU that nobody uses yet; 0 on a CPU."""
    if runner.device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.mem_get_info(runner.device)[0])


def _die_with_parent() -> None:
    """End this process when the driver's ends, however that ends.

    Linux kills it, also while it hangs in C code; elsewhere a thread waits.
    """
    parent = parent_process()
    assert parent is not None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent.pid:  # it ended before that was said
                os._exit(1)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
