"""The inline executor: this process, one job after the other. For debugging, and for runs of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.core.errors import AnobenchError
from bench.run.contain.leftover import adopt_orphans
from bench.run.executors.base import Event, Job, Lost, Progress, Slot, Started
from bench.run.executors.worker import events_of, forward_progress
from bench.train import checkpoint

if TYPE_CHECKING:
    from bench.run.runner import Runner


class Inline:
    """An executor (`bench.run.executors.base.Executor`) without processes of its own.

    Only Python code can be interrupted here, and a method that crashes takes the run with it: it is for a
    look into a method, with a debugger say. What cells change is put back as in a worker.

    Parameters
    ----------
    runner : Runner
    repeats : int
        See `bench.run.setup.Setup`.
    on_progress : callable, optional
        Called at once, since `events` returns only after a training or an extraction.
    """

    def __init__(
        self, runner: Runner, *, repeats: int = 0, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._runner, self._repeats = runner, repeats
        device = str(runner.device)
        self._slot = Slot(name=device, device=device, here=True)
        self._job: Job | None = None
        self._stopping = False
        self._going: Iterator[Event] = iter(())
        self._sent: set[str] = set()
        if on_progress is not None:
            forward_progress(runner, lambda: self._job.id if self._job else -1, on_progress)

    def start(self) -> None:
        checkpoint.go_on()
        adopt_orphans()

    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    def idle(self) -> Sequence[Slot]:
        return [] if self._job is not None or checkpoint.stop_asked() else [self._slot]

    def fits(self, job: Job, slot: Slot) -> bool:  # noqa: ARG002
        return True

    def submit(self, job: Job, slot: Slot) -> None:  # noqa: ARG002
        self._job, self._going = job, self._run(job)

    def _run(self, job: Job) -> Iterator[Event]:
        yield Started(job=job.id, cell=job.cells[0], slot=self._slot)
        yield from events_of(self._runner, job, self._repeats, self._sent)

    def events(self, timeout: float) -> Sequence[Event]:
        """Return the job's next event, after running it that far.

        Raises
        ------
        AnobenchError
            The process has lost its GPU: no later cell could use it.
        """
        if self._job is None:
            time.sleep(timeout)
        event = next(self._going, None)
        if event is None:
            self._job = None
            if not self._stopping:
                checkpoint.go_on()  # if it is the cell that asked for an end
            return []
        if isinstance(event, Lost) and event.why == "device":
            raise AnobenchError(
                f"this process can use its GPU no more ({event.reason}); run again: what is done is kept, "
                "and with --executor pool a cell costs no more than itself"
            )
        return [event]

    def stop(self) -> None:
        self._stopping = True
        checkpoint.ask_to_stop()

    def kill(self) -> None:
        """Raise `StoppedAtOnce` where the job is: there is no other way to end it."""
        checkpoint.ask_to_stop()
        if self._job is not None:
            raise checkpoint.StoppedAtOnce

    def close(self) -> None:
        self._job = None
        checkpoint.go_on()
        adopt_orphans(adopt=False)
