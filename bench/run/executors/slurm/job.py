"""What one Slurm job does: a chunk of jobs, one after the other; their results go to a folder for the driver.

::

    <chunk's folder>/records/…        an archive: records, scores, labels
                     journal.jsonl    what happened, a line each, written once its record is whole

A chunk that is preempted begins again where it was: what the journal says is done is not run again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.archive import Archive
from bench.core.errors import AnobenchError
from bench.run.executors.base import Extracted, Finished, Job
from bench.run.executors.remote import Remote, settle
from bench.run.executors.slurm.journal import Journal
from bench.train import checkpoint

#: Between two looks at whether the driver wants the run to end (seconds).
LOOK_EVERY = 1.0
#: Between two reports of a long training or extraction (seconds).
TELL_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """What submitit hands to a Slurm job, and again after a preemption.

    Attributes
    ----------
    setup : str
        As `bench.run.executors.remote.travelling` wrote it.
    variables : mapping
        As `bench.run.executors.remote.environ` returned them.
    jobs : tuple of Job
    folder : str
        For its results; on a path that the driver sees.
    stop : str
        A file that is there once the run should end.
    """

    setup: str
    variables: Mapping[str, str | None]
    jobs: tuple[Job, ...]
    folder: str
    stop: str

    def __call__(self) -> None:
        """Do what is not done yet."""
        settle(self.variables)
        journal, archive = Journal(Path(self.folder) / "journal.jsonl"), Archive(Path(self.folder))
        done = {line.get("extracted") for line in journal.read()}
        threading.Thread(target=self._wait_for_stop, daemon=True, name="stop").start()
        try:
            remote = Remote(self.setup)
            journal.add(environment=remote.runner.environment, pid=os.getpid())
            tell = _teller(journal)
            remote.runner.progress = lambda *what: tell("training", *what)
            remote.runner.provider.progress = lambda *what: tell("features", *what)
            for job in self.jobs:
                left = tuple(cell for cell in job.cells if not archive.has(cell.key))
                if checkpoint.stop_asked() or (job.id in done if job.part else not left):
                    continue
                journal.add(started=job.id, cell=left[0].key if left else job.cells[0].key)
                _do(remote, replace(job, cells=job.cells if job.part else left), archive, journal)
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
            archive.write(event.record, event.scores, event.truth)
            journal.add(finished=job.id, cell=event.record.cell.key, log=event.log)
        elif isinstance(event, Extracted):
            journal.add(extracted=job.id, reason=event.reason)


def _teller(journal: Journal) -> Any:
    last = [0.0]

    def tell(kind: str, what: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] >= TELL_EVERY:
            last[0] = time.monotonic()
            journal.add(on_progress=kind, what=what, done=done, total=total)

    return tell
