"""The tables of results: overall, by contamination rate, by task, and by other metrics.

Only rows that rank are compared with one another (see `bench.report.board`); every other setting has a table
of its own underneath. Among the rows that rank, the complete ones stand first, by mean rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.cell import Record, Timing
from bench.report.board import Board, Group, Summary, mean
from bench.report.markdown import (
    NBSP,
    NOTHING,
    PAGE_WIDTH,
    blocks,
    escape,
    folded,
    marked,
    narrowest,
    percent,
    points,
    seconds,
    signed_points,
    table,
)

#: A table's column: its head and one text for each row.
TextColumn = tuple[str, list[str]]

#: Metrics beside AUROC: name in a record, head, whether lower is better.
OTHER_METRICS = (("ap", "AP", False), ("fpr95", f"FPR95{NBSP}↓", True))


def overall(board: Board, rate: float) -> list[str]:
    """Return the table of methods × data sets at one rate, and those of the settings that do not rank."""
    many = len(board.datasets) > 1

    def columns(rows: Sequence[int], rank: bool) -> list[TextColumn]:
        shown = [(dataset_name(board, name), _summaries(board, rows, [of], rate)) for name, of in _of(board)]
        if many:
            shown.insert(0, ("Average", _summaries(board, rows, list(board.datasets.values()), rate)))
        texts = [(head, _marked_means(summaries, rank)) for head, summaries in shown]
        if rank:
            texts.insert(1 if many else 0, rank_column(board, rows, board.columns, [rate]))
        return [*texts, *_timing_columns(board, rows, rate)]

    return _by_setting(board, board.columns, [rate], columns)


def by_rate(board: Board) -> list[str]:
    """Return the table of methods × contamination rates, averaged over data sets; nothing for one rate."""
    if len(board.rates) < 2:
        return []
    first, last = min(board.rates), max(board.rates)
    every = list(board.datasets.values())

    def columns(rows: Sequence[int], rank: bool) -> list[TextColumn]:
        at = {rate: _summaries(board, rows, every, rate) for rate in board.rates}
        texts = [(percent(rate), _marked_means(summaries, rank)) for rate, summaries in at.items()]
        drops = [
            NOTHING if low.mean is None or high.mean is None else signed_points(low.mean - high.mean)
            for low, high in zip(at[first], at[last], strict=True)
        ]
        ranking = [rank_column(board, rows, board.columns, board.rates)] if rank else []
        return [*texts, (f"Drop to {percent(last)}", drops), *ranking]

    return _by_setting(board, board.columns, board.rates, columns)


def by_task(board: Board, dataset: str, rate: float) -> list[str]:
    """Return the table of methods × tasks of one data set at one rate, in pieces where it is wide."""
    of = board.datasets[dataset]

    def columns(rows: Sequence[int], rank: bool) -> list[TextColumn]:
        tasks = []
        for column in of:
            groups = [board.group(row, column, rate) for row in rows]
            summaries = _summaries(board, rows, [[column]], rate)
            holes = [_hole(group) for group in groups]
            tasks.append((escape(board.plan.columns[column].task), _marked_means(summaries, rank, holes)))
        if len(of) == 1:
            return [*tasks, *([rank_column(board, rows, of, [rate])] if rank else [])]
        average = ("Average", _marked_means(_summaries(board, rows, [of], rate), rank))
        return [average, *([rank_column(board, rows, of, [rate])] if rank else []), *tasks]

    return _by_setting(board, of, [rate], columns)


def other_metrics(board: Board, rate: float) -> list[str]:
    """Return the table of methods × data sets in the metrics beside AUROC."""

    def columns(rows: Sequence[int], rank: bool) -> list[TextColumn]:
        texts = []
        for name, of in _of(board):
            for metric, head, lowest in OTHER_METRICS:
                summaries = _summaries(board, rows, [of], rate, metric)
                shown = _marked_means(summaries, rank, lowest=lowest)
                texts.append((f"{dataset_name(board, name)}: {head}", shown))
        return texts

    return _by_setting(board, board.columns, [rate], columns)


def tables_by_task(board: Board) -> list[str]:
    """Return one folded section for each data set and rate."""
    several = len(board.rates) > 1
    return blocks(
        *(
            folded(
                f"<b>{dataset_name(board, name)}</b> by task{f', {rate_name(rate)}' if several else ''}",
                by_task(board, name, rate),
            )
            for name in board.datasets
            for rate in board.rates
        )
    )


def label(board: Board, row: int) -> str:
    """Return a row's label as Markdown."""
    return escape(board.plan.rows[row].label)


def dataset_name(board: Board, name: str) -> str:
    """Return a data set's name as Markdown, with a word on generated ones."""
    synthetic = any(board.plan.columns[column].synthetic for column in board.datasets[name])
    return f"{escape(name)} (synthetic)" if synthetic else escape(name)


