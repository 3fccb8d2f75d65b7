"""A run's progress: what runs where, what is done, how long the rest takes; for a view and other shells."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from bench.core import checks
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.files import write_atomically
from bench.run.executors.base import Event, Extracted, Finished, Job, Lost, Progress, Slot, Started

#: Schema of a status file, and seconds between two of them.
STATUS_VERSION, WRITE_EVERY = 1, 2.0
#: Seconds of planning after which other shells are told.
ANNOUNCE_AFTER = 1.0


@dataclass(slots=True)
class _Running:
    """A running job: its first cell, its start in monotonic seconds, how far a training or extraction is."""

    slot: str
    what: str
    since: float
    note: str = ""
    #: What its first progress was about, when it came, and how far it was.
    first: tuple[str, float, int] = ("", 0.0, 0)

    def left_seconds(self, event: Progress, now: float) -> float | None:
        """Estimate the rest of a training or an extraction from its speed so far; None at its beginning."""
        what, since, done = self.first
        if what != event.what or event.done < done:
            self.first = (event.what, now, event.done)
            return None
        if event.done == done or now <= since:
            return None
        return (event.total - event.done) * (now - since) / (event.done - done)


def duration(seconds: float) -> str:
    """Return ``"42 s"``, ``"3 min"`` or ``"2 h 5 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment; plain data.

    Attributes
    ----------
    suite : str
    driver : str
        The name of `bench.run.claims.Claims`; empty without claims.
    total, done, failed : int
        Cells of this run; `done` includes `failed`.
    seconds : float
        Since the start.
    left_seconds : float or None
        Estimated.
    running : tuple of (slot, what, seconds, note)
    devices : tuple of (name, what)
        Use and memory of each GPU, as far as known.
    ending : str
        Why it is about to end.
    doing : str
        What it does before its cells run: planning, starting workers.
    """

    suite: str
    driver: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    left_seconds: float | None = None
    running: tuple[tuple[str, str, float, str], ...] = ()
    devices: tuple[tuple[str, str], ...] = ()
    ending: str = ""
    doing: str = ""

    def to_json(self) -> str:
        return json.dumps({"schema": STATUS_VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """Read what `to_json` wrote.

        Raises
        ------
        ArchiveError
            Not a status, or of another schema version.
        """
        try:
            data = json.loads(text)
            if data.pop("schema") != STATUS_VERSION:
                raise ArchiveError("its schema is that of another anobench")
            for name in ("running", "devices"):
                checks.members(
                    data[name], name, lambda row, what: checks.members(row, what, checks.plain), 100_000
                )
                data[name] = tuple(tuple(row) for row in data[name])
            found = cls(**data)
            found._check()
            return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ArchiveError(f"not a run's status ({type(error).__name__}: {error})") from None

    def _check(self) -> None:
        for name in ("suite", "driver", "ending"):
            checks.text(getattr(self, name), name)
        for name in ("total", "done", "failed"):
            checks.whole(getattr(self, name), name)
        checks.number(self.seconds, "seconds")
        if self.left_seconds is not None:
            checks.number(self.left_seconds, "left_seconds")
        if self.driver.strip("0123456789abcdef"):
            raise ValueError("its driver is no number")
        for slot, what, seconds, note in self.running:
            for each in (slot, what, note):
                checks.text(each, "running")
            checks.number(seconds, "running", 0)
        for device, used in self.devices:
            checks.text(device, "devices")
            checks.text(used, "devices")


@dataclass(slots=True)
class ProgressTracker:
    """Follows a run's events.

    Attributes
    ----------
    suite, driver : str
        As in `Snapshot`.
    slots : sequence of Slot
    total : int
        Cells to run.
    file : Path, optional
        Where to write the status for other shells.
    """

    suite: str
    slots: Sequence[Slot]
    total: int = 0
    file: Path | None = None
    driver: str = ""
    done: int = 0
    failed: int = 0
    ending: str = ""
    doing: str = ""
    _running: dict[int, _Running] = field(default_factory=dict)
    #: Estimated seconds of running jobs, by their ids; of finished ones, with the seconds that they took.
    _submitted: dict[int, float] = field(default_factory=dict)
    _estimated: float = 0.0
    _took: float = 0.0
    _seconds_left: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _written: float = -float("inf")

    def submitted(self, job: Job) -> None:
        """Note that a job was submitted."""
        # Wrong estimates of extractions say nothing about cells.
        self._submitted[job.id] = job.seconds or 0.0 if job.part is None else 0.0

    def event(self, event: Event) -> None:
        now = time.monotonic()
        self.doing = ""
        if isinstance(event, Started):
            self._running[event.job] = _Running(event.slot.name, str(event.cell), now)
        elif isinstance(event, Progress) and event.job in self._running:
            what = "" if event.kind == "training" else f"features of {event.what}: "
            left = self._running[event.job].left_seconds(event, now)
            about = "" if left is None else f", about {duration(left)} left"
            self._running[event.job].note = f"{what}{event.done:,} of {event.total:,}{about}"
        elif isinstance(event, Extracted | Lost | Finished):
            self._over(event.job, now)

    def _over(self, job: int, now: float) -> None:
        estimated = self._submitted.pop(job, None)
        running = self._running.pop(job, None)
        if estimated and running is not None:
            self._estimated += estimated
            self._took += now - running.since

    def finished(self, record: Record) -> None:
        """Note that a cell is done, by this or another driver."""
        self.done += 1
        self.failed += record.status == "failed"

    def update(self, seconds_left: float, ending: str = "") -> None:
        """Note what is left, and write the status if it is time."""
        self._seconds_left, self.ending = seconds_left, ending
        now = time.monotonic()
        if self.file is not None and now - self._written >= WRITE_EVERY:
            self._written = now
            with contextlib.suppress(ArchiveError):  # a full disk: the records will say so
                write_atomically(self.file, self.snapshot().to_json().encode(), durable=False)

    def left_seconds(self) -> float | None:
        """Estimate what is left: learned costs, corrected by how far off they were in this run."""
        if self.done >= self.total:
            return 0.0
        if not self._estimated or not self.done:
            return None
        correction = self._took / self._estimated
        return correction * (self._seconds_left + sum(self._submitted.values())) / max(1, len(self.slots))

    def snapshot(self) -> Snapshot:
        """Return the run at this moment."""
        from bench.run.executors.devices import usage

        now = time.monotonic()
        return Snapshot(
            suite=self.suite,
            driver=self.driver,
            total=self.total,
            done=self.done,
            failed=self.failed,
            seconds=now - self._began,
            left_seconds=self.left_seconds(),
            running=tuple((r.slot, r.what, now - r.since, r.note) for r in self._running.values()),
            devices=usage({slot.device for slot in self.slots}),
            ending=self.ending,
            doing=self.doing,
        )

    def note(self, job: int) -> str:
        """Return how far a running job's training or extraction is; empty if it has told nothing."""
        return self._running[job].note if job in self._running else ""

    def close(self) -> None:
        """Remove the status: the run is over."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)


@contextmanager
def announced(root: Path, suite: str) -> Iterator[None]:
    """Tell `anobench status` of a run that is being planned, if that takes long; nothing remains of it.

    Parameters
    ----------
    root : Path
        The archive's.
    """
    from bench.run.claims import Claims

    held: list[tuple[Claims, ProgressTracker]] = []

    def announce() -> None:
        with contextlib.suppress(ArchiveError):  # launching says so
            claims = Claims(root / "claims")
            tracker = ProgressTracker(
                suite, [], driver=claims.name, doing="planning: reading data and weights"
            )
            tracker.file = root / "status" / f"{suite}-{claims.name[:8]}.json"
            held.append((claims, tracker))
            tracker.update(0.0)

    timer = threading.Timer(ANNOUNCE_AFTER, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for claims, tracker in held:
            tracker.close()
            claims.close()


class View(Protocol):
    """Shows a run in progress."""

    def on_record(self, record: Record) -> None:
        """Show a record that was written."""

    def on_progress(self, progress: Progress) -> None:
        """Show how far a training or an extraction in this process is."""


class _Quiet:
    def on_record(self, record: Record) -> None: ...

    def on_progress(self, progress: Progress) -> None: ...


@contextmanager
def quiet(tracker: ProgressTracker) -> Iterator[View]:  # noqa: ARG001
    """Show nothing."""
    yield _Quiet()
