"""The inline executor: this process, one job after the other. For debugging, and for what takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.run.executors.base import Event, Extracted, Finished, Job, Lost, Progress, Slot, Started
from bench.run.executors.worker import extract_job, results_of
from bench.train import checkpoint

if TYPE_CHECKING:
    from bench.run.runner import Runner


class Inline:
    """An executor (`bench.run.executors.base.Executor`) without processes of its own.

    Only Python code can be interrupted here, and a crash of a method is a crash of the run.

    Parameters
    ----------
    runner : Runner
    repeats : int
        See `bench.run.setup.Setup`.
    on_progress : callable, optional
        Progress at once of long trainings and extractions: `events` returns when they are over.
    """

    def __init__(
        self, runner: Runner, *, repeats: int = 0, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._runner, self._repeats = runner, repeats
        device = str(runner.device)
        self._slot = Slot(name=device, device=device)
        self._job: Job | None = None
        self._going: Iterator[Event] = iter(())
        self._left: list[str] = []
        if on_progress is not None:
            runner.progress = lambda *what: self._tell(on_progress, "training", *what)
            runner.provider.progress = lambda *what: self._tell(on_progress, "features", *what)

    def _tell(
        self, on_progress: Callable[[Progress], None], kind: Any, what: str, done: int, total: int
    ) -> None:
        on_progress(
            Progress(job=self._job.id if self._job else -1, kind=kind, what=what, done=done, total=total)
        )

    def start(self) -> None:
        checkpoint.go_on()

    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    def idle(self) -> Sequence[Slot]:
        return [] if self._job is not None or checkpoint.stop_asked() else [self._slot]

    def fits(self, job: Job, slot: Slot) -> bool:  # noqa: ARG002
        return True

    def submit(self, job: Job, slot: Slot) -> None:  # noqa: ARG002
        self._job, self._left = job, [cell.key for cell in job.cells]
        self._going = self._run(job)

    def _run(self, job: Job) -> Iterator[Event]:
        yield Started(job=job.id, cell=job.cells[0], slot=self._slot)
        try:
            if job.part is not None:
                yield Extracted(job=job.id, reason=extract_job(self._runner, job))
                return
            for record, scores in results_of(self._runner, job, self._repeats):
                self._left.remove(record.cell.key)
                truth = self._runner.truths.get(record.truth)
                log = record.error["traceback"] if record.error else ""
                yield Finished(job=job.id, record=record, scores=scores, truth=truth, log=log)
        except checkpoint.StopRequested:
            cells = tuple(cell for cell in job.cells if cell.key in self._left)
            yield Lost(job=job.id, cells=cells, why="interrupted", reason="the run was stopped")

    def events(self, timeout: float) -> Sequence[Event]:  # noqa: ARG002
        """Return the next event of the job, once it has come to it."""
        if self._job is None:
            return []
        event = next(self._going, None)
        if event is None:
            self._job = None
            return []
        if isinstance(event, Finished) and not self._left:
            self._job = None
        return [event]

    def stop(self) -> None:
        checkpoint.ask_to_stop()

    def kill(self) -> None:
        """Raise KeyboardInterrupt where the job is: there is no other way to end it."""
        checkpoint.ask_to_stop()
        if self._job is not None:
            raise KeyboardInterrupt

    def close(self) -> None:
        self._job = None
        checkpoint.go_on()
