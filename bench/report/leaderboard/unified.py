"""The section on unified models: mean and pooled AUROC, and what one threshold for all categories costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.metrics.image import auroc, f1_max
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.markdown import blocks, breakable, escape, grid
from bench.report.numbers import mean, points
from bench.stats import Floats

_HEAD = ["Method", "Mean AUROC", "Pooled AUROC", "F1max, own thresholds", "F1, one threshold", "Cost"]
_WORDS = (
    "One model is trained on the images of all categories. *Mean AUROC*: of the categories, as published; "
    "*pooled*: of all test images together, which also asks that scores mean the same in each category. "
    "*F1max, own thresholds*: the best of each category, then the mean; *one threshold*: the same mean at "
    "the one threshold that is best for it; *cost*: their difference. Both choose on the test set: the cost "
    "is what different scales of scores take, not an estimate of what a deployed threshold reaches."
)


def unified(evidence: Evidence, rate: float) -> list[str]:
    """Return a table for each data set with one model for all of its tasks; nothing without any."""
    board, archive = evidence.board, evidence.archive
    parts = []
    for name, of in board.datasets.items():
        if archive is None or len(of) < 2 or not _is_unified(board, of):
            continue
        order = [*board.order(of, [rate]), *(row for rows in board.unranked.values() for row in rows)]
        lines = [line for row in order if (line := _line(board, archive, row, of, rate))]
        if lines:
            parts += [[f"**{escape(board.dataset_title(name))}**"], grid(_HEAD, lines)]
    return blocks(*parts, [_WORDS]) if parts else []


def _is_unified(board: Board, of: Sequence[int]) -> bool:
    cells = [cell for _, column, _, group in board.groups() if column in of for cell in group.cells]
    return bool(cells) and all(cell.train_name != cell.task_name for cell in cells)


def _line(board: Board, archive: Archive, row: int, of: Sequence[int], rate: float) -> list[str]:
    """Return a method's numbers, means over seeds; nothing unless all of its cells are there."""
    by_seed: dict[int | None, list[tuple[Floats, Floats]]] = {}
    for column in of:
        for record in board.group(row, column, rate).records:
            if record is None or record.status != "ok":
                return []
            try:
                labels, scores = archive.truth(record).labels, archive.scores(record)
            except ArchiveError:
                return []
            if len(np.unique(labels)) < 2:
                return []
            pair = labels.astype(np.float64), scores.astype(np.float64)
            by_seed.setdefault(record.cell.seed, []).append(pair)
    if not by_seed or any(len(held) != len(of) for held in by_seed.values()):
        return []
    found = np.mean([_numbers(held) for held in by_seed.values()], axis=0).tolist()
    return [breakable(board.label(row)), *map(points, found)]


def _numbers(categories: Sequence[tuple[Floats, Floats]]) -> tuple[float, float, float, float, float]:
    own = mean(f1_max(labels, scores) for labels, scores in categories)
    one = one_threshold(categories)
    labels, scores = (np.concatenate([pair[at] for pair in categories]) for at in (0, 1))
    return mean(auroc(*pair) for pair in categories), auroc(labels, scores), own, one, own - one


def one_threshold(categories: Sequence[tuple[Floats, Floats]]) -> float:
    """Return the largest mean over categories of F1 at one threshold for all.

    Parameters
    ----------
    categories : sequence of (labels, scores)
        1 = anomalous; each of shape (n,).
    """
    every = np.unique(np.concatenate([scores for _, scores in categories]))
    f1 = np.zeros(len(every))
    for labels, scores in categories:
        order = np.argsort(scores)
        # Alarms are the scores from each threshold up.
        first = np.searchsorted(scores[order], every, side="left")
        found = np.concatenate((np.cumsum(labels[order][::-1])[::-1], [0.0]))[first]
        f1 += 2 * found / (len(scores) - first + labels.sum()) / len(categories)
    return float(f1.max())
