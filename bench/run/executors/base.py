"""What an executor is: it runs jobs on slots and reports what becomes of them.

The driver (`bench.run.driver`) decides what runs where and what is retried, enforces the run's limits and
writes the archive; an executor only knows its workers and devices. So each kind is small, and all share one
policy. An executor is used by one thread::

    executor.start()
    while work is left:
        for slot in executor.idle():
            ...choose a job for which executor.fits(job, slot)...
            executor.submit(job, slot)
        for event in executor.events(1.0): ...
    executor.close()

Each cell of a submitted job comes back exactly once, in a `Finished` or a `Lost`; a job that extracts gives
one `Extracted` or one `Lost`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from bench.core.cell import Cell, Record
from bench.core.truth import Truth

#: Why cells came back without records:
#:
#: ``died``         the worker ended while it ran this cell: a crash, or killed from outside
#: ``timeout``      killed for taking longer than the suite's limit and its grace
#: ``memory``       killed for using more memory than the suite's limit
#: ``device``       its process can use its GPU no more: an assert, an illegal access, an ECC error
#: ``interrupted``  the run was stopped; there may be a checkpoint
#: ``unstarted``    its worker ended before its turn came, through no fault of the cell
#: ``node``         the machine or its lease went away (preemption, a lost node)
Fate = Literal["died", "timeout", "memory", "device", "interrupted", "unstarted", "node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one worker does in one go; plain data.

    Attributes
    ----------
    id : int
        Unique in a run; a retried job gets a new one.
    cells : tuple of Cell
        Several are fitted together (`Runner.run_together`).
    part : tuple of (int, int) or None
        Which part (from 0) of how many: the job extracts features of the cells' images and runs no cell.
    seconds : float or None
        Estimated.
    device_bytes : int or None
        Estimated peak on a GPU; None is unknown: the job then gets the GPU to itself.
    on_cpu : bool
        Its method computes on the CPU: it can run beside the jobs that keep a GPU busy.
    alone : bool
        Nothing else may run on its device meanwhile (timing, or after out-of-memory).
    fresh : bool
        Only for a worker that has run nothing yet, so that a death is the cell's own fault.
    avoid : str
        A device where it was lost; it goes to another one, where there is another.
    """

    id: int
    cells: tuple[Cell, ...]
    part: tuple[int, int] | None = None
    seconds: float | None = None
    device_bytes: int | None = None
    on_cpu: bool = False
    alone: bool = False
    fresh: bool = False
    avoid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where a job can run: a worker process or its equivalent elsewhere. It keeps features in memory.

    Attributes
    ----------
    name : str
        ``"cpu #1"``, ``"cuda:0 #2"``, ``"node7 cuda:0"``; stays the same when its process is replaced.
    device : str
        ``"cpu"``, ``"cuda:0"``; with several machines, after the machine's name.
    here : bool
        The driver's own process: what a cell changes there it changes for the driver, which does nothing
        else meanwhile.
    """

    name: str
    device: str
    here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A job started; `cell` is its first."""

    job: int
    cell: Cell
    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the training or extraction of a running job is."""

    job: int
    kind: Literal["features", "training"]
    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """The result of one cell of a job, failed or not.

    Attributes
    ----------
    scores : ndarray, shape (n_test,), float64, or None
    truth : Truth or None
        What the record's `truth` names; may be None if the executor has returned it before.
    packed : bool
        Something else ran on its device meanwhile, so its timing is not that of the cell alone.
    log : str
        The end of what the cell's process wrote; empty where it is not recorded.
    arrays : dict of str to ndarray, each of shape (m,), float64
        What is kept beside the scores (`bench.core.scorefile.BESIDE`).
    maps : Path or None
        Where its anomaly maps are, if not in the run's own folder; a worker never says.
    """

    job: int
    record: Record
    scores: NDArray[Any] | None
    truth: Truth | None = None
    packed: bool = False
    log: str = ""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    maps: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """An extraction is done; the cells that need what failed (`reason`) will say so themselves."""

    job: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A job, or the rest of it, ended without records.

    Attributes
    ----------
    cells : tuple of Cell
        Those of the job without a `Finished`.
    why : Fate
    reason : str
        For the record: ``"its process was killed by signal 9 (SIGKILL)"``.
    fresh : bool
        The worker had run nothing before.
    packed, log
        As in `Finished`.
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

#: The reason of what is interrupted.
STOPPED = "the run was stopped"


def interrupted(job: Job, cells: Sequence[Cell] | None = None) -> Lost:
    """Return that a job, or these of its cells, was interrupted."""
    return Lost(
        job=job.id, cells=job.cells if cells is None else tuple(cells), why="interrupted", reason=STOPPED
    )


class Executor(Protocol):
    """Runs jobs somewhere. Not thread-safe."""

    def start(self) -> None:
        """Start workers, or connect to them.

        Raises
        ------
        AnobenchError
            A library, an address or a device is missing.
        """

    def slots(self) -> Sequence[Slot]:
        """Return all slots that exist now."""

    def idle(self) -> Sequence[Slot]:
        """Return the slots that can take a job now; a slot with a queue of its own may stay idle."""

    def fits(self, job: Job, slot: Slot) -> bool:
        """Return whether an idle slot can take the job now: memory, `alone` and `fresh` decide."""

    def submit(self, job: Job, slot: Slot) -> None:
        """Give a job that fits to an idle slot."""

    def events(self, timeout: float) -> Sequence[Event]:
        """Return what happened since the last call, after waiting at most `timeout` seconds for something."""

    def stop(self) -> None:
        """Ask running cells to end at their next checkpoint; those without checkpoints run to their end.

        Jobs that have not started, and cells that stop early, come back as `Lost` (``interrupted``).
        """

    def kill(self) -> None:
        """End running cells at once; they come back as `Lost` (``interrupted``)."""

    def close(self) -> None:
        """End all workers and leave no process behind. May be called twice."""
