"""The tables of results: overall, by contamination rate, by task, and by other metrics.

Only rows that rank are compared with one another (see `bench.report.board`); every other setting has a table
of its own underneath, and so have the methods of which cells are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.metrics.image import IMAGE_METRICS
from bench.report.board import LOWER, Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.columns import (
    group_column,
    marks_of,
    means_column,
    metric_head,
    place_column,
    rank_columns,
    summaries,
    timing_columns,
)
from bench.report.markdown import blocks, fits, table_lines
from bench.report.numbers import NBSP, percent, rate_name
from bench.report.table import Filled, TableCell, TableColumn, table_of

#: The head of a table of what is not compared.
INCOMPLETE = "Not ranked: incomplete"
#: Makes the columns of some rows, and compares these or not.
ColumnBuilder = Callable[[Sequence[int], bool], list[Filled]]


def overall(evidence: Evidence, rate: float) -> list[str]:
    """Return the short table of methods at one rate, and those of what does not rank.

    It holds the data sets where there is room for them; else `by_dataset` is a table of its own.
    """
    board = evidence.board
    datasets = len(board.datasets) > 1 and _holds_datasets(evidence, rate)
    one_machine = len(board.machines()) < 2

    def columns(rows: Sequence[int], compare: bool) -> list[Filled]:
        filled = _top_columns(evidence, rows, rate, compare)
        filled += _dataset_columns(board, rows, rate, compare) if datasets else []
        return [*filled, *(timing_columns(board, rows, rate) if one_machine else [])]

    return _by_setting(evidence, board.columns, [rate], columns)


def by_dataset(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of methods × data sets, or nothing where `overall` shows them."""
    board = evidence.board
    if _holds_datasets(evidence, rate):
        return []

    def columns(rows: Sequence[int], compare: bool) -> list[Filled]:
        return _dataset_columns(board, rows, rate, compare)

    return _by_setting(evidence, board.columns, [rate], columns)


def by_rate(evidence: Evidence) -> list[str]:
    """Return the table of methods × contamination rates, averaged over data sets; nothing for one rate."""
    board = evidence.board
    if len(board.rates) < 2:
        return []
    first, last = min(board.rates), max(board.rates)
    every = list(board.datasets.values())

    def columns(rows: Sequence[int], compare: bool) -> list[Filled]:
        at = {rate: summaries(board, rows, every, rate) for rate in board.rates}
        drops = [
            TableCell(None if low.mean is None or high.mean is None else low.mean - high.mean)
            for low, high in zip(at[first], at[last], strict=True)
        ]
        return [
            *(means_column(TableColumn(percent(rate)), at[rate], compare=compare) for rate in board.rates),
            (TableColumn(f"Drop to {percent(last)}", "difference"), drops),
            *(rank_columns(board, rows, board.columns, board.rates) if compare else []),
        ]

    return _by_setting(evidence, board.columns, board.rates, columns)


def by_task(evidence: Evidence, dataset: str, rate: float) -> list[str]:
    """Return the table of methods × tasks of one data set at one rate, in pieces where it is wide."""
    board = evidence.board
    of = board.datasets[dataset]

    def columns(rows: Sequence[int], compare: bool) -> list[Filled]:
        averages = []
        if len(of) > 1:
            intervals = [evidence.interval(row, of, rate) for row in rows]
            means = summaries(board, rows, [of], rate)
            compared = evidence.within(dataset, rate) if compare else None
            marks = marks_of(compared, rows)
            column = TableColumn("Average")
            averages = [means_column(column, means, compare=compare, intervals=intervals, marks=marks)]
            averages += [*group_column(compared, rows), *place_column(compared, rows)]
        return [
            *averages,
            *(rank_columns(board, rows, of, [rate]) if compare else []),
            *(_task_column(evidence, rows, column, rate, compare) for column in of),
        ]

    return _by_setting(evidence, of, [rate], columns)


