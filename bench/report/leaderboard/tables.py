"""The tables of results: overall, by contamination rate, by task, and by other metrics.

Only rows that rank are compared with one another (see `bench.report.board`); every other setting has a table
of its own underneath, and so have the methods of which cells are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, Standing
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.columns import (
    TextColumn,
    dataset_name,
    estimates,
    fits,
    hole,
    label,
    marked_means,
    order,
    pieces,
    rank_columns,
    rate_name,
    summaries,
    timing_columns,
    why_none,
)
from bench.report.leaderboard.timing import machines
from bench.report.markdown import NBSP, NOTHING, blocks, escape, percent, points, signed_points
from bench.stats.multiple import holm

#: Metrics beside AUROC: name in a record, head, whether lower is better.
OTHER_METRICS = (("ap", "AP", False), ("fpr95", f"FPR95{NBSP}↓", True))
#: The heads of tables of what is not compared.
INCOMPLETE = "Not ranked: incomplete"


def overall(evidence: Evidence, rate: float) -> list[str]:
    """Return the short table of methods at one rate, and those of what does not rank.

    It holds the data sets where there is room for them; else `by_dataset` is a table of its own.
    """
    return _by_setting(evidence, evidence.board.columns, [rate], _short_columns(evidence, rate))


def by_dataset(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of methods × data sets, or nothing where `overall` shows them."""
    board = evidence.board
    if _holds_datasets(evidence, rate):
        return []

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        return _dataset_columns(board, rows, rate, compare)

    return _by_setting(evidence, board.columns, [rate], columns)


def by_rate(evidence: Evidence) -> list[str]:
    """Return the table of methods × contamination rates, averaged over data sets; nothing for one rate."""
    board = evidence.board
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

    return _by_setting(evidence, board.columns, board.rates, columns)


def by_task(evidence: Evidence, dataset: str, rate: float) -> list[str]:
    """Return the table of methods × tasks of one data set at one rate, in pieces where it is wide."""
    board = evidence.board
    of = board.datasets[dataset]

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        tasks = [
            (escape(board.plan.columns[column].task), _task_texts(evidence, rows, column, rate, compare))
            for column in of
        ]
        ranking = rank_columns(board, rows, of, [rate]) if compare else []
        standing = evidence.within(dataset, rate) if compare else None
        group = group_column(standing, rows)
        if len(of) == 1:
            return [*group, *ranking, *tasks]
        return [("Average", _averages(evidence, rows, of, rate, compare)), *group, *ranking, *tasks]

    return _by_setting(evidence, of, [rate], columns)


def other_metrics(evidence: Evidence, rate: float) -> list[str]:
    """Return the table of methods × data sets in the metrics beside AUROC."""
    board = evidence.board

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        texts = []
        for name, of in board.datasets.items():
            for metric, head, lowest in OTHER_METRICS:
                means = summaries(board, rows, [of], rate, metric)
                shown = marked_means(means, compare=compare, lowest=lowest)
                texts.append((f"{dataset_name(board, name)}: {head}", shown))
        return texts

    return _by_setting(evidence, board.columns, [rate], columns)


def at_each(rates: Sequence[float], lines_at: Callable[[float], list[str]]) -> list[str]:
    """Return what there is at each rate, below the rate's name where there are several."""
    if len(rates) == 1:
        return lines_at(rates[0])
    return blocks(*(blocks([f"**{rate_name(rate)}**"], lines) for rate in rates if (lines := lines_at(rate))))


def group_column(standing: Standing | None, rows: Sequence[int], head: str = "Group") -> list[TextColumn]:
    """Return the column of letters that methods share which are not significantly different."""
    if standing is None or not standing.letters:
        return []
    of = dict(zip(standing.rows, standing.letters, strict=True))
    return [(head, [of.get(row, NOTHING) for row in rows])]


def _short_columns(evidence: Evidence, rate: float) -> Callable[[Sequence[int], bool], list[TextColumn]]:
    board = evidence.board
    datasets = len(board.datasets) > 1 and _holds_datasets(evidence, rate)
    one_machine = len(machines(board)) < 2

    def columns(rows: Sequence[int], compare: bool) -> list[TextColumn]:
        texts = _top_columns(evidence, rows, rate, compare)
        texts += _dataset_columns(board, rows, rate, compare) if datasets else []
        return [*texts, *(timing_columns(board, rows, rate) if one_machine else [])]

    return columns


def _top_columns(evidence: Evidence, rows: Sequence[int], rate: float, compare: bool) -> list[TextColumn]:
    """Return average, group, mean rank and, where it is not the same for all, the selection rule."""
    board = evidence.board
    texts = _overall_averages(evidence, rows, rate, compare)
    if not compare:
        return texts
    texts += group_column(evidence.overall(rate), rows)
    texts += rank_columns(board, rows, board.columns, [rate], evidence.rank_interval(rate))
    rules = {row: board.plan.rows[row].selection for row in board.ranked}
    return [*texts, *([("Selection", [rules[row] for row in rows])] if len(set(rules.values())) > 1 else [])]


