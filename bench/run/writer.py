"""Writes results: the only place in a run that writes records, with several threads.

Writing a record waits for the disk twice, for its scores and for the record itself: one after the other that
would limit a run to some hundred records a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.files import readable, write_atomically
from bench.core.truth import Truth
from bench.run.executors.base import Finished
from bench.train.checkpoint import Checkpoints

#: Threads that write, and how many results may wait for them: each keeps its scores in memory.
THREADS, MOST_WAITING = 8, 64


class RecordWriter:
    """Writes records into an archive, and the logs of failed cells."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="write")
        self._writing: deque[Future[Record]] = deque()
        self._truths: dict[str, Truth] = {}

    def write(self, result: Finished, on_written: Callable[[str], None]) -> None:
        """Write a result in another thread, which then calls `on_written` with the cell's key."""
        if result.truth is not None:
            self._truths[result.record.truth] = result.truth
        self._writing.append(self._threads.submit(self._write, result, on_written))

    def _write(self, result: Finished, on_written: Callable[[str], None]) -> Record:
        record, key = result.record, result.record.cell.key
        log_file = self._archive.root / "logs" / f"{key}.log"
        if result.log:
            write_atomically(log_file, readable(result.log).encode(), durable=False)
        elif log_file.exists():
            log_file.unlink(missing_ok=True)
        written = self._archive.write(record, result.scores, self._truths.get(record.truth))
        if record.error is None or record.error["kind"] != "timeout":
            Checkpoints.of_cell(key).remove()
        on_written(key)
        return written

    def written(self, *, wait: bool = False) -> list[Record]:
        """Return the records written since the last call, in the order in which their results came.

        Parameters
        ----------
        wait : bool
            Wait until all are written.

        Raises
        ------
        ArchiveError
            A record cannot be written.
        """
        found = []
        while self._writing and (wait or self._writing[0].done() or len(self._writing) > MOST_WAITING):
            found.append(self._writing.popleft().result())
        return found

    def close(self) -> None:
        """Wait until everything is written."""
        self._threads.shutdown(wait=True)
