"""Tables of where the defects are: pixel metrics, of the methods that have anomaly maps.

Numbers over pooled pixels and means over images alone never stand in one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.metrics.pixel import AT_256, PER_IMAGE, POOLED
from bench.report.board import Board
from bench.report.evidence.comparison import Comparison
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.perimage import paired_aupimo
from bench.report.evidence.resampled import compare_pixels
from bench.report.leaderboard.columns import (
    group_column,
    intervals_of,
    marks_of,
    means_column,
    metric_head,
    summaries,
)
from bench.report.markdown import blocks, breakable, escape, folded, grid, table_lines
from bench.report.numbers import NOTHING, points, probability, signed_points
from bench.report.table import Filled, TableColumn, table_of

_POOLED = (
    "Over the pooled pixels of each task, good images included, at the masks' own resolution: maps come to "
    "it bilinearly and are rounded to float16. AUPRO: mean overlap of 8-connected regions up to a false "
    "positive rate of 30 % (AUPRO 5 %: of 5 %), exact, divided by the limit. AUPIMO: mean recall of each "
    "defective image at false positive rates from 0.001 % to 0.01 % that good images set. F1max has its "
    "threshold from the test set."
)
_INTERVALS = (
    "Brackets are 95 % intervals on the logit scale, from 500 resamples of each task's test images (good and "
    "defective ones apart, the same for all methods) and from the seeds where there are several; `≈` marks "
    "what may be the best, as no method is significantly better (all pairs, Holm). Of a method that draws at "
    "random and ran with one seed they hold for that run."
)
_GROUPS = (
    "Methods that share a letter are not significantly different on these test images (Student's t with the "
    "variance over the same resamples for both; Holm over the pairs of a column); `a` has the best."
)
_PER_IMAGE = (
    "**Per image**: each defective image alone, then the mean: not comparable with pooled numbers "
    "(PatchCore's published 94.4 and RD4AD's 93.9 are such means)."
)
_AT_256 = "Preset `256nearest`, pooled: masks by nearest pixel to 256 x 256, maps bilinearly to the same."


def pixel_tables(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of pooled pixel metrics, and the others folded; nothing where no method has maps."""
    compared = {name: compare_pixels(evidence, name, rate) for name in evidence.board.datasets}
    pooled = _table(evidence.board, rate, POOLED, compared)
    if not pooled:
        return []
    return blocks(
        pooled,
        [" ".join((_POOLED, _INTERVALS)) if any(compared.values()) else _POOLED],
        folded("Which differ", _groups(evidence, rate, compared)),
        folded("AUPIMO image by image", _paired(evidence, rate)),
        folded("Per image", blocks(_table(evidence.board, rate, PER_IMAGE), [_PER_IMAGE])),
        folded("At 256 x 256", blocks(_table(evidence.board, rate, AT_256), [_AT_256])),
    )


_PAIRED = (
    "AUPIMO of the defective images of all tasks together. *Ahead*: images on which a method is ahead of the "
    "best mean; *p*: Wilcoxon's signed-rank test of the differences, image by image (Pratt; Holm over the "
    "methods): of these images and these runs, and images of one task are taken as independent."
)


def _paired(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of methods against the one with the best mean AUPIMO."""
    board, archive = evidence.board, evidence.archive
    if archive is None:
        return []
    lines = [
        [
            breakable(board.label(each.row)),
            points(each.mean),
            f"{points(each.quartiles[0])} to {points(each.quartiles[1])}",
            NOTHING if at == 0 else signed_points(each.behind),
            NOTHING if at == 0 else f"{each.ahead} of {each.images}",
            NOTHING if at == 0 else probability(each.p),
        ]
        for at, each in enumerate(paired_aupimo(board, archive, board.ranked, rate))
    ]
    head = ["Method", "AUPIMO", "Middle half", "Behind the best", "Ahead", "p (Holm)"]
    return blocks(grid(head, lines), [_PAIRED]) if lines else []


#: Comparisons by data set and metric.
_Compared = Mapping[str, Mapping[str, Comparison]]


def _groups(evidence: Evidence, rate: float, compared: _Compared) -> list[str]:
    """Return a table of letters, methods × metrics, for each data set with two methods or more."""
    board, lines = evidence.board, list[list[str]]()
    for name, title, _ in _data_sets(board):
        of_metric = {metric: each for metric, each in compared[name].items() if each.letters}
        rows = [
            row
            for row in board.order(board.columns, [rate])
            if any(row in each.rows for each in of_metric.values())
        ]
        if len(rows) > 1:
            filled = [
                (replace(column, head=metric_head(metric)), cells)
                for metric, each in of_metric.items()
                for column, cells in group_column(each, rows)
            ]
            lines += [title, table_lines(table_of(map(board.label, rows), filled))]
    return blocks(*lines, [_GROUPS]) if lines else []


def _table(board: Board, rate: float, metrics: Sequence[str], compared: _Compared | None = None) -> list[str]:
    """Return a table of methods × metrics for each data set: means over tasks, of those that have maps."""
    has = {
        row: {name for record in board.records(row=row, rate=rate) for name in record.metrics}
        for row in range(len(board.plan.rows))
    }
    shown = [name for name in metrics if any(name in held for held in has.values())]
    sections = {"Method": board.order(board.columns, [rate])}
    sections |= {f"Not ranked: {name}": list(rows) for name, rows in board.unranked.items()}
    lines: list[list[str]] = []
    for name, title, of in _data_sets(board):
        tested = (compared or {}).get(name, {})
        for corner, every in sections.items():
            rows = [row for row in every if has[row].intersection(shown)]
            filled: list[Filled] = [
                means_column(
                    TableColumn(metric_head(metric)),
                    summaries(board, rows, [of], rate, metric),
                    compare=corner == "Method",
                    intervals=intervals_of(tested.get(metric), rows),
                    marks=marks_of(tested.get(metric), rows),
                )
                for metric in shown
            ]
            if rows:
                lines += [title, table_lines(table_of(map(board.label, rows), filled, corner))]
    return blocks(*lines)


def _data_sets(board: Board) -> list[tuple[str, list[str], tuple[int, ...]]]:
    """Return each data set that has masks, its title where there are several, and its columns."""
    masked = {
        column
        for _, column, _, group in board.groups()
        for record in group.records
        if record is not None and "regions" in record.counts
    }
    several = len(board.datasets) > 1
    return [
        (name, [f"**{escape(board.dataset_title(name))}**"] if several else [], of)
        for name, of in board.datasets.items()
        if masked.intersection(of)
    ]
