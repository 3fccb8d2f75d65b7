"""What the driver says of a cell's anomaly maps: pixel metrics from the spool and the task's own masks.

The maps come from a process in which a method ran, so nothing of them is trusted (`bench.run.spool`); masks
and labels are the driver's own. One image is in memory at a time. Good images come first, since AUPIMO asks
what they score.

Every map comes to its mask's size and is rounded to float16; scopes are the task's pooled pixels, and each
defective image alone (``per_image``). The ``_256`` metrics are the preset ``256nearest``: masks by nearest
pixel to 256 x 256, maps bilinearly to the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, ScoreError
from bench.core.truth import Truth
from bench.data.task import Mask, Task
from bench.metrics.maps import WHOLE, fitted, nearest_mask
from bench.metrics.pimo import LOWER, NormalTail, aupimo
from bench.metrics.pixel import (
    CodeHistogram,
    aupro,
    pixel_auroc,
    pixel_metrics,
    regions_of,
    rounding_bounds,
    tie_width,
)
from bench.run.keep import keep_examples, keep_maps, may_be_shown
from bench.run.spool import MapFile, SpoolFolder, shown_order
from bench.run.verdict import failed_by
from bench.suite.registry import Registry

#: Height and width of the preset ``256nearest``.
PRESET = (256, 256)
#: A bound on a metric is said from here on; and a share of normal pixels with one score at AUPRO's limit.
SAID_FROM, WIDE_TIE = 1e-4, 0.05


class PixelResults(NamedTuple):
    """What maps are worth.

    Attributes
    ----------
    metrics : dict of str to float
        Those that are defined.
    counts : dict of str to int
        ``regions``, ``map_height``, ``map_width``.
    aupimo : ndarray, shape (n,), float64
        Of each image, in the order of the test images; NaN for a good one.
    flags : tuple of str
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    aupimo: NDArray[np.float64]
    flags: tuple[str, ...]


@dataclass(slots=True)
class _Sums:
    """What is known so far of a task's maps."""

    pooled: CodeHistogram = field(default_factory=CodeHistogram)
    preset: CodeHistogram = field(default_factory=CodeHistogram)
    pixel_auroc: list[float] = field(default_factory=list)
    aupro: list[float] = field(default_factory=list)
    empty: int = 0
    full: int = 0
    marked: int = 0
    interpolated: bool = False

    def add(self, scores: NDArray[np.float16], covers: tuple[float, ...], mask: Mask) -> NDArray[np.float32]:
        """Add an image; return its map at the size of its mask."""
        at_mask = fitted(scores, mask.shape, covers)
        one = CodeHistogram.of_image(at_mask, regions_of(mask))
        self.pooled += one
        self.interpolated = self.interpolated or at_mask.shape != scores.shape or covers != WHOLE
        if mask.shape == PRESET:
            self.preset += one
        else:
            small = regions_of(nearest_mask(mask, PRESET))
            self.preset += CodeHistogram.of_image(fitted(scores, PRESET, covers), small)
        if one.regions:
            self.pixel_auroc.append(pixel_auroc(one))
            self.aupro.append(aupro(one))
        return at_mask


def measure(
    maps: MapFile, masks: Sequence[Mask], labels: NDArray[np.uint8], at: Sequence[int]
) -> PixelResults:
    """Return what a task's maps are worth.

    Parameters
    ----------
    maps : MapFile
    masks : sequence of ndarray, each of shape (h, w), bool
        Of the test images; read one by one.
    labels : ndarray, shape (n,), uint8
        1 = anomalous: from the list of files, whatever the masks show.
    at : sequence of int
        The position among the maps of each test image.

    Raises
    ------
    ScoreError
        A map has NaN.
    DataError
        A mask cannot be read.
    """
    good, defective = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    sums, found = _Sums(), np.full(len(labels), np.nan)
    # Masks of good images are not read from files, as they have none: only their sizes are.
    tail = NormalTail(len(good), max((masks[int(row)].size for row in good), default=0))
    for row in good.tolist():
        mask = masks[row]
        tail.add(sums.add(maps.read(at[row]), maps.covers, mask))
        sums.marked += bool(mask.any())
    curve, resolved = tail.curve(), tail.pixels * LOWER >= 1
    for row in defective.tolist():
        mask = masks[row]
        at_mask = sums.add(maps.read(at[row]), maps.covers, mask)
        sums.empty += not mask.any()
        sums.full += bool(mask.all())
        if resolved:
            found[row] = aupimo(at_mask[mask], curve)
    metrics = pixel_metrics(sums.pooled)
    metrics |= {"aupimo": _mean(found)}
    metrics |= {"pixel_auroc_per_image": _mean(sums.pixel_auroc), "aupro_per_image": _mean(sums.aupro)}
    metrics |= {f"{name}_256": value for name, value in pixel_metrics(sums.preset).items()}
    return PixelResults(
        {name: value for name, value in metrics.items() if not np.isnan(value)},
        {"regions": sums.pooled.regions, "map_height": maps.shape[0], "map_width": maps.shape[1]},
        found,
        tuple(_flags(maps, sums, tail)),
    )


def _mean(values: NDArray[np.float64] | Sequence[float]) -> float:
    """Return the mean of what is defined; NaN if nothing is."""
    held = np.asarray(values, np.float64)
    held = held[~np.isnan(held)]
    return float(held.mean()) if len(held) else float("nan")


def _flags(maps: MapFile, sums: _Sums, tail: NormalTail) -> Iterator[str]:
    """Yield what a reader of the pixel metrics should know."""
    if maps.covers != WHOLE:
        share = maps.covers[2] * maps.covers[3]
        yield f"maps cover {share:.0%} of each image: pixels outside take the score of the nearest inside"
    for number, what in (
        (sums.empty, "anomalous images have an empty mask: their pixels count as normal"),
        (sums.full, "anomalous images have a mask without a normal pixel"),
        (sums.marked, "good images have a mask that is not empty: its pixels count as defective"),
    ):
        if number:
            yield f"{number} {what}"
    if not sums.pooled.regions:
        yield "no mask marks anything: pixel metrics undefined"
        return
    if not maps.exact or sums.interpolated:
        bounds = rounding_bounds(sums.pooled)
        told = [
            f"{name} {value:.1e}"
            for name, value in zip(bounds._fields, bounds, strict=True)
            if value > SAID_FROM
        ]
        if told:
            yield f"pixel scores rounded to float16 may change metrics by up to: {', '.join(told)}"
    if (width := tie_width(sums.pooled)) > WIDE_TIE:
        yield f"{width:.0%} of the normal pixels share the score at AUPRO's limit: a straight line there"
    pixels = tail.pixels * LOWER
    if pixels < 1:
        yield f"AUPIMO undefined: it needs {1 / LOWER:.0f} pixels of good images, there are {tail.pixels}"
    elif pixels < 100:
        yield f"AUPIMO rests on {pixels:.0f} pixels of good images at its lower bound (better: 100 or more)"


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
                found = measure(maps, task.masks, truth.labels, at)
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
        return record, {} if np.isnan(found.aupimo).all() else {"aupimo": found.aupimo}

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
