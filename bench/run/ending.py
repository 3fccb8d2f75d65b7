"""How a run ends before its work does: Ctrl-C, a batch system's SIGTERM, the budget, too many failures.

The first reason asks cells in flight for their checkpoint and lets the others end. Ctrl-C again stops at
once; after SIGTERM and after the budget that comes by itself, some seconds later.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, Self

from bench.train import checkpoint

Why = Literal["", "interrupted", "terminated", "budget", "failures"]

#: What cells in flight get after SIGTERM, and after the budget (seconds).
TERM_SECONDS, BUDGET_GRACE = 15.0, 60.0


class Ending:
    """Whether and why a run is to end; a context that holds the signals' handlers.

    Parameters
    ----------
    budget : float, optional
        Seconds from now.
    said : callable, optional
        Progress why the run is to end, at once: it may be inside a signal handler.
    """

    def __init__(self, budget: float | None = None, said: Callable[[Why], None] | None = None) -> None:
        self.why: Why = ""
        #: Stop at once.
        self.now = False
        #: Called when the end is asked for again, in the main thread, inside a signal handler.
        self.at_once: Callable[[], None] | None = None
        self._said, self._budget = said, budget
        self._began = time.monotonic()
        self._timers: list[threading.Timer] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)
        if self._budget is not None:
            self._later(self._budget, lambda: self.ask("budget", BUDGET_GRACE))
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        checkpoint.go_on()

    def _asked(self, number: int, _: FrameType | None) -> None:
        if not self.why:
            self.ask(*(("interrupted", None) if number == signal.SIGINT else ("terminated", TERM_SECONDS)))
        elif number == signal.SIGINT or self.now:
            self.now = True
            if self.at_once is not None:
                self.at_once()

    def ask(self, why: Why, grace: float | None = None) -> None:
        """Ask for the end; with `grace`, what has not ended after so many seconds is stopped."""
        if self.why:
            return
        self.why = why
        checkpoint.ask_to_stop()
        if self._said is not None:
            self._said(why)
        if grace is not None:
            # As a second Ctrl-C: it also reaches a cell that runs in this process.
            self._later(grace, lambda: os.kill(os.getpid(), signal.SIGINT))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    @property
    def seconds(self) -> float:
        """Return how long the run has been going on."""
        return time.monotonic() - self._began
