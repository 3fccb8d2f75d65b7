"""What one Slurm job does: it runs a chunk of jobs and leaves the results in a folder for the driver.

::

    <chunk's folder>/records/…        an archive: records, scores, labels
                     journal.jsonl    what happened, a line each, written after the record

A preempted chunk continues where it was: cells and extractions that are done do not run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from bench.core.archive import Archive
from bench.core.errors import AnobenchError, Preempted
from bench.run.executors.base import Extracted, Finished, Job, Progress
from bench.run.executors.remote import Remote, take_over
from bench.run.executors.worker import forward_progress
from bench.run.spool import SpoolFolder
from bench.train import checkpoint

#: Between two checks whether the driver wants the run to end (seconds).
LOOK_EVERY = 1.0
#: Between two reports of a long training or extraction (seconds).
REPORT_EVERY = 5.0


@contextlib.contextmanager
def preemption_from_outside() -> Iterator[None]:
    """Let no cell take a preemption for its own error: submitit's handler raises in whatever code runs."""
    number = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", signal.SIGUSR2)
    before = signal.getsignal(number)

    def handler(caught: int, frame: FrameType | None) -> None:
        try:
            before(caught, frame)  # type: ignore[operator,misc]
        except BaseException as error:
            raise Preempted(error) from None

    if not callable(before):  # not in a job of submitit's
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    except Preempted as error:
        raise error.reason from None
    finally:
        signal.signal(number, before)


class Journal:
    """Lines of JSON that one process writes and another reads, however the first ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def add(self, **line: Any) -> None:
        """Add a line, after closing one that a killed process left incomplete."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines since the last call; an unfinished line waits, a torn one is skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line) if line else None
                if isinstance(found, dict):
                    yield found


@dataclass(frozen=True, slots=True)
class Chunk:
    """What submitit gives to a Slurm job, and again after a preemption.

    Attributes
    ----------
    setup : str
        From `bench.run.executors.remote.portable_json`.
    variables : mapping
        From `bench.run.executors.remote.environ`.
    jobs : tuple of Job
    folder : str
        For its results; on a path that the driver sees.
    stop : str
        A file that exists once the run should end.
    """

    setup: str
    variables: Mapping[str, str | None]
    jobs: tuple[Job, ...]
    folder: str
    stop: str

    def __call__(self) -> None:
        """Do what is not done yet."""
        take_over(self.variables)
        journal, archive = Journal(Path(self.folder) / "journal.jsonl"), Archive(Path(self.folder))
        done = {line.get("extracted") for line in journal.read()}
        threading.Thread(target=self._wait_for_stop, daemon=True, name="stop").start()

        def report(progress: Progress) -> None:
            journal.add(progress=asdict(progress))

        try:
            remote = Remote(self.setup)
            # Beside the results: the next driver may take over both.
            remote.runner.spool = SpoolFolder(Path(self.folder) / "maps")
            journal.add(environment=remote.runner.environment, pid=os.getpid())
            forward_progress(remote.runner, lambda: -1, report, every=REPORT_EVERY)
            for job in self.jobs:
                left = tuple(cell for cell in job.cells if not archive.has(cell.key))
                if checkpoint.stop_asked() or (job.id in done if job.part else not left):
                    continue
                journal.add(started=job.id, cell=left[0].key if left else job.cells[0].key)
                with preemption_from_outside():
                    _do(remote, replace(job, cells=job.cells if job.part else left), archive, journal)
                if remote.runner.device_fault:  # another job, on another GPU perhaps, does the rest
                    sys.exit(f"this process can use its GPU no more: {remote.runner.device_fault}")
        except AnobenchError as error:
            journal.add(problem=str(error))

    def checkpoint(self) -> Any:
        """Return what to submit after a preemption: submitit's protocol."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)

    def _wait_for_stop(self) -> None:
        while not Path(self.stop).exists():
            time.sleep(LOOK_EVERY)
        checkpoint.ask_to_stop()


def _do(remote: Remote, job: Job, archive: Archive, journal: Journal) -> None:
    for event in remote.events(job):
        if isinstance(event, Finished):
            archive.write(event.record, event.scores, event.truth, event.arrays)
            journal.add(finished=job.id, cell=event.record.cell.key, log=event.log)
        elif isinstance(event, Extracted):
            journal.add(extracted=job.id, reason=event.reason)
