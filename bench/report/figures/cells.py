"""What figures of per-image scores share: how scores are come by, and the cells of one place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.report.board import Board, cell_seed
from bench.report.figures.common import clean
from bench.report.numbers import rate_name

#: Labels and scores of a test set's images, two arrays (n,).
Run = tuple[NDArray[np.uint8], NDArray[np.float32]]
#: Gives those of a record.
ScoresOf = Callable[[Record], Run]


def finished(board: Board, row: int, column: int, rate: float) -> dict[int | None, Record]:
    """Return the records of one place by seed.

    Raises
    ------
    FigureError
        A cell failed or is missing.
    """
    group = board.group(row, column, rate)
    held = {
        cell_seed(cell): record
        for cell, record in zip(group.cells, group.records, strict=True)
        if record is not None and record.status == "ok"
    }
    if not held:
        label = board.label(row)
        where = place(board, column, rate)
        raise FigureError(f"{label} has no scores on {where}: {group.hole}")
    return held


def incomplete(board: Board, row: int, column: int, rate: float) -> bool:
    """Return whether a cell of one place has no AUROC."""
    return board.group(row, column, rate).mean("auroc") is None


def place(board: Board, column: int, rate: float) -> str:
    at = board.plan.columns[column]
    return f"{clean(at.dataset)}/{clean(at.task)}, {rate_name(rate)}"