def other_metrics(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of methods × data sets in the metrics beside AUROC."""
    board = evidence.board

    def columns(rows: Sequence[int], compare: bool) -> list[Filled]:
        return [
            means_column(
                TableColumn(f"{board.dataset_title(name)}: {metric_head(metric)}", lower=metric in LOWER),
                summaries(board, rows, [of], rate, metric),
                compare=compare,
            )
            for name, of in board.datasets.items()
            for metric in IMAGE_METRICS[1:]
        ]

    return _by_setting(evidence, board.columns, [rate], columns)


def at_each(rates: Sequence[float], lines_at: Callable[[float], list[str]]) -> list[str]:
    """Return what there is at each rate, below the rate's name where there are several."""
    if len(rates) == 1:
        return lines_at(rates[0])
    return blocks(*(blocks([f"**{rate_name(rate)}**"], lines) for rate in rates if (lines := lines_at(rate))))


def _top_columns(evidence: Evidence, rows: Sequence[int], rate: float, compare: bool) -> list[Filled]:
    """Return average, group, place, mean rank and, where it is not the same for all, the selection rule."""
    board = evidence.board
    filled = _overall_averages(evidence, rows, rate, compare)
    if not compare:
        return filled
    compared = evidence.overall(rate)
    filled += [*group_column(compared, rows), *place_column(compared, rows)]
    filled += rank_columns(board, rows, board.columns, [rate])
    rules = {row: board.plan.rows[row].selection for row in board.ranked}
    if len(set(rules.values())) > 1:
        filled.append((TableColumn("Selection", "words"), [TableCell(rules[row]) for row in rows]))
    return filled


def _overall_averages(evidence: Evidence, rows: Sequence[int], rate: float, compare: bool) -> list[Filled]:
    """Return the averages over data sets with their intervals; of a single data set with deviations, too."""
    board = evidence.board
    every, names = list(board.datasets.values()), list(board.datasets)
    one = len(names) == 1
    head = board.dataset_title(names[0]) if one else "Average"
    means = summaries(board, rows, every, rate)
    intervals = [evidence.overall_interval(row, rate) for row in rows]
    if one and not compare:
        intervals = [evidence.interval(row, every[0], rate) for row in rows]
    column = TableColumn(head, nowrap=any(intervals))
    marks = marks_of(evidence.overall(rate), rows) if compare else ()
    filled = [means_column(column, means, compare=compare, intervals=intervals, marks=marks)]
    spreads = [summary.sd for summary in means]
    if one and any(intervals) and any(spreads):
        cells = [TableCell("" if sd is None else sd) for sd in spreads]
        filled.append((TableColumn(f"±{NBSP}seeds"), cells))
    return filled


def _dataset_columns(board: Board, rows: Sequence[int], rate: float, compare: bool) -> list[Filled]:
    return [
        means_column(
            TableColumn(board.dataset_title(name)), summaries(board, rows, [of], rate), compare=compare
        )
        for name, of in board.datasets.items()
    ]


def _holds_datasets(evidence: Evidence, rate: float) -> bool:
    """Return whether the data sets fit into the overall table."""
    board = evidence.board
    if len(board.datasets) < 2:
        return True
    rows = list(evidence.complete(board.columns, rate)) or list(board.ranked)
    filled = _top_columns(evidence, rows, rate, True) + _dataset_columns(board, rows, rate, True)
    filled += timing_columns(board, rows, rate)
    return fits(table_of(map(board.label, rows), filled))


def _task_column(evidence: Evidence, rows: Sequence[int], column: int, rate: float, compare: bool) -> Filled:
    """Return AUROCs of a task with DeLong's intervals and ties to the best, or deviations without scores."""
    board = evidence.board
    intervals = [evidence.task_interval(row, column, rate) for row in rows]
    return means_column(
        TableColumn(board.plan.columns[column].task),
        summaries(board, rows, [[column]], rate),
        compare=compare,
        intervals=intervals,
        holes=[board.group(row, column, rate).hole for row in rows],
        marks=evidence.task_marks(rows, column, rate) if compare else (),
    )


def _by_setting(
    evidence: Evidence, of: Sequence[int], rates: Sequence[float], build: ColumnBuilder
) -> list[str]:
    """Return the table of the rows that rank, one of the incomplete, and one of each other setting."""
    board = evidence.board
    complete = set(evidence.complete(of, *rates))
    every = board.order(of, rates)
    tables = {"Method": [row for row in every if row in complete]}
    tables[INCOMPLETE] = [row for row in every if row not in complete]
    tables |= {f"Not ranked: {name}": list(rows) for name, rows in board.unranked.items()}
    return blocks(
        *(
            table_lines(table_of(map(board.label, rows), build(rows, corner == "Method"), corner))
            for corner, rows in tables.items()
            if rows
        )
    )