def rate_name(rate: float) -> str:
    return f"{percent(rate)} contamination" if rate else "clean"


def order(board: Board, columns: Sequence[int], rates: Sequence[float]) -> list[int]:
    """Return the rows that rank: the complete ones by mean rank, then the others in the plan's order."""
    found = board.mean_ranks(columns, rates)
    auroc = {
        row: mean(board.group(row, column, rate).mean("auroc") or 0.0 for column in columns for rate in rates)
        for row in found
    }
    first = sorted(found, key=lambda row: (found[row], -auroc[row], board.plan.rows[row].label))
    return [*first, *(row for row in board.ranked if row not in found)]


def rank_column(
    board: Board, rows: Sequence[int], columns: Sequence[int], rates: Sequence[float]
) -> TextColumn:
    """Return the column of mean ranks."""
    found = board.mean_ranks(columns, rates)
    texts = [f"{found[row]:.2f}" if row in found else None for row in rows]
    return "Mean rank", marked(texts, ["" if text else NOTHING for text in texts], lowest=True)


def _of(board: Board) -> list[tuple[str, tuple[int, ...]]]:
    return list(board.datasets.items())


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
        parts.append(_pieces("Method", [label(board, row) for row in rows], columns(rows, True)))
    for name, others in board.unranked.items():
        head = f"Not ranked: {escape(name)}"
        parts.append(_pieces(head, [label(board, row) for row in others], columns(others, False)))
    return blocks(*parts)


def _pieces(head: str, labels: list[str], columns: Sequence[TextColumn]) -> list[str]:
    """Return one table, or several below one another where one would be wider than a page."""
    widths = [narrowest([name, *texts]) for name, texts in columns]
    # Very long labels get a scroll bar rather than a table for each column.
    room = max(PAGE_WIDTH - narrowest([*labels, *head.split()]), PAGE_WIDTH // 2)
    # As few pieces as the width allows, of about equal width.
    target = sum(widths) / max(1, -(-sum(widths) // room))
    pieces: list[list[TextColumn]] = [[]]
    used = 0
    for column, width in zip(columns, widths, strict=True):
        if pieces[-1] and (used + width > room or used >= target):
            pieces.append([])
            used = 0
        pieces[-1].append(column)
        used += width
    return blocks(*(_table(head, labels, piece) for piece in pieces))


def _table(head: str, labels: list[str], columns: Sequence[TextColumn]) -> list[str]:
    rows = [[name, *(texts[at] for _, texts in columns)] for at, name in enumerate(labels)]
    return table([head, *(name for name, _ in columns)], rows)


def _summaries(
    board: Board, rows: Sequence[int], of: Sequence[Sequence[int]], rate: float, metric: str = "auroc"
) -> list[Summary]:
    return [board.summary(row, of, rate, metric) for row in rows]


def _marked_means(
    summaries: Sequence[Summary],
    compare: bool,
    holes: Sequence[str] | None = None,
    *,
    lowest: bool = False,
) -> list[str]:
    texts = [None if summary.mean is None else points(summary.mean) for summary in summaries]
    rest = []
    for at, summary in enumerate(summaries):
        if summary.mean is None:
            rest.append(holes[at] if holes else f"{NOTHING}{why_none(summary)}")
        else:
            rest.append("" if summary.sd is None else f"{NBSP}±{NBSP}{points(summary.sd)}")
    if not compare:
        return [f"{text or ''}{tail}" for text, tail in zip(texts, rest, strict=True)]
    return marked(texts, rest, lowest=lowest)


def why_none(summary: Summary) -> str:
    """Return why there is no mean, ``" (1 of 10 failed)"``."""
    holes = [(summary.failed, "failed"), (summary.missing, "missing")]
    said = [f"{number} of {summary.cells} {what}" for number, what in holes if number]
    if not said:
        return " (undefined)" if summary.cells else " (not planned)"
    return f" ({', '.join(said)})"


def _hole(group: Group) -> str:
    """Return what stands in the place of a cell's value."""
    if not group.cells:
        return NOTHING
    for number, what in ((group.failed, "failed"), (group.missing, "missing")):
        if number:
            return what if number == len(group.cells) else f"{what} ({number} of {len(group.cells)})"
    return "undefined"


def _timing_columns(board: Board, rows: Sequence[int], rate: float) -> list[TextColumn]:
    def column(seconds_of: Callable[[Timing], float]) -> list[str]:
        return [_mean_seconds(board.records(row=row, rate=rate), seconds_of) for row in rows]

    return [
        (f"Marginal{NBSP}s", column(lambda timing: timing.marginal)),
        (f"Cold{NBSP}s", column(lambda timing: timing.cold)),
    ]


def _mean_seconds(records: Sequence[Record], seconds_of: Callable[[Timing], float]) -> str:
    values = [seconds_of(record.timing) for record in records if record.timing is not None]
    return seconds(mean(values)) if values else NOTHING
