"""What is retried: how often, and why."""

from __future__ import annotations

from collections import Counter

from bench.core.cell import Cell, Record
from bench.core.devicefaults import no_memory
from bench.run.executors.base import Finished, Job, Lost
from bench.run.verdict import record_header
from bench.suite.resolve import Resolver

#: How often a job is retried after its machine went away.
MOST_LEASES = 5


class Retries:
    """Counts retries.

    A cell whose worker died or lost its GPU gets one more try in a new worker, after a loss on another GPU if
    there is one; so does one that was killed for its memory,
    unless its worker had run nothing else. One that ran out of a device's memory beside others gets one more
    try alone. One that ran out of time has failed.
    """

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()

    def _may(self, name: str, most: int) -> bool:
        self._tried[name] += 1
        return self._tried[name] <= most

    def cell(self, cell: Cell, event: Lost, job: Job) -> bool:
        """Return whether a lost cell gets another try."""
        own_fault = event.fresh and len(job.cells) == 1
        most = {"died": 1, "device": 1, "memory": 0 if own_fault else 1, "node": MOST_LEASES}
        return self._may(cell.key, most.get(event.why, 0))

    def extraction(self, event: Lost, job: Job) -> bool:
        """Return whether a lost extraction gets another try; without one, cells extract for themselves."""
        if event.why in ("unstarted", "node"):
            return True
        return event.why in ("died", "device", "memory") and self._may(f"{job.part} of {job.cells[0].key}", 1)

    def out_of_memory(self, event: Finished) -> bool:
        """Return whether a cell ran out of the device's memory beside others and may try alone."""
        error = event.record.error
        full = error is not None and no_memory(error["kind"], error["reason"])
        return full and event.packed and self._may(event.record.cell.key, 1)


def failed_result(cell: Cell, event: Lost, resolver: Resolver) -> Finished:
    """Return the failed result of a cell that its worker lost."""
    error = {"kind": event.why, "reason": event.reason, "traceback": event.log}
    header = record_header(cell, resolver.find(cell), event.environment)
    record = Record(status="failed", error=error, **header)
    return Finished(job=event.job, record=record, scores=None, log=event.log)
