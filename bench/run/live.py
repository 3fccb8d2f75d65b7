"""What a running suite shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType

from bench.run.failure import reason_of
from bench.run.progress import duration

if TYPE_CHECKING:
    from bench.core.cell import Record
    from bench.run.executors.base import Progress
    from bench.run.progress import ProgressTracker, Snapshot, View

err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

#: The most rows of running cells on a terminal; the rest is a number.
MOST_ROWS = 16
#: Without a terminal, the least time between two lines (seconds).
PLAIN_INTERVAL = 10.0


def say(text: str) -> None:
    """Print a line to standard error, above the table if there is one."""
    err.print(text)


def headline(now: Snapshot) -> str:
    """Return ``"120 of 800 cells, 2 failed, about 5 min left"``."""
    words = [f"{now.done:,} of {now.total:,} cells"]
    if now.failed:
        words.append(f"{now.failed:,} failed")
    if now.doing:
        words.append(now.doing)
    elif now.ending:
        words.append(f"ending ({now.ending})")
    elif now.left_seconds is not None and now.done < now.total:
        words.append(f"about {duration(now.left_seconds)} left")
    return ", ".join(words)


def drawn(now: Snapshot) -> RenderableType:
    """Return a run at one moment as a table and a bar."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    rows = Table.grid(padding=(0, 2))
    shown = sorted(now.running)[:MOST_ROWS]
    for slot, what, seconds, note in shown:
        rows.add_row(slot, _plain(what), duration(seconds), _plain(note))
    if len(now.running) > len(shown):
        rows.add_row("", f"and {len(now.running) - len(shown)} more", "", "")
    for device, what in now.devices:
        rows.add_row(device, what, "", "")
    bar = Table.grid(padding=(0, 2))
    bar.add_row(ProgressBar(total=max(1, now.total), completed=now.done, width=40), _plain(headline(now)))
    return Group(rows, bar)


def _plain(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, overflow="ellipsis", no_wrap=True)


def _failure(record: Record) -> str:
    assert record.error is not None
    text = f"failed: {record.cell}: {reason_of(record)}"
    if logging.getLogger("bench").isEnabledFor(logging.DEBUG) and record.error["traceback"]:
        text += f"\n{record.error['traceback'].rstrip()}"
    return text


class _Live:
    def __init__(self, tracker: ProgressTracker) -> None:
        self._tracker = tracker

    def __rich__(self) -> RenderableType:
        return drawn(self._tracker.snapshot())

    def on_record(self, record: Record) -> None:
        if record.status == "failed":
            err.print(_failure(record), style="red")

    def on_progress(self, event: Progress) -> None:
        self._tracker.event(event)


class _Plain:
    def __init__(self, tracker: ProgressTracker) -> None:
        self._tracker, self._last = tracker, time.monotonic()

    def on_record(self, record: Record) -> None:
        now = time.monotonic()
        if record.status == "failed":
            err.print(_failure(record))
        if self._tracker.done == self._tracker.total or now - self._last >= PLAIN_INTERVAL:
            self._last = now
            err.print(f"{headline(self._tracker.snapshot())}: {record.cell}")

    def on_progress(self, event: Progress) -> None:
        self._tracker.event(event)
        now = time.monotonic()
        if now - self._last >= PLAIN_INTERVAL:
            self._last = now
            unit = "images" if event.kind == "features" else "mini-batches"
            doing = "features of" if event.kind == "features" else "training"
            _, about, left = self._tracker.note(event.job).partition(", about ")
            err.print(f"{doing} {event.what}: {event.done}/{event.total} {unit}{about}{left}")


@contextmanager
def view(tracker: ProgressTracker) -> Iterator[View]:
    """Show a run in progress on standard error."""
    if not err.is_terminal:
        yield _Plain(tracker)
        return
    from rich.live import Live

    shown = _Live(tracker)
    with Live(shown, console=err, refresh_per_second=2, transient=True):
        yield shown
