"""AUROC by defect type or class, where labelled anomalies are all of one: what biased labels do.

References
----------
Ye, Chen, Zheng, "Understanding the Effect of Bias in Deep Anomaly Detection", IJCAI 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.fewshot import UNLABELLED, FewShot
from bench.metrics.image import auroc
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.markdown import blocks, breakable, escape, grid
from bench.report.numbers import NOTHING, mean, points, signed_points

#: Mean AUROC by type.
ByType = Mapping[str, float]

_WORDS = (
    "Each type of anomalies alone against all normal test images: mean over seeds, then over the tasks that "
    "have this type. `*` marks the type that all labelled anomalies are of; *others*: the mean over the "
    "types without it."
)
_CHANGE = (
    "Change in points against the same method without labels: what labels of one type do for it (`*`), and "
    "to the types that nobody labelled."
)


def by_type(evidence: Evidence, rate: float) -> list[str]:
    """Return tables for each data set, where labels are of one type; nothing where none are."""
    board, archive = evidence.board, evidence.archive
    rows = range(len(board.plan.rows))
    if archive is None or not any(labels_of(board, row, rate).only for row in rows):
        return []
    parts = []
    for name, of in board.datasets.items():
        found = {row: held for row in rows if (held := row_by_type(board, archive, row, of, rate))}
        types = sorted({kind for held in found.values() for kind in held})
        if types:
            parts += [[f"**{escape(board.dataset_title(name))}**"], *_tables(board, found, types, rate)]
    return blocks(*parts) if parts else []


def _tables(board: Board, found: Mapping[int, ByType], types: Sequence[str], rate: float) -> list[list[str]]:
    head, lines, changes = ["Method", *map(escape, types), "others"], [], []
    plain = {_method(board, row): row for row in found if not labels_of(board, row, rate).anomalies}
    for row, held in found.items():
        only, label = labels_of(board, row, rate).only, breakable(board.label(row))
        lines.append([label, *_line(held, types, only, points)])
        start = plain.get(_method(board, row))
        if only and start is not None:
            change = {kind: held[kind] - found[start][kind] for kind in held if kind in found[start]}
            changes.append([label, *_line(change, types, only, signed_points)])
    parts = [grid(head, lines), [_WORDS]]
    return [*parts, grid(head, changes), [_CHANGE]] if changes else parts


def _line(held: ByType, types: Sequence[str], only: str, shown: Callable[[float], str]) -> list[str]:
    others = [value for kind, value in held.items() if kind != only]
    marks = {kind: r"\*" if kind == only else "" for kind in types}
    cells = [shown(held[kind]) + marks[kind] if kind in held else NOTHING for kind in types]
    return [*cells, shown(mean(others)) if others else NOTHING]


def labels_of(board: Board, row: int, rate: float) -> FewShot:
    """Return what a row's cells have of labelled anomalies."""
    cells = [cell for *_, group in board.groups(row=row, rate=rate) for cell in group.cells]
    return cells[0].few_shot if cells else UNLABELLED


def _method(board: Board, row: int) -> tuple[object, ...]:
    """Return what a row and the same without labels have in common."""
    cells = [cell for *_, group in board.groups(row=row) for cell in group.cells]
    return (cells[0].method, cells[0].params, cells[0].backbone) if cells else (row,)


def row_by_type(board: Board, archive: Archive, row: int, of: Sequence[int], rate: float) -> ByType:
    """Return a row's AUROC by type, over the tasks of a data set; empty unless all of its cells are there."""
    of_tasks: dict[str, list[float]] = {}
    for column in of:
        records = board.group(row, column, rate).records
        of_seeds: dict[str, list[float]] = {}
        for record in records:
            if record is None or record.status != "ok":
                return {}
            for kind, value in record_by_type(archive, record).items():
                of_seeds.setdefault(kind, []).append(value)
        for kind, values in of_seeds.items():
            of_tasks.setdefault(kind, []).append(mean(values))
    return {kind: mean(values) for kind, values in of_tasks.items()}


def record_by_type(archive: Archive, record: Record) -> ByType:
    """Return AUROC by type; empty where the archive does not have the types or the scores."""
    try:
        truth, scores = archive.truth(record), archive.scores(record)
    except ArchiveError:
        return {}
    normal = truth.labels == 0
    found = {}
    for kind, mask in truth.anomalous_types.items() if normal.any() else ():
        both = normal | mask
        found[kind] = auroc(mask[both].astype(np.uint8), scores[both])
    return found
