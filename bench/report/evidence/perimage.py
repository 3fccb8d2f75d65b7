"""AUPIMO image by image: whether methods differ, by paired signed ranks over defective images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.report.board import Board
from bench.stats import Floats
from bench.stats.multiple import holm


class Paired(NamedTuple):
    """A method against the one with the highest mean AUPIMO.

    Attributes
    ----------
    row : int
    mean : float
        Over all defective images.
    quartiles : tuple of float
        Of the images.
    behind : float
        The mean difference; 0 for the best.
    ahead : int
        Images on which it is ahead.
    images : int
    p : float
        Wilcoxon's signed-rank test with Pratt's treatment of equal images, Holm over the methods; NaN for the
        best, and where all are equal.
    """

    row: int
    mean: float
    quartiles: tuple[float, float]
    behind: float
    ahead: int
    images: int
    p: float


def paired_aupimo(board: Board, archive: Archive, rows: Sequence[int], rate: float) -> list[Paired]:
    """Return the methods that have AUPIMO of the same images, the best first; nothing for fewer than two.

    Images of all tasks are pooled, each with its mean over seeds.

    References
    ----------
    Bertoldo et al., "AUPIMO", BMVC 2024, section 4: scores of single images allow paired tests.
    """
    held = {row: values for row in rows if (values := _by_image(board, archive, row, rate)) is not None}
    if len({len(values) for values in held.values()}) != 1 or len(held) < 2:
        return []
    order = sorted(held, key=lambda row: -float(held[row].mean()))
    top = held[order[0]]
    raw = np.array([_p(held[row] - top) for row in order[1:]])
    adjusted = [float("nan"), *holm(np.where(np.isnan(raw), 1.0, raw)).tolist()]
    return [
        Paired(
            row,
            float(held[row].mean()),
            (float(np.quantile(held[row], 0.25)), float(np.quantile(held[row], 0.75))),
            float((held[row] - top).mean()),
            int((held[row] > top).sum()),
            len(top),
            p,
        )
        for row, p in zip(order, adjusted, strict=True)
    ]


def _p(differences: Floats) -> float:
    if not differences.any():
        return float("nan")
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def _by_image(board: Board, archive: Archive, row: int, rate: float) -> Floats | None:
    """Return a method's AUPIMO of each defective image of all tasks; None unless all of it is there."""
    parts = []
    for _, _, _, group in board.groups(row=row, rate=rate):
        seeds = []
        for record in group.records:
            if record is None or record.status != "ok" or "aupimo" not in record.metrics:
                return None
            try:
                seeds.append(archive.beside(record)["aupimo"].astype(np.float64))
            except (ArchiveError, KeyError):
                return None
        if not seeds or len({len(each) for each in seeds}) != 1:
            return None
        parts.append(np.mean(seeds, axis=0))
    if not parts:
        return None
    every: Floats = np.concatenate(parts)
    defective: Floats = every[~np.isnan(every)]
    return defective
