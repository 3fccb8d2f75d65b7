"""The section on purification: whether the wrappers kept the right training images."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.purification import PURIFICATION_METRICS
from bench.report.board import Board
from bench.report.leaderboard.columns import TextColumn, dataset_name, label, marked_means, pieces, summaries
from bench.report.leaderboard.tables import at_each
from bench.report.markdown import NBSP, blocks

_HEADS = {
    "kept_anomalous": f"kept anomalous{NBSP}↓",
    "filter_auroc": "filter AUROC",
    "normals_lost": f"normals lost{NBSP}↓",
}
_LEGEND = (
    "Of the methods that choose among their training images, by the truth that they do not see: the share of "
    "anomalies among the images kept, the AUROC of the scores that they filter by over all training images, "
    "and the share of the normal images that they left out. In points; means over seeds, then tasks."
)


def purification(board: Board) -> list[str]:
    """Return one table a contamination rate; nothing if no method chose among its training images."""
    tables = at_each(board.rates, lambda rate: _at(board, rate))
    return blocks([_LEGEND], tables) if tables else []


def _at(board: Board, rate: float) -> list[str]:
    rows = [
        row
        for row in range(len(board.plan.rows))
        if any("kept_anomalous" in record.metrics for record in board.records(row=row, rate=rate))
    ]
    if not rows:
        return []
    columns: list[TextColumn] = []
    for name, of in board.datasets.items():
        for metric in PURIFICATION_METRICS:
            if _is_there(board, rows, of, rate, metric):
                means = marked_means(summaries(board, rows, [of], rate, metric), compare=False)
                columns.append((f"{dataset_name(board, name)}: {_HEADS[metric]}", means))
    return pieces("Method", [label(board, row) for row in rows], columns)


def _is_there(board: Board, rows: Sequence[int], of: Sequence[int], rate: float, metric: str) -> bool:
    """Return whether any record has the metric: a clean training set has no AUROC."""
    return any(
        record is not None and metric in record.metrics
        for row in rows
        for column in of
        for record in board.group(row, column, rate).records
    )
