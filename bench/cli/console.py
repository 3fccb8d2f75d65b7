"""The edge: what the user sees. Messages and progress go to standard error, results to standard output."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

#: Without a terminal, a line at most so often (seconds).
PLAIN_INTERVAL = 10.0


class Progress(Protocol):
    """What a running suite reports."""

    def cell(self, text: str) -> None: ...

    def done(self, text: str, *, failed: bool) -> None: ...

    def features(self, what: str, done: int, total: int) -> None: ...

    def training(self, what: str, done: int, total: int) -> None: ...


class _Live:
    """Bars on a terminal."""

    def __init__(self, bars: object, total: int) -> None:
        from rich.progress import Progress as Bars

        assert isinstance(bars, Bars)
        self._bars = bars
        self._cells = bars.add_task("cells", total=total, note="")
        self._features = bars.add_task("features", total=None, visible=False, note="")

    def cell(self, text: str) -> None:
        self._bars.update(self._cells, note=text)

    def done(self, text: str, *, failed: bool) -> None:
        self._bars.update(self._features, visible=False)
        self._bars.advance(self._cells)
        if failed:
            self._bars.console.print(f"failed: {text}", style="red", markup=False)

    def features(self, what: str, done: int, total: int) -> None:
        self._second(what, done, total, "features")

    def training(self, what: str, done: int, total: int) -> None:
        self._second(what, done, total, "mini-batches")

    def _second(self, what: str, done: int, total: int, of: str) -> None:
        self._bars.update(
            self._features, visible=done < total, completed=done, total=total, note=what, description=of
        )


class _Plain:
    """Plain lines where the output is no terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = self._last = time.monotonic()

    def cell(self, text: str) -> None:
        pass

    def done(self, text: str, *, failed: bool) -> None:
        self._done += 1
        now = time.monotonic()
        if failed:
            err.print(f"failed: {text}", markup=False)
        if self._done == self._total or now - self._last >= PLAIN_INTERVAL:
            self._last = now
            left = (now - self._start) / self._done * (self._total - self._done)
            err.print(f"{self._done}/{self._total} cells, about {duration(left)} left: {text}", markup=False)

    def features(self, what: str, done: int, total: int) -> None:
        self._line(f"features of {what}: {done}/{total} images")

    def training(self, what: str, done: int, total: int) -> None:
        self._line(f"training {what}: {done}/{total} mini-batches")

    def _line(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_INTERVAL:
            self._last = now
            err.print(text, markup=False)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Show progress over `total` cells: bars on a terminal, plain lines elsewhere."""
    if not err.is_terminal:
        yield _Plain(total)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=err,
        transient=True,
    ) as bars:
        yield _Live(bars, total)


def table(title: str, *columns: str) -> Table:
    """Return an empty table in the one style of all commands."""
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def duration(seconds: float) -> str:
    """Return ``"42 s"``, ``"3 min"`` or ``"2 h 5 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def log_to_stderr(*, verbose: bool) -> None:
    """Send the library's warnings (and, if verbose, its details) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s" if verbose else "%(message)s"))
    logger = logging.getLogger("bench")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
