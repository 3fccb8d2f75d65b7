"""Keeps results: the one place of a run that writes the archive, with several threads.

A record waits for the disk twice, for its scores and for itself: one after the other that would be some
hundred records a second at best.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.files import write_atomically
from bench.core.truth import Truth
from bench.run.executors.base import Finished
from bench.train.checkpoint import Checkpoints

#: Records that are being written at once; more would keep their scores in memory.
AT_ONCE = 8
MOST_WAITING = 64


class Keeper:
    """Writes records, and the logs of failed cells.

    Parameters
    ----------
    archive : Archive
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="keep")
        self._writing: deque[Future[Record]] = deque()
        self._truths: dict[str, Truth] = {}

    def log_file(self, key: str) -> Path:
        """Return where the log of a failed cell lies."""
        return self._archive.root / "logs" / f"{key}.log"

    def keep(self, result: Finished, written: Callable[[str], None]) -> None:
        """Begin to write a result; `written` is called with its key, in another thread, once it is there."""
        if result.truth is not None:
            self._truths[result.record.truth] = result.truth
        self._writing.append(self._threads.submit(self._write, result, written))

    def _write(self, result: Finished, written: Callable[[str], None]) -> Record:
        record = result.record
        log_file = self.log_file(record.cell.key)
        if result.log:
            write_atomically(log_file, result.log.encode(), durable=False)
        elif log_file.exists():
            log_file.unlink(missing_ok=True)
        kept = keep(self._archive, record, result.scores, self._truths.get(record.truth))
        written(record.cell.key)
        return kept

    def kept(self, *, all_of_them: bool = False) -> list[Record]:
        """Return the records that are on disk since the last call, in the order in which they came.

        Raises
        ------
        ArchiveError
            One cannot be written.
        """
        found = []
        while self._writing and (all_of_them or self._writing[0].done() or len(self._writing) > MOST_WAITING):
            found.append(self._writing.popleft().result())
        return found

    def close(self) -> None:
        """Wait for what is being written."""
        self._threads.shutdown(wait=True)


def keep(archive: Archive, record: Record, scores: NDArray[np.float32] | None, truth: Truth | None) -> Record:
    """Write a record and what it rests on; its cell's checkpoints are of no more use, unless time ran out."""
    written = archive.write(record, scores, truth)
    if record.error is None or record.error["kind"] != "timeout":
        Checkpoints.of_cell(record.cell.key).remove()
    return written
