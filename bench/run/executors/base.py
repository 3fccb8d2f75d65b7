"""What an executor is: it runs jobs on slots and tells what becomes of them. It neither orders nor keeps.

The driver (`bench.run.driver`) decides what runs where, tries again, counts the limits of the whole run and
writes the archive; an executor knows its workers and devices alone. So each kind is small, and all share one
policy. An executor is used by one thread::

    executor.start()
    while work is left:
        for slot in executor.idle():
            ...choose a job for which executor.fits(job, slot)...
            executor.submit(job, slot)
        for event in executor.events(1.0): ...
    executor.close()

Of each job submitted every cell comes back exactly once, in a `Finished` or in a `Lost`; of a job that
extracts, one `Extracted` or one `Lost` comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell, Record
from bench.core.truth import Truth

#: Why cells came back without records:
#:
#: ``died``         the worker ended while it ran this cell: a crash, or killed from outside
#: ``timeout``      killed, since it took longer than the suite's limit and its grace
#: ``memory``       killed, since it held more memory than the suite's limit
#: ``interrupted``  the run was stopped; a checkpoint may be there
#: ``unstarted``    its worker ended before its turn came, through no fault of the cell
#: ``node``         the machine or its lease went away (preemption, a lost node)
Fate = Literal["died", "timeout", "memory", "interrupted", "unstarted", "node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one worker does at a stretch; plain data.

    Attributes
    ----------
    id : int
        Different for each job of a run, also for one that is tried again.
    cells : tuple of Cell
        Several are fitted together (`Runner.run_together`).
    part : tuple of (int, int) or None
        Which part (from 0) of how many: the job extracts features of the cells' images, and runs no cell.
    seconds : float or None
        What it will cost, as far as is known.
    device_bytes : int or None
        What it is thought to need at most on a GPU; None where nothing is known: it then has one to itself.
    alone : bool
        Nothing else may run beside it on its device (timing, or after out-of-memory).
    fresh : bool
        Only for a worker that has run nothing yet: what it dies of is then its own fault.
    """

    id: int
    cells: tuple[Cell, ...]
    part: tuple[int, int] | None = None
    seconds: float | None = None
    device_bytes: int | None = None
    alone: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where a job can run: a worker process, or what stands for one elsewhere. It keeps features in memory.

    Attributes
    ----------
    name : str
        ``"cpu #1"``, ``"cuda:0 #2"``, ``"node7 cuda:0"``; stays the same when its process is replaced.
    device : str
        ``"cpu"``, ``"cuda:0"``; with several machines with the machine's name before it.
    """

    name: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A job began to run; `cell` is the one that runs, of cells fitted together the first."""

    job: int
    cell: Cell
    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A job that runs says how far a training or an extraction is."""

    job: int
    kind: Literal["features", "training"]
    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """One cell of a job is done, well or not.

    Attributes
    ----------
    scores : ndarray, shape (n_test,), float32, or None
    truth : Truth or None
        What the record's `truth` names; may be None for one that the executor has handed out before.
    packed : bool
        Something else ran on its device meanwhile: its timing is not that of the cell alone.
    log : str
        What the cell's process wrote meanwhile, at least its end; empty where it is not kept.
    """

    job: int
    record: Record
    scores: NDArray[np.float32] | None
    truth: Truth | None = None
    packed: bool = False
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A job that extracts is done; what failed (`reason`) will be said by the cells that need it."""

    job: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A job, or what was left of it, ended without records.

    Attributes
    ----------
    cells : tuple of Cell
        All of the job that were not in a `Finished`.
    why : Fate
    reason : str
        For the record, if it becomes one: ``"its worker was killed by signal 9 (SIGKILL)"``.
    fresh : bool
        The worker had run nothing before.
    packed : bool
    log : str
    environment : dict
        The worker's (`Record.environment`), as far as it is known.
    """

    job: int
    cells: tuple[Cell, ...]
    why: Fate
    reason: str
    fresh: bool = False
    packed: bool = False
    log: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)


Event = Started | Progress | Finished | Extracted | Lost


class Executor(Protocol):
    """Runs jobs somewhere. Not safe for several threads."""

    def start(self) -> None:
        """Start workers, or connect to them.

        Raises
        ------
        AnobenchError
            What is needed is not there: a library, an address, a device.
        """

    def slots(self) -> Sequence[Slot]:
        """Return all slots there are now."""

    def idle(self) -> Sequence[Slot]:
        """Return the slots that would take a job now; one that queues jobs for itself may stay here."""

    def fits(self, job: Job, slot: Slot) -> bool:
        """Return whether an idle place can take the job now: memory, `alone` and `fresh` decide."""

    def submit(self, job: Job, slot: Slot) -> None:
        """Give a job that fits to an idle slot."""

    def events(self, timeout: float) -> Sequence[Event]:
        """Return what happened since the last call; wait for something up to so many seconds (monotonic)."""

    def stop(self) -> None:
        """Ask the cells in flight to end at their next checkpoint; those that keep none go on to their end.

        What has not begun comes back as `Lost` (``interrupted``), like what was checkpointed.
        """

    def kill(self) -> None:
        """End the cells in flight at once; they come back as `Lost` (``interrupted``)."""

    def close(self) -> None:
        """End all workers, however they are, and leave no process behind. Can be called twice."""
