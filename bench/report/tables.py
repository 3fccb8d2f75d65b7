"""The tables of results: overall, by contamination rate, by task, and by other metrics.

Only rows that rank are compared with one another (see `bench.report.board`); every other setting has a table
of its own underneath. Among the rows that rank, the complete ones stand first, by mean rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.report.board import Board
from bench.report.columns import (
    TextColumn,
    dataset_name,
    hole,
    label,
    marked_means,
    order,
    pieces,
    rank_columns,
    rate_name,
    summaries,
    timing_columns,
)
from bench.report.markdown import NBSP, NOTHING, blocks, escape, folded, percent, signed_points

#: Metrics beside AUROC: name in a record, head, whether lower is better.
OTHER_METRICS = (("ap", "AP", False), ("fpr95", f"FPR95{NBSP}↓", True))


def overall(board: Board, rate: float) -> list[str]:
    """Return the table of methods × data sets at one rate, and those of the settings that do not rank."""
    many = len(board.datasets) > 1

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        every = {"Average": list(board.datasets.values())} if many else {}
        by_dataset = {dataset_name(board, name): [of] for name, of in board.datasets.items()}

        def texts(shown: Mapping[str, Sequence[Sequence[int]]]) -> list[TextColumn]:
            return [
                (head, marked_means(summaries(board, rows, of, rate), compare=compare))
                for head, of in shown.items()
            ]

        ranking = rank_columns(board, rows, board.columns, [rate]) if compare else []
        return [*texts(every), *ranking, *texts(by_dataset), *timing_columns(board, rows, rate)]

    return _by_setting(board, board.columns, [rate], columns)


def by_rate(board: Board) -> list[str]:
    """Return the table of methods × contamination rates, averaged over data sets; nothing for one rate."""
    if len(board.rates) < 2:
        return []
    first, last = min(board.rates), max(board.rates)
    every = list(board.datasets.values())

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        at = {rate: summaries(board, rows, every, rate) for rate in board.rates}
        texts = [(percent(rate), marked_means(means, compare=compare)) for rate, means in at.items()]
        drops = [
            NOTHING if low.mean is None or high.mean is None else signed_points(low.mean - high.mean)
            for low, high in zip(at[first], at[last], strict=True)
        ]
        ranking = rank_columns(board, rows, board.columns, board.rates) if compare else []
        return [*texts, (f"Drop to {percent(last)}", drops), *ranking]

    return _by_setting(board, board.columns, board.rates, columns)


def by_task(board: Board, dataset: str, rate: float) -> list[str]:
    """Return the table of methods × tasks of one data set at one rate, in pieces where it is wide."""
    of = board.datasets[dataset]

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        tasks = []
        for column in of:
            holes = [hole(board.group(row, column, rate)) for row in rows]
            means = summaries(board, rows, [[column]], rate)
            name = escape(board.plan.columns[column].task)
            tasks.append((name, marked_means(means, compare=compare, holes=holes)))
        ranking = rank_columns(board, rows, of, [rate]) if compare else []
        if len(of) == 1:
            return [*ranking, *tasks]
        average = marked_means(summaries(board, rows, [of], rate), compare=compare)
        return [("Average", average), *ranking, *tasks]

    return _by_setting(board, of, [rate], columns)


def other_metrics(board: Board, rate: float) -> list[str]:
    """Return the table of methods × data sets in the metrics beside AUROC."""

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        texts = []
        for name, of in board.datasets.items():
            for metric, head, lowest in OTHER_METRICS:
                means = summaries(board, rows, [of], rate, metric)
                shown = marked_means(means, compare=compare, lowest=lowest)
                texts.append((f"{dataset_name(board, name)}: {head}", shown))
        return texts

    return _by_setting(board, board.columns, [rate], columns)


def at_each(rates: Sequence[float], lines_at: Callable[[float], list[str]]) -> list[str]:
    """Return what there is at each rate, below the rate's name where there are several."""
    if len(rates) == 1:
        return lines_at(rates[0])
    return blocks(*(blocks([f"**{rate_name(rate)}**"], lines) for rate in rates if (lines := lines_at(rate))))


def tables_by_task(board: Board) -> list[str]:
    """Return one folded section for each data set, with all rates."""
    return blocks(*(_folded_by_task(board, name) for name in board.datasets))


def _folded_by_task(board: Board, name: str) -> list[str]:
    lines = at_each(board.rates, lambda rate: by_task(board, name, rate))
    return folded(f"<b>{dataset_name(board, name)}</b> by task", lines)


def _by_setting(
    board: Board,
    of: Sequence[int],
    rates: Sequence[float],
    columns: Callable[[Sequence[int], bool], list[TextColumn]],
) -> list[str]:
    """Return the table of the rows that rank, and one for each setting that does not."""
    parts = []
    rows = order(board, of, rates)
    if rows:
        parts.append(pieces("Method", [label(board, row) for row in rows], columns(rows, True)))
    for name, others in board.unranked.items():
        head = f"Not ranked: {escape(name)}"
        parts.append(pieces(head, [label(board, row) for row in others], columns(others, False)))
    return blocks(*parts)
