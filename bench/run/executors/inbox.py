"""What a driver sends to a worker process, read while a cell runs."""

from __future__ import annotations

import contextlib
import queue
import threading
from multiprocessing.connection import Connection

from bench.run.executors.base import Job
from bench.train import checkpoint

#: What a driver sends to have a worker stop at the next checkpoint, and None to have it exit.
STOP = "stop"


class Inbox:
    """Reads what the driver sends in a thread of its own: a worker hears that it should stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._jobs = connection, queue.SimpleQueue[Job | None]()
        self.stopped = False
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while (sent := self._connection.recv()) is not None:
                if sent == STOP:
                    self.stopped = True
                    checkpoint.ask_to_stop()
                else:
                    self._jobs.put(sent)
        self._jobs.put(None)

    def next(self) -> Job | None:
        """Return the next job, once there is one; None if there will be none."""
        return self._jobs.get()
