"""What pixel thresholds from maps of normal images do on the test sets, from archived numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.metrics.pixelthreshold import PIXEL_RULES, SUMMARY, decide_pixels, pixel_thresholds
from bench.report.board import Board
from bench.report.numbers import mean
from bench.stats import Floats

_CURVE = ("scores", "normal", "defective", "overlap")


@dataclass(frozen=True, slots=True, eq=False)
class PixelScored:
    """A cell with maps of test and of calibration images.

    Attributes
    ----------
    column : int
    record : Record
    labels : ndarray, shape (n,)
    maps : ndarray, shape (n, 4)
        Summaries of the test images' maps (`bench.metrics.pixelthreshold.map_summary`).
    curve : dict of str to ndarray
        Of `bench.metrics.pixelthreshold.pixel_curve`.
    summaries, quantiles : ndarray
        Of the calibration images: arguments of `bench.metrics.pixelthreshold.pixel_thresholds`.
    """

    column: int
    record: Record
    labels: Floats
    maps: Floats
    curve: Mapping[str, Floats]
    summaries: Floats
    quantiles: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelJudged:
    """What one rule does for one method: means over seeds, then tasks; good images are pooled.

    Attributes
    ----------
    false_pixels, overlap, recall, f1, regret : float
        Shares of 1; `overlap` is the mean share of a region that is found, `regret` what F1 lacks to the best
        threshold for the same test pixels.
    touched, too_much, good : float
        Good images with a false pixel, with more of them than the rule *area* allows, and all.
    """

    false_pixels: float
    overlap: float
    recall: float
    f1: float
    regret: float
    touched: float
    too_much: float
    good: float


def pixel_cells(board: Board, archive: Archive, row: int, rate: float) -> list[PixelScored]:
    """Return a row's cells at a rate if all that have masks have what it takes, else nothing."""
    found = []
    for _, column, _, group in board.groups(row=row, rate=rate):
        for record in group.records:
            if record is None or record.status != "ok":
                return []
            if "pixel_f1max" not in record.metrics:
                continue
            try:
                beside = {name: each.astype(np.float64) for name, each in archive.beside(record).items()}
                labels = archive.truth(record).labels.astype(np.float64)
                cell = PixelScored(
                    column,
                    record,
                    labels,
                    beside["maps"].reshape(-1, SUMMARY),
                    {name: beside[f"pixels_{name}"] for name in _CURVE},
                    beside["calibration_maps"].reshape(-1, SUMMARY),
                    beside["calibration_pixels"],
                )
            except (ArchiveError, KeyError):
                return []
            found.append(cell)
    return found


def rules_of(cells: Sequence[PixelScored], rate: float) -> list[str]:
    """Return the rules of `PIXEL_RULES` that all cells of one method have; none without cells."""
    known = [pixel_thresholds(cell.summaries, cell.quantiles, rate).keys() for cell in cells]
    return [rule for rule in PIXEL_RULES if known and all(rule in each for each in known)]


def pixels_judged(cells: Sequence[PixelScored], rule: str, rate: float) -> PixelJudged:
    """Return what a rule of `PIXEL_RULES` does for the cells of one method."""
    held: dict[int, list[tuple[float, ...]]] = {}
    for cell in cells:
        value = pixel_thresholds(cell.summaries, cell.quantiles, rate)[rule]
        made = decide_pixels(cell.curve, value, float(cell.maps[:, 0].max()))
        good = cell.maps[cell.labels == 0]
        numbers = (
            made.false_rate,
            made.overlap,
            made.recall,
            made.f1,
            max(0.0, cell.record.metrics["pixel_f1max"] - made.f1),
            float((good[:, 0] > value).sum()),
            float((good[:, 1] > value).sum()),
            float(len(good)),
        )
        held.setdefault(cell.column, []).append(numbers)
    tasks = [[mean(values) for values in zip(*seeds, strict=True)] for seeds in held.values()]
    shares = [mean(task[at] for task in tasks) for at in range(5)]
    counts = [sum(task[at] for task in tasks) for at in (5, 6, 7)]
    return PixelJudged(
        false_pixels=shares[0],
        overlap=shares[1],
        recall=shares[2],
        f1=shares[3],
        regret=shares[4],
        touched=counts[0],
        too_much=counts[1],
        good=counts[2],
    )
