"""How a run ends early: Ctrl-C, a batch system's SIGTERM, the budget, too many failures.

At first, running cells write a checkpoint, or run to their end if they have none. A second Ctrl-C stops them
at once; after SIGTERM and after the budget that happens by itself, some seconds later.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, Self

from bench.train import checkpoint

EndReason = Literal["", "interrupted", "terminated", "budget", "failures"]

#: What running cells get after SIGTERM, and after the budget (seconds).
TERM_SECONDS, BUDGET_GRACE = 15.0, 60.0


class Ending:
    """Whether and why a run should end early; a context that handles the signals.

    Parameters
    ----------
    budget : float, optional
        Seconds from now.
    on_end : callable, optional
        Called once with the reason, perhaps inside a signal handler.
    """

    def __init__(
        self, budget: float | None = None, on_end: Callable[[EndReason], None] | None = None
    ) -> None:
        self.why: EndReason = ""
        #: Stop at once.
        self.now = False
        #: Called by a second signal, in the main thread, inside a signal handler.
        self.at_once: Callable[[], None] | None = None
        self._on_end, self._budget = on_end, budget
        self._timers: list[threading.Timer] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._signalled)
        if self._budget is not None:
            self._later(self._budget, lambda: self.ask("budget", BUDGET_GRACE))
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        checkpoint.go_on()

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if not self.why:
            self.ask(*(("interrupted", None) if number == signal.SIGINT else ("terminated", TERM_SECONDS)))
        elif number == signal.SIGINT or self.now:
            self.now = True
            if self.at_once is not None:
                self.at_once()

    def ask(self, why: EndReason, grace: float | None = None) -> None:
        """End the run; with `grace`, stop what still runs after so many seconds."""
        if self.why:
            return
        self.why = why
        checkpoint.ask_to_stop()
        if self._on_end is not None:
            self._on_end(why)
        if grace is not None:
            # Like a second Ctrl-C: it also reaches a cell that runs in this process.
            self._later(grace, lambda: os.kill(os.getpid(), signal.SIGINT))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)
