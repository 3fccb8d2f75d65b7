"""Data of the figure of examples: the best, the median and the worst images of each kind, with their maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.core.truth import NO_ARRAYS
from bench.metrics.threshold import threshold
from bench.report.board import Board
from bench.report.evidence.decisions import Scored, aimed_at, of_rule
from bench.report.figures.common import (
    ALL,
    Choice,
    clean,
    finished,
    named,
    place,
    shown_rows,
    the_rate,
    the_task,
)

#: Where examples lie under the results, and the schema of their files.
FOLDER, VERSION = "examples", 1


@dataclass(frozen=True, slots=True, eq=False)
class MapExamples:
    """The figure: images of one task with their masks' outlines, and their maps on one scale.

    Attributes
    ----------
    where : str
        ``"textures/weave, clean"``.
    images : ndarray, shape (k, h, w, 3), uint8
    masks : ndarray, shape (k, h, w), bool
    maps : ndarray, shape (k, h, w), float32
    scores : ndarray, shape (k,)
    kinds, places : tuple of str
        ``"scratch"``; ``"best"``, ``"median"`` or ``"worst"``: of good images the lowest score is the best.
    threshold : float
    rule : str
        Where it comes from.
    """

    kind: ClassVar[str] = "maps"
    suite: str
    method: str
    where: str
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    maps: NDArray[np.float32]
    scores: NDArray[np.float64]
    kinds: tuple[str, ...]
    places: tuple[str, ...]
    threshold: float
    rule: str

    @property
    def title(self) -> str:
        return f"{self.suite}: maps of {self.method} on {self.where}"

    @property
    def description(self) -> str:
        words = [
            f"{kind} {which} {score:.4g}{' (alarm)' if score > self.threshold else ''}"
            for kind, which, score in zip(self.kinds, self.places, self.scores, strict=True)
        ]
        return (
            f"Test images of {self.where} with the outline of their masks, and the anomaly maps of "
            f"{self.method} on one scale; the best, the median and the worst of each kind by score. "
            f"Threshold {self.threshold:.4g} ({self.rule}). Scores: {', '.join(words)}."
        )


def map_examples(board: Board, archive: Archive | None, choice: Choice = ALL) -> MapExamples:
    """Return the examples of one cell: of a method, a task, a rate and a seed.

    Raises
    ------
    FigureError
        Several methods or tasks and none chosen, or no examples of the cell were kept.
    ArchiveError
        Scores or labels cannot be read.
    """
    rate, column = the_rate(board, choice), the_task(board, choice)
    rows = shown_rows(board, choice, [column], [rate])
    if len(rows) > 1:
        rows = [row for row in rows if has_examples(board, archive, row, column)] or rows
    if len(rows) > 1:
        labels = ", ".join(board.label(row) for row in rows)
        raise FigureError(f"this figure shows one method; choose it with --method; available: {labels}")
    records = finished(board, rows[0], column, rate)
    record = records.get(choice.seed, next(iter(records.values())))
    found = _read(archive, record)
    value, rule = _threshold(board, archive, record)
    return MapExamples(
        suite=clean(board.plan.title),
        method=named(board, rows)[0].label,
        where=place(board, column, rate),
        threshold=value,
        rule=rule,
        **found,
    )


def has_examples(board: Board, archive: Archive | None, row: int, column: int) -> bool:
    """Return whether examples of a method on a task were kept, at the first contamination rate."""
    records = [record for record in board.group(row, column, board.rates[0]).records if record is not None]
    return archive is not None and any(_path(archive, record).exists() for record in records)


def _path(archive: Archive, record: Record) -> Any:
    return archive.results / FOLDER / f"{record.cell.key}.npz"


def _read(archive: Archive | None, record: Record) -> dict[str, Any]:
    if archive is None or not _path(archive, record).exists():
        raise FigureError(
            f"{record.cell}: no examples were kept; they are for methods with anomaly maps, on generated "
            "data and on your own (others' licences may forbid to show images)"
        )
    path = _path(archive, record)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["schema"]) != VERSION:
                raise ValueError(f"its schema is not version {VERSION}")
            images, masks, maps = arrays["images"], arrays["masks"], arrays["maps"]
            scores, kinds, places = arrays["scores"], arrays["kinds"], arrays["places"]
        k, height, width = maps.shape
        if images.shape != (k, height, width, 3) or images.dtype != np.uint8 or masks.shape != maps.shape:
            raise ValueError(f"images of shape {images.shape}, maps of shape {maps.shape}")
        if not len(scores) == len(kinds) == len(places) == k or maps.dtype != np.float32:
            raise ValueError(f"{len(scores)} scores for {k} maps")
    except NO_ARRAYS as error:
        raise FigureError(f"{path}: not a cell's examples ({error}); run the cell again") from None
    return {
        "images": images,
        "masks": masks.astype(bool),
        "maps": maps,
        "scores": scores.astype(np.float64),
        "kinds": tuple(clean(str(each)) for each in kinds),
        "places": tuple(clean(str(each)) for each in places),
    }


def _threshold(board: Board, archive: Archive | None, record: Record) -> tuple[float, str]:
    """Return the conformal threshold where there are calibration scores, else the oracle's."""
    assert archive is not None
    calibration, target = archive.beside(record).get("calibration"), aimed_at(board.plan)
    if calibration is not None and len(calibration):
        rule = f"conformal, aimed at {target:.0%} false alarms"
        return threshold("conformal", calibration, target).value, rule
    labels, scores = archive.truth(record).labels.astype(np.float64), archive.scores(record)
    cell = Scored(0, record, labels, scores.astype(np.float64), np.empty(0))
    return of_rule(cell, "oracle", target).value, "the best F1 on the test set"
