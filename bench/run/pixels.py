"""The driver's side of anomaly maps: their metrics, what is kept of them, and their end.

The maps come from a process in which a method ran, so nothing of them is trusted (`bench.run.spool`); masks
and labels are the driver's own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell, Record
from bench.core.determinism import derive_seed
from bench.core.errors import AnobenchError, ScoreError
from bench.core.truth import Truth
from bench.data.task import Task
from bench.run.keep import keep_examples, keep_maps, may_be_shown
from bench.run.mapmetrics import measure
from bench.run.spool import MapFile, SpoolFolder, shown_order
from bench.run.verdict import failed_by
from bench.suite.registry import Registry


class MapReader:
    """Measures the maps of finished cells, and deletes or keeps them. Threads may share it.

    Parameters
    ----------
    registry : Registry
        Opens the tasks, for their masks.
    folder : Path
        Where workers put maps, unless a result says otherwise.
    results : Path
        Where maps and examples are kept (`bench.run.keep`).
    keep : bool
        Keep all maps.
    """

    def __init__(self, registry: Registry, folder: Path, results: Path, *, keep: bool = False) -> None:
        self._registry, self._spool = registry, SpoolFolder(folder)
        self._results, self._keep = results, keep
        self._lock = threading.Lock()
        self._task: tuple[object, Task] | None = None

    def file(self, key: str, given: Path | None = None) -> Path | None:
        """Return where a cell's maps are; None if it has none."""
        path = given or self._spool.path(key)
        return path if path.exists() else None

    def measured(
        self, record: Record, truth: Truth, path: Path, scores: NDArray[np.float64]
    ) -> tuple[Record, Mapping[str, NDArray[np.float64]]]:
        """Return a record with the metrics of its maps, and arrays to be kept beside its scores.

        A record whose maps are not what they should be has failed.

        Raises
        ------
        ArchiveError
            The maps cannot be read from the disk.
        """
        try:
            task = self._open(record.cell)
            if task.masks is None:
                return record, {}
            if not np.array_equal(task.test_labels, truth.labels):
                raise ScoreError("the labels of its test images are not those of its task")
            with contextlib.closing(MapFile(path, len(truth.labels))) as maps:
                at = np.argsort(shown_order(record.cell, "test", len(truth.labels))).tolist()
                # Of the test images alone, so that methods are resampled alike.
                seed = derive_seed("pixels", truth.identity, bits=31)
                found = measure(maps, task.masks, truth.labels, at, seed=seed)
                flags = self._kept(record, task, maps, at, scores)
        except ScoreError as error:
            return failed_by(record, error), {}
        except AnobenchError as error:  # a mask that cannot be read leaves the image metrics as they are
            return replace(record, flags=(*record.flags, f"no pixel metrics: {error}")), {}
        record = replace(
            record,
            metrics={**record.metrics, **found.metrics},
            counts={**record.counts, **found.counts},
            flags=(*record.flags, *found.flags, *flags),
        )
        return record, found.arrays

    def _kept(
        self, record: Record, task: Task, maps: MapFile, at: Sequence[int], scores: NDArray[np.float64]
    ) -> tuple[str, ...]:
        """Keep maps and examples; what cannot be kept is said, and fails nothing."""
        try:
            if self._keep:
                keep_maps(self._results, record, task, maps, at)
            if not record.contamination.get("count"):
                dataset = self._registry.open_dataset(record.cell.dataset)
                if may_be_shown(dataset):
                    keep_examples(self._results, record, task, maps, at, scores)
        except OSError as error:
            return (f"its maps could not be kept: {error.strerror or error}",)
        return ()

    def _open(self, cell: Cell) -> Task:
        wanted = (cell.dataset, cell.task, cell.contamination, cell.few_shot)
        with self._lock:
            if self._task is None or self._task[0] != wanted:
                self._task = (wanted, self._registry.open_task(cell)[0])
            return self._task[1]