def _overall_averages(
    evidence: Evidence, rows: Sequence[int], rate: float, compare: bool
) -> list[TextColumn]:
    """Return the averages over data sets with their intervals; of a single data set with deviations, too."""
    board = evidence.board
    every, names = list(board.datasets.values()), list(board.datasets)
    one = len(names) == 1
    head = dataset_name(board, names[0]) if one else "Average"
    means = summaries(board, rows, every, rate)
    held = [evidence.overall_interval(row, rate) for row in rows]
    if one and not compare:
        held = [evidence.interval(row, every[0], rate) for row in rows]
    if not any(held):
        return [(head, marked_means(means, compare=compare))]
    holes = [f"{NOTHING}{why_none(summary)}" for summary in means]
    texts = estimates([summary.mean for summary in means], held, holes=holes, compare=compare)
    columns = [(head, [text.replace(" (", f"{NBSP}(") for text in texts])]
    spreads = [summary.sd for summary in means]
    if one and any(spreads):
        columns.append((f"±{NBSP}seeds", ["" if sd is None else points(sd) for sd in spreads]))
    return columns


def _dataset_columns(board: Board, rows: Sequence[int], rate: float, compare: bool) -> list[TextColumn]:
    return [
        (dataset_name(board, name), marked_means(summaries(board, rows, [of], rate), compare=compare))
        for name, of in board.datasets.items()
    ]


def _holds_datasets(evidence: Evidence, rate: float) -> bool:
    """Return whether the data sets fit into the overall table."""
    board = evidence.board
    if len(board.datasets) < 2:
        return True
    rows = list(evidence.complete(board.columns, rate)) or list(board.ranked)
    columns = _top_columns(evidence, rows, rate, True) + _dataset_columns(board, rows, rate, True)
    columns += timing_columns(board, rows, rate)
    return fits("Method", [label(board, row) for row in rows], columns)


def _averages(
    evidence: Evidence, rows: Sequence[int], of: tuple[int, ...], rate: float, compare: bool
) -> list[str]:
    """Return averages over a data set's tasks with their intervals, or standard deviations without scores."""
    means = summaries(evidence.board, rows, [of], rate)
    held = [evidence.interval(row, of, rate) for row in rows]
    if not any(held):
        return marked_means(means, compare=compare)
    holes = [f"{NOTHING}{why_none(summary)}" for summary in means]
    return estimates([summary.mean for summary in means], held, holes=holes, compare=compare)


def _task_texts(
    evidence: Evidence, rows: Sequence[int], column: int, rate: float, compare: bool
) -> list[str]:
    """Return AUROCs of a task with DeLong's intervals and ties to the best, or deviations without scores."""
    board = evidence.board
    means = summaries(board, rows, [[column]], rate)
    holes = [hole(board.group(row, column, rate)) for row in rows]
    held = [evidence.task_interval(row, column, rate) for row in rows]
    if not any(held):
        return marked_means(means, compare=compare, holes=holes)
    ties = ties_to_best(evidence, rows, column, rate) if compare else []
    return estimates([summary.mean for summary in means], held, holes=holes, compare=compare, ties=ties)


def ties_to_best(evidence: Evidence, rows: Sequence[int], column: int, rate: float) -> list[bool]:
    """Return which rows are not significantly different from the best of them (DeLong, Holm); not itself."""
    tested = evidence.task(column, rate)
    held = [row for row in rows if tested is not None and row in tested.rows]
    if len(held) < 2:
        return [False] * len(rows)
    auroc = {row: evidence.board.group(row, column, rate).mean("auroc") or 0.0 for row in held}
    top = max(held, key=lambda row: auroc[row])
    others = [row for row in held if row != top]
    adjusted = dict(
        zip(others, holm([evidence.task_p(row, top, column, rate) for row in others]), strict=True)
    )
    return [row in adjusted and adjusted[row] > ALPHA for row in rows]


def _by_setting(
    evidence: Evidence,
    of: Sequence[int],
    rates: Sequence[float],
    columns: Callable[[Sequence[int], bool], list[TextColumn]],
) -> list[str]:
    """Return the table of the rows that rank, one of the incomplete, and one of each other setting."""
    board = evidence.board
    complete = set(evidence.complete(of, *rates))
    every = order(board, of, rates)
    rows = [row for row in every if row in complete]
    apart = {INCOMPLETE: [row for row in every if row not in complete]}
    apart |= {f"Not ranked: {escape(name)}": list(others) for name, others in board.unranked.items()}
    parts = [pieces("Method", [label(board, row) for row in rows], columns(rows, True))] if rows else []
    for head, others in apart.items():
        if others:
            parts.append(pieces(head, [label(board, row) for row in others], columns(others, False)))
    return blocks(*parts)
