"""A worker process: it makes its runner once, then runs jobs from its pipe until that closes.

Records and scores go back through another pipe, as bytes (`bench.run.executors.wire`). A worker
whose process a cell changed for good ends after it. What the process and its libraries print (C code and the
stack of a crash too) goes to a file of its own, which is emptied before each cell.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import AnobenchError, plain_text, said
from bench.run.executors.base import Extracted, Finished, Job, Lost, Progress, interrupted
from bench.run.executors.inbox import Inbox
from bench.run.executors.wire import Began, KeptMemory, Message, Ready, Sender, Warned
from bench.run.setup import Setup
from bench.run.shared import one_model
from bench.run.timing import timed
from bench.train import checkpoint

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.run.evaluation import Result
    from bench.run.runner import Runner

#: A record's log is the end of what its process printed: at most so many bytes.
LOG_BYTES = 64 * 1024
#: Between two reports of a long training or extraction (seconds).
REPORT_EVERY = 0.5
#: Asks a worker that hangs for its stack; works inside C code too.
STACK_SIGNAL = getattr(signal, "SIGUSR1", None)


def main(
    setup: str, connection: Connection, messages: Connection, log_file: str, visible: str | None
) -> None:
    """Run jobs until the pipe closes.

    Parameters
    ----------
    setup : str
        `Setup.to_json`.
    visible : str or None
        For ``CUDA_VISIBLE_DEVICES``: the worker's one GPU.
    """
    from bench.run.contain.leftover import adopt_orphans, die_with_parent

    die_with_parent()
    adopt_orphans()
    send = Sender(messages.fileno())
    if hasattr(os, "setsid"):
        os.setsid()  # the terminal's Ctrl-C is for the driver; what a method starts can be ended with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The driver says when to stop; what a method starts must not inherit that this is ignored.
    signal.signal(signal.SIGTERM, lambda *_: None)
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    with _Log(Path(log_file)) as log, contextlib.suppress(EOFError, OSError):
        try:
            runner = Setup.from_json(setup).runner()
        except AnobenchError as error:
            send(Ready(problem=str(error)))
            return
        inbox = Inbox(connection)
        worker = _Worker(runner, send, log, Setup.from_json(setup).repeats)
        send(Ready(device_bytes=_free_device_bytes(runner), environment=runner.environment))
        while not runner.containment.spoilt and (job := inbox.next()) is not None:
            worker.do(job)
            if checkpoint.stop_asked() and not inbox.stopped:
                checkpoint.go_on()  # a cell asked for it: the driver did not
    # The driver has everything and waits for this process: taking torch apart would only take time.
    _flush()
    os._exit(0)


def _flush() -> None:
    """Flush the streams, if they still are some."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


class _Worker:
    """Runs jobs and sends back what happens."""

    def __init__(self, runner: Runner, send: Callable[[Message], object], log: _Log, repeats: int) -> None:
        self._runner, self._send, self._log, self._repeats = runner, send, log, repeats
        self._sent: set[str] = set()
        self._job = -1
        forward_progress(runner, lambda: self._job, send, every=REPORT_EVERY)
        logging.getLogger("bench").addHandler(_Forward(send))

    def do(self, job: Job) -> None:
        self._job = job.id
        self._log.empty()
        self._send(Began(job=job.id))
        for event in events_of(self._runner, job, self._repeats, self._sent):
            if isinstance(event, Finished):
                log = self._log.end() if event.record.status == "failed" else ""
                event = replace(event, log=log)
            self._send(event)
            self._log.empty()
        if self._runner.device.type == "cuda" and not self._runner.device_fault:
            self._send(KeptMemory(device_bytes=_held_device_bytes(self._runner)))


def forward_progress(
    runner: Runner, job: Callable[[], int], on_progress: Callable[[Progress], object], *, every: float = 0.0
) -> None:
    """Have a runner report its long trainings and extractions, at most once in `every` seconds."""
    last = -every

    def report(kind: Any, what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every:
            last = now
            on_progress(Progress(job=job(), kind=kind, what=what, done=done, total=total))

    runner.progress = lambda *what: report("training", *what)
    runner.provider.progress = lambda *what: report("features", *what)


def events_of(
    runner: Runner, job: Job, repeats: int, sent: set[str]
) -> Iterator[Finished | Extracted | Lost]:
    """Run a job in this process; yield a `Finished` for each cell or an `Extracted`, and what is interrupted.

    Parameters
    ----------
    sent : set of str
        The truths that this function has yielded already, by `Record.truth`; it adds to them.
    """
    left, runner.evaluates = list(job.cells), False
    try:
        if checkpoint.stop_asked():
            raise checkpoint.StopRequested
        if job.part is not None:
            reason = _extract(runner, job, job.part)
            if runner.device_fault:
                yield _off_the_device(runner, job, left)
            else:
                yield Extracted(job=job.id, reason=reason)
            return
        for record, scores in _results(runner, job, repeats):
            if runner.device_fault:  # this and the cells behind it need another process
                yield _off_the_device(runner, job, left, record.error["traceback"] if record.error else "")
                return
            left = [cell for cell in left if cell.key != record.cell.key]
            truth = runner.truths.get(record.truth) if record.truth not in sent else None
            sent.add(record.truth)
            log = record.error["traceback"] if record.error else ""
            arrays = runner.arrays.pop(record.cell.key, {})
            yield Finished(job=job.id, record=record, scores=scores, truth=truth, log=log, arrays=arrays)
    except checkpoint.StopRequested:
        yield interrupted(job, left)


def _off_the_device(runner: Runner, job: Job, left: Sequence[Cell], log: str = "") -> Lost:
    return Lost(job=job.id, cells=tuple(left), why="device", reason=runner.device_fault, log=log)


def _results(runner: Runner, job: Job, repeats: int) -> Iterator[Result]:
    if repeats:
        return (timed(runner, cell, repeats) for cell in job.cells)
    if len(job.cells) > 1 and not one_model(job.cells[0]):
        return runner.run_together(job.cells)
    return (runner.run(cell) for cell in job.cells)


def _extract(runner: Runner, job: Job, part: tuple[int, int]) -> str:
    """Extract a job's features; return what went wrong."""
    from bench.run.prefetch import extract

    try:
        extract(runner, job.cells, part)
    except BaseException as error:
        own = runner.containment.own(error)
        runner.note_fault(own)
        return said(own)
    return ""


class _Log:
    """A file with what this process prints, emptied for each cell."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Log:
        self._file = _opened(self._path)
        _flush()
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
        _flush()
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)

    def end(self) -> str:
        _flush()
        return read_end(self._path)


def _opened(path: Path) -> int:
    """Open a log; where its folder is gone for good, what is printed goes nowhere."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)


def read_end(path: Path) -> str:
    """Return the end of a worker's log; empty without one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


class _Forward(logging.Handler):
    """Sends the library's warnings to the driver, which shows each once."""

    def __init__(self, send: Callable[[Message], object]) -> None:
        super().__init__(logging.WARNING)
        self._send, self._thread = send, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:  # the pipe is for one thread
            with contextlib.suppress(OSError, ValueError):
                text = plain_text(record.getMessage())
                self._send(Warned(logger=record.name, level=record.levelno, text=text))


def _held_device_bytes(runner: Runner) -> int:
    """Give back the GPU's memory that torch keeps for later; return what is still in use."""
    import torch

    torch.cuda.empty_cache()
    return int(torch.cuda.memory_reserved(runner.device))


def _free_device_bytes(runner: Runner) -> int:
    """Return the free memory of the worker's GPU; 0 on a CPU."""
    if runner.device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.mem_get_info(runner.device)[0])
