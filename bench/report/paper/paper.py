"""A paper's table: chosen rows and columns of a board, with the best, the second and ties marked. No text.

Marks are for methods that rank, complete in the column; every other setting stands in a section of its own
and gets none. A tie is a method that is not significantly different from the best of its column: on one task
by DeLong's paired test, on a data set or an average as the leaderboard's groups, with Holm's correction over
the methods chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.core.errors import AnobenchError, did_you_mean
from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, best, stand
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.tables import ties_to_best
from bench.report.markdown import percent
from bench.report.paper.choice import chosen_columns, chosen_rate, chosen_rows

By = Literal["task", "dataset", "average"]
#: Metrics of which the lowest is the best, and what all are called in print.
LOWER = ("fpr95",)
PRINTED = {"auroc": "AUROC", "ap": "AP", "fpr95": "FPR95"}

#: The tests that tell ties: of one task, and of means in each scope (`bench.report.evidence.comparison`).
TESTS = {
    "task": "DeLong's paired test on tasks",
    "images": "paired bootstrap over test images on means",
    "data sets": "Wilcoxon's signed-rank test over data sets",
}


@dataclass(frozen=True, slots=True)
class PaperColumn:
    """A column: mean over blocks (data sets) of the means over their columns (tasks) at one rate."""

    group: str
    name: str
    blocks: tuple[tuple[int, ...], ...]
    rate: float


@dataclass(frozen=True, slots=True)
class PaperCell:
    """One number.

    Attributes
    ----------
    mean, sd : float or None
        Share of 1; no mean where cells are missing, no deviation where nothing depends on a seed.
    place : {"best", "second", ""}
        As printed: equal ones share a place.
    tie : bool
        Not significantly different from the best, and not the best itself.
    """

    mean: float | None
    sd: float | None
    place: Literal["best", "second", ""] = ""
    tie: bool = False


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A method; `section` is empty for those that rank, else the name of their setting."""

    section: str
    label: str
    cells: tuple[PaperCell, ...]


@dataclass(frozen=True, slots=True)
class PaperTable:
    """What is printed.

    Attributes
    ----------
    metric : str
    decimals : int
    columns : tuple of PaperColumn
    rows : tuple of PaperRow
    rates : tuple of float
    about : str
        The data set, where it is a single one.
    tests : tuple of str
        Those that told the ties; empty where nothing could be tested.
    """

    about: str
    metric: str
    decimals: int
    columns: tuple[PaperColumn, ...]
    rows: tuple[PaperRow, ...]
    rates: tuple[float, ...]
    tests: tuple[str, ...]


def paper_table(
    evidence: Evidence,
    *,
    by: By = "dataset",
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
    tasks: Sequence[str] = (),
    rates: Sequence[float] = (),
    metric: str = "auroc",
    decimals: int = 1,
) -> PaperTable:
    """Return the table of what is chosen.

    Parameters
    ----------
    evidence : Evidence
    by : {"task", "dataset", "average"}
        A column for each task, for each data set, or one for their average; averages stand behind.
    methods : sequence of str
        Labels or adapters' names, or globs; rows in this order. All methods, best average first, if empty.
    datasets, tasks : sequence of str
        Names or globs; all if empty.
    rates : sequence of float
        Contamination rates; the suite's first if empty.
    metric : str
    decimals : int
        Of points.

    Raises
    ------
    AnobenchError
        A name or rate that the suite has not, a metric that its records have not, or a negative number of
        decimals.
    """
    board = evidence.board
    if not 0 <= decimals <= 6:
        raise AnobenchError(f"{decimals} decimals: expected 0 to 6")
    known = {name for record in board.records() for name in record.metrics}
    if metric not in known:
        raise AnobenchError(f"no record has the metric {metric!r}{did_you_mean(metric, known)}")
    at = tuple(chosen_rate(board, rate) for rate in rates) or board.rates[:1]
    of = chosen_columns(board, datasets, tasks)
    columns = tuple(_columns(by, of, board, at))
    rows = chosen_rows(board, methods, [column for held in of.values() for column in held], at)
    sections = {row: name for name, held in board.unranked.items() for row in held}
    cells = [_cells(evidence, rows, column, metric, decimals, set(sections)) for column in columns]
    ranked = [row for row in rows if row not in sections]
    every = [*ranked, *sorted((row for row in rows if row in sections), key=lambda row: sections[row])]
    return PaperTable(
        about=next(iter(of)) if len(of) == 1 else "",
        metric=metric,
        decimals=decimals,
        columns=columns,
        rows=tuple(
            PaperRow(sections.get(row, ""), board.plan.rows[row].label, tuple(held[row] for held, _ in cells))
            for row in every
        ),
        rates=at,
        tests=tuple(dict.fromkeys(test for _, test in cells if test)),
    )


