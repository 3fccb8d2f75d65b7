"""One element of a Slurm array as its executor sees it: its journal, its limits and its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.archive import Archive
from bench.core.errors import AnobenchError, ArchiveError
from bench.run.executors.base import (
    STOPPED,
    Event,
    Extracted,
    Fate,
    Finished,
    Job,
    Lost,
    Progress,
    Slot,
    Started,
)
from bench.run.executors.slurm.job import Journal
from bench.run.spool import SpoolFolder
from bench.suite.suite import Limits

#: States of Slurm that say more than that a job died.
_FATES: dict[str, Fate] = {
    "OUT_OF_MEMORY": "memory",
    **dict.fromkeys(("NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL", "DEADLINE", "REVOKED"), "node"),
}
#: A record's log is the end of what its Slurm job printed: at most so many characters.
LOG_BYTES = 64 * 1024


class ArrayTask:
    """A submitted chunk of jobs.

    Parameters
    ----------
    submitted : submitit.Job
    folder : Path
        The chunk's.
    jobs : sequence of Job
    slot : Slot
    """

    def __init__(self, submitted: Any, folder: Path, jobs: Sequence[Job], slot: Slot) -> None:
        self._submitted, self._folder, self._slot = submitted, folder, slot
        self._jobs = {job.id: job for job in jobs}
        self._journal = Journal(folder / "journal.jsonl")
        #: Keys of the cells that are left, by job.
        self.left = {job.id: {cell.key for cell in job.cells} for job in jobs}
        self._environment: Mapping[str, Any] = {}
        #: The running job, and when its start was seen here (monotonic).
        self._running, self._since = -1, 0.0
        self._fate: tuple[Fate, str] | None = None

    @property
    def started(self) -> bool:
        return bool(self._environment)

    @property
    def ended(self) -> bool:
        return bool(self._submitted.done())

    def look(self, limits: Limits, grace: float, *, stopping: bool) -> Iterator[Event]:
        """Yield what happened since the last look; cancel the job if it exceeds its limits.

        Parameters
        ----------
        grace : float
            Additional seconds, for how late its journal is read.
        """
        ended = self.ended  # asked first: what it wrote before its end is read below
        for line in self._journal.read():
            yield from self._understand(line)
        if self.left and ended:
            yield from self.lost(stopping=stopping)
        elif self.left:
            self._enforce(limits, grace)

    def _understand(self, line: Mapping[str, Any]) -> Iterator[Event]:
        if "problem" in line:
            raise AnobenchError(f"Slurm job {self._submitted.job_id}: {line['problem']}")
        if "environment" in line:
            self._environment = line["environment"]
        elif "progress" in line and self._running in self.left:
            yield Progress(**{**line["progress"], "job": self._running})
        elif line.get("started") in self.left:
            self._running, self._since = line["started"], time.monotonic()
            job = self._jobs[self._running]
            cell = next((each for each in job.cells if each.key == line["cell"]), job.cells[0])
            yield Started(job=job.id, cell=cell, slot=self._slot)
        elif "extracted" in line and self.left.pop(line["extracted"], None) is not None:
            yield Extracted(job=line["extracted"], reason=line["reason"])
        elif line.get("cell") in self.left.get(line.get("finished", -1), ()):
            finished = result(Archive(self._folder), line["finished"], line["cell"])
            if finished is not None:
                self._over(finished.job, line["cell"])
                yield replace(finished, log=line["log"])

    def _over(self, job: int, key: str) -> None:
        self.left[job].discard(key)
        if not self.left[job]:
            del self.left[job]

    def lost(self, *, stopping: bool) -> Iterator[Lost]:
        """Yield what a job that ended has not done; the cells that it ran last are blamed."""
        state = str(self._submitted.state).split(" ", maxsplit=1)[0]
        default: Fate = "interrupted" if stopping else _FATES.get(state, "died")
        why, reason = self._fate or (default, f"its Slurm job {self._submitted.job_id} ended: {state}")
        written = self._submitted.stderr() or ""
        left, self.left = self.left, {}
        for number, keys in left.items():
            job, ran = self._jobs[number], number == self._running
            yield Lost(
                job=number,
                cells=job.cells if job.part else tuple(cell for cell in job.cells if cell.key in keys),
                why=why if ran or why == "interrupted" else "unstarted",
                reason=reason,
                fresh=len(self._jobs) == 1,
                environment=self._environment,
                log=written[-LOG_BYTES:] if ran else "",
            )

    def _enforce(self, limits: Limits, grace: float) -> None:
        """Cancel the job if its cell exceeds the limit and its grace, counted from its start as seen here."""
        if limits.cell_seconds is None or self._running not in self.left or self._fate:
            return
        allowed = limits.cell_seconds * len(self._jobs[self._running].cells) + limits.grace_seconds
        if time.monotonic() - self._since > allowed + grace:
            self.cancel("timeout", f"killed: it took longer than {allowed:g} s")

    def cancel(self, why: Fate = "interrupted", reason: str = STOPPED) -> None:
        """Cancel the job, queued or running."""
        self._fate = (why, reason)
        self._submitted.cancel()


def result(archive: Archive, job: int, key: str) -> Finished | None:
    """Read a cell's result from the spool; None if it is incomplete."""
    record = archive.load(key)
    if record is None:
        return None
    try:
        scores = archive.scores(record) if record.scores_sha256 else None
        arrays = archive.beside(record) if record.scores_sha256 else {}
        truth = archive.truth(record) if record.truth else None
    except ArchiveError:
        return None
    maps = SpoolFolder(archive.results / "maps").path(key)
    return Finished(job=job, record=record, scores=scores, truth=truth, arrays=arrays, maps=maps)
