"""Writes results: the only place in a run that writes records, with several threads.

Writing a record waits for the disk twice, for its scores and for the record itself: one after the other that
would limit a run to some hundred records a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.contamination import Contamination
from bench.core.errors import ScoreError
from bench.core.fewshot import FewShot
from bench.core.files import readable, write_atomically
from bench.core.truth import Truth
from bench.run.executors.base import Finished
from bench.run.pixels import MapReader
from bench.run.verdict import evaluated, failed_by
from bench.train.checkpoint import Checkpoints

#: Threads that write, and how many results may wait for them: each keeps its scores in memory.
THREADS, MOST_WAITING = 8, 64


class RecordWriter:
    """Writes records into an archive, and the logs of failed cells.

    Parameters
    ----------
    archive : Archive
    maps : MapReader, optional
        Measures anomaly maps, in the threads that write.
    """

    def __init__(self, archive: Archive, maps: MapReader | None = None) -> None:
        self._archive, self._maps = archive, maps
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="write")
        self._writing: deque[Future[Record]] = deque()
        self._truths: dict[str, Truth] = {}
        #: The truth of each task, as its first result had it.
        self._of_task: dict[tuple[str, Contamination, FewShot, str], str] = {}

    def judged(self, result: Finished) -> Finished:
        """Return a result with the metrics of its scores, which it must have the labels for.

        Those of one task are the same for all cells: a result with others has failed.
        """
        record = result.record
        if result.truth is not None:
            self._truths.setdefault(result.truth.identity, result.truth)
        judged = evaluated(record, result.scores, self._truths.get(record.truth))
        cell = record.cell
        task = (cell.task_name, cell.contamination, cell.few_shot, cell.data_fingerprint)
        if judged.status == "ok" and self._of_task.setdefault(task, record.truth) != record.truth:
            judged = failed_by(
                record, ScoreError("the labels of its test images are not those of other cells")
            )
        scores = result.scores if judged.status == "ok" else None
        return replace(result, record=judged, scores=scores)

    def write(self, result: Finished, on_written: Callable[[str], None]) -> None:
        """Write a result in another thread, which then calls `on_written` with the cell's key."""
        self._writing.append(self._threads.submit(self._write, result, on_written))

    def _write(self, result: Finished, on_written: Callable[[str], None]) -> Record:
        record, key = result.record, result.record.cell.key
        log_file = self._archive.root / "logs" / f"{key}.log"
        if result.log:
            write_atomically(log_file, readable(result.log).encode(), durable=False)
        elif log_file.exists():
            log_file.unlink(missing_ok=True)
        scores, beside, truth = result.scores, dict(result.arrays), self._truths.get(record.truth)
        if self._maps is not None and (maps := self._maps.file(key, result.maps)) is not None:
            if truth is not None and scores is not None and record.status == "ok":
                record, more = self._maps.measured(record, truth, maps, scores)
                beside |= more
                scores = scores if record.status == "ok" else None
            maps.unlink(missing_ok=True)
        written = self._archive.write(record, scores, truth, beside)
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