def _columns(
    by: By, of: dict[str, tuple[int, ...]], board: Board, rates: Sequence[float]
) -> Iterator[PaperColumn]:
    """Yield the columns; where there are several rates each of them in turn has all of them."""
    several = len(rates) > 1
    for name, columns in of.items():
        for rate in rates:
            said = percent(rate) if several else ""
            if by == "task":
                group = ", ".join(filter(None, (name if len(of) > 1 else "", said)))
                for at in columns:
                    yield PaperColumn(group, board.plan.columns[at].task, ((at,),), rate)
                if len(columns) > 1:
                    yield PaperColumn(group, "Mean", (columns,), rate)
            elif by == "dataset":
                yield PaperColumn(name if several else "", said or name, (columns,), rate)
    if len(of) > 1 or by == "average":
        for rate in rates:
            said = percent(rate) if several else ""
            yield PaperColumn("Average" if several else "", said or "Average", tuple(of.values()), rate)


def _cells(
    evidence: Evidence,
    rows: Sequence[int],
    column: PaperColumn,
    metric: str,
    decimals: int,
    apart: set[int],
) -> tuple[dict[int, PaperCell], str]:
    """Return the cells of a column by row, and the test that told the ties, if any."""
    board = evidence.board
    means = {row: board.summary(row, column.blocks, column.rate, metric) for row in rows}
    printed = {
        row: round(100 * held.mean, decimals)
        for row, held in means.items()
        if row not in apart and held.mean is not None
    }
    ranking = sorted(set(printed.values()), reverse=metric not in LOWER) if len(printed) > 1 else []
    ties, test = set[int](), ""
    if metric == "auroc" and len(printed) > 1:
        ties, test = _ties(evidence, list(printed), column)
    cells = {}
    for row, held in means.items():
        at = ranking.index(printed[row]) if ranking and row in printed else 2
        place: Literal["best", "second", ""] = "best" if at == 0 else "second" if at == 1 else ""
        tie = row in ties and place != "best"
        cells[row] = PaperCell(held.mean, held.sd, place, tie)
    return cells, test


def _ties(evidence: Evidence, rows: list[int], column: PaperColumn) -> tuple[set[int], str]:
    """Return the rows that are not significantly different from the best, and by which test, if any."""
    board, rate = evidence.board, column.rate
    flat = [at for block in column.blocks for at in block]
    if len(flat) == 1:
        if evidence.task(flat[0], rate) is None:
            return set(), ""
        marks = ties_to_best(evidence, rows, flat[0], rate)
        return {row for row, tie in zip(rows, marks, strict=True) if tie}, TESTS["task"]
    names = [board.plan.columns[block[0]].dataset for block in column.blocks]
    if any(set(block) != set(board.datasets[name]) for name, block in zip(names, column.blocks, strict=True)):
        return set(), ""  # the images were resampled for whole data sets
    standing = stand(evidence.quantity(names, tuple(rows), rate))
    if not standing.scope:
        return set(), ""
    top = best(standing)
    alike = np.flatnonzero(~(standing.adjusted[top] <= ALPHA))
    return {standing.rows[at] for at in alike if at != top}, TESTS[standing.scope]
