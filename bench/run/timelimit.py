"""A soft limit on the seconds of a cell: an exception raised where Python code runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CellTimeout(Exception):
    """A cell took longer than the suite allows."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `CellTimeout` after so many seconds; soft: a call inside C code ends first."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not usable:
        yield
        return

    def interrupt(*_: object) -> None:
        raise CellTimeout(f"took longer than the suite's limit of {seconds:g} s (limits.cell_seconds)")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
