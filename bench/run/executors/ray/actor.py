"""One of Ray's actors as its executor sees it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from bench.run.executors.base import Fate, Job, Lost, Slot
from bench.suite.suite import Limits

#: A call has short jobs for so many seconds, at most so many jobs; of two calls one runs and one waits.
CALL_SECONDS, CALL_JOBS, CALLS = 0.1, 256, 2


@dataclass(slots=True)
class Call:
    """Jobs that an actor got in one call, and Ray's reference to their results."""

    jobs: list[Job]
    ref: Any
    #: When its turn came (monotonic seconds); None before.
    began: float | None = None


@dataclass(slots=True, eq=False)
class Actor:
    """A slot on a node, and its actor once it has work.

    Attributes
    ----------
    threads : int
        That decode images and, on a CPU, run networks.
    usual : float
        Seconds that a job took lately; 0 is unknown.
    ready : object or None
        Reference to whether the actor can run anything; None once it can.
    probe : object or None
        Reference that shows what became of an actor that does not answer.
    """

    slot: Slot
    node: str
    threads: int = 1
    handle: Any = None
    calls: deque[Call] = field(default_factory=deque)
    queued: list[Job] = field(default_factory=list)
    usual: float = 0.0
    ran: bool = False
    ready: Any = None
    probe: Any = None
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def jobs(self) -> list[Job]:
        return [*(job for call in self.calls for job in call.jobs), *self.queued]

    def refs(self) -> list[Any]:
        """Return the reference to wait for: it is ready, what became of it, or its first call's end."""
        first = self.ready or self.probe or (self.calls[0].ref if self.calls else None)
        return [] if first is None else [first]

    def turn(self) -> Call | None:
        """Return the first call if its turn has just come."""
        if self.calls and self.ready is None and self.calls[0].began is None:
            self.calls[0].began = time.monotonic()
            return self.calls[0]
        return None

    def takes_more(self) -> bool:
        """Return whether it has so little work that it should get more."""
        jobs = self.jobs
        if self.probe is not None or (jobs and jobs[0].alone):
            return False
        return not jobs or (self._at_once() > 1 and len(jobs) < CALLS * self._at_once())

    def _at_once(self) -> int:
        """Return how many jobs one call should have."""
        return max(1, min(CALL_JOBS, int(CALL_SECONDS / self.usual))) if self.usual else 1

    def send(self, suspects: Set[str]) -> None:
        """Send what is queued, several jobs in a call unless a cell among them may kill its worker."""
        while self.queued and len(self.calls) < CALLS:
            alone = any(cell.key in suspects for job in self.queued for cell in job.cells)
            number = 1 if alone else self._at_once()
            jobs, self.queued = self.queued[:number], self.queued[number:]
            self.calls.append(Call(jobs, self.handle.run.remote(jobs)))

    def over(self) -> Call:
        """Remove the first call, and learn from it how long a job takes."""
        call = self.calls.popleft()
        if call.began is not None:
            seconds = (time.monotonic() - call.began) / max(1, len(call.jobs))
            self.usual = seconds if not self.usual else 0.7 * self.usual + 0.3 * seconds
        self.ran = True
        return call

    def late(self, limits: Limits) -> float | None:
        """Return the seconds that its first call was allowed, if it exceeds them."""
        if limits.cell_seconds is None or not self.calls or self.calls[0].began is None:
            return None
        cells = sum(len(job.cells) for job in self.calls[0].jobs)
        allowed = limits.cell_seconds * cells + limits.grace_seconds
        return allowed if time.monotonic() - self.calls[0].began > allowed else None

    def end(self, ray: Any) -> None:
        """Kill the actor, and forget its jobs."""
        if self.handle is not None:
            ray.kill(self.handle)
        self.handle = self.ready = self.probe = None
        self.calls.clear()
        self.queued, self.ran = [], False

    def lost(self, why: Fate, reason: str) -> tuple[list[Lost], set[str]]:
        """Return its jobs as lost, blaming the cells at fault as far as known, and the keys of suspects.

        Which of several jobs in one call was at fault is unknown: each must be retried in a call of its own.
        """
        found: list[Lost] = []
        suspects: set[str] = set()
        for at, call in enumerate(self.calls):
            blamed = at == 0 and (why in ("node", "interrupted") or len(call.jobs) == 1)
            if at == 0 and not blamed:
                suspects |= {cell.key for job in call.jobs for cell in job.cells}
            for job in call.jobs:
                fresh = at == 0 and not self.ran
                found.append(self._lost(job, why if blamed else "unstarted", reason, fresh=fresh))
        return found + [self._lost(job, "unstarted", reason) for job in self.queued], suspects

    def _lost(self, job: Job, why: Fate, reason: str, *, fresh: bool = False) -> Lost:
        environment = self.environment
        return Lost(job=job.id, cells=job.cells, why=why, reason=reason, fresh=fresh, environment=environment)


def first_line(error: Exception) -> str:
    """Return the first line of an error of Ray, and why an actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:1] + [line for line in lines[1:] if "cause" in line or "exit" in line][:1])
