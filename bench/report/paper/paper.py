"""A paper's table: chosen rows and columns of a board, with the best, the second and ties marked.

Marks are for methods that rank, complete in the column; every other setting stands in a section of its own
and gets none. A tie is a method that may be the best of its column, as no other is significantly better: by
the leaderboard's tests, with Holm's correction for all pairs of the methods chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from bench.core.errors import AnobenchError, did_you_mean
from bench.report.board import LOWER, PRINTED, Board
from bench.report.evidence.comparison import compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.tasks import Mark
from bench.report.leaderboard.columns import marks_of
from bench.report.numbers import percent
from bench.report.table import Table, TableCell, TableColumn, marked, table_of

By = Literal["task", "dataset", "average"]

#: The tests behind ties: of one task, and of means in each scope (`bench.report.evidence.comparison`).
TESTS = {
    "task": "paired t test over test images and seeds on tasks",
    "images": "paired t test over test images and seeds on means",
    "data sets": "paired t test over data sets on means",
}


@dataclass(frozen=True, slots=True)
class _Mean:
    """What a column shows: the mean over blocks (data sets) of the means over tasks at one rate."""

    group: str
    name: str
    blocks: tuple[tuple[int, ...], ...]
    rate: float


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
    spread: bool = True,
) -> Table:
    """Return the table of what is chosen; its caption says what is shown and what the marks mean.

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
    spread : bool
        Standard deviations over seeds.

    Raises
    ------
    AnobenchError
        A name or rate that the suite has not, a metric that its records have not, or a negative number of
        decimals.
    """
    board = evidence.board
    _check(board, metric, decimals)
    at = tuple(map(board.the_rate, rates)) or board.rates[:1]
    of = chosen_columns(board, datasets, tasks)
    rows = chosen_rows(board, methods, [column for held in of.values() for column in held], at)
    sections = {row: name for name, others in board.unranked.items() for row in others}
    # Those that rank first, then setting by setting.
    rows = sorted(rows, key=lambda row: (row in sections, sections.get(row, "")))
    ranked = {at for at, row in enumerate(rows) if row not in sections}
    filled, tests = [], []
    for mean in _means(by, of, board, at):
        column = TableColumn(mean.name, lower=metric in LOWER, group=mean.group)
        cells, test = _cells(evidence, rows, ranked, mean, metric, spread=spread)
        filled.append((column, marked(column, cells, among=ranked, second=True, decimals=decimals)))
        tests += [test] if test else []
    table = table_of(map(board.label, rows), filled)
    named = zip(table.rows, rows, strict=True)
    return replace(
        table,
        rows=tuple(replace(line, section=sections.get(row, "")) for line, row in named),
        decimals=decimals,
        caption=_caption(
            table, tests, metric, at, board.dataset_name(next(iter(of))) if len(of) == 1 else ""
        ),
    )


def _check(board: Board, metric: str, decimals: int) -> None:
    if not 0 <= decimals <= 6:
        raise AnobenchError(f"{decimals} decimals: expected 0 to 6")
    known = {name for record in board.records() for name in record.metrics}
    if metric not in known:
        raise AnobenchError(f"no record has the metric {metric!r}{did_you_mean(metric, known)}")


def _caption(table: Table, tests: Sequence[str], metric: str, rates: Sequence[float], dataset: str) -> str:
    """Return what the table shows, and what its marks mean, in a sentence or two."""
    lower = ", lower is better" if metric in LOWER else ""
    where = f" on {dataset}" if dataset else ""
    at = f" at {', '.join(map(percent, rates))} contamination" if any(rates) else ""
    words = [f"{PRINTED.get(metric, metric)} in points{where}{at}{lower}"]
    cells = [cell for row in table.rows for cell in row.cells]
    marks = {cell.mark for cell in cells}
    if "best" in marks:
        words.append("best in bold" + (", second underlined" if "second" in marks else ""))
    if any(cell.tie for cell in cells):
        words.append(
            "† may be the best: no other is significantly better "
            f"(α = 0.05; {', '.join(dict.fromkeys(tests))}; Holm)"
        )
    if any(cell.untold for cell in cells):
        words.append("‡ too few seeds or images to tell")
    if any(cell.spread is not None for cell in cells):
        words.append("± standard deviation over seeds")
    return f"{'; '.join(words)}."


def _means(by: By, of: dict[str, tuple[int, ...]], board: Board, rates: Sequence[float]) -> Iterator[_Mean]:
    """Yield the columns; where there are several rates each of them in turn has all of them."""
    several = len(rates) > 1
    for name, columns in ((board.dataset_name(each), columns) for each, columns in of.items()):
        for rate in rates:
            said = percent(rate) if several else ""
            if by == "task":
                group = ", ".join(filter(None, (name if len(of) > 1 else "", said)))
                for at in columns:
                    yield _Mean(group, board.plan.columns[at].task, ((at,),), rate)
                if len(columns) > 1:
                    yield _Mean(group, "Mean", (columns,), rate)
            elif by == "dataset":
                yield _Mean(name if several else "", said or name, (columns,), rate)
    if len(of) > 1 or by == "average":
        for rate in rates:
            said = percent(rate) if several else ""
            yield _Mean("Average" if several else "", said or "Average", tuple(of.values()), rate)


def _cells(
    evidence: Evidence, rows: Sequence[int], ranked: set[int], of: _Mean, metric: str, *, spread: bool
) -> tuple[list[TableCell], str]:
    """Return the cells of a column with its ties, and the test behind them, if any."""
    found = [evidence.board.summary(row, of.blocks, of.rate, metric) for row in rows]
    complete = [rows[at] for at, each in enumerate(found) if at in ranked and each.mean is not None]
    marks, test = dict[int, Mark | None](), ""
    if metric == "auroc" and len(complete) > 1:
        marks, test = _marks(evidence, complete, of)
    return [
        TableCell(
            each.mean,
            each.sd if spread else None,
            tie=marks.get(row) == "possible",
            untold=marks.get(row) == "untold",
        )
        for row, each in zip(rows, found, strict=True)
    ], test


def _marks(evidence: Evidence, rows: list[int], of: _Mean) -> tuple[dict[int, Mark | None], str]:
    """Return which rows may be the best, and by which test, if any."""
    board, rate = evidence.board, of.rate
    flat = [at for block in of.blocks for at in block]
    if len(flat) == 1:
        if evidence.task(flat[0], rate) is None:
            return {}, ""
        return dict(zip(rows, evidence.task_marks(rows, flat[0], rate), strict=True)), TESTS["task"]
    names = [board.plan.columns[block[0]].dataset for block in of.blocks]
    if any(set(block) != set(board.datasets[name]) for name, block in zip(names, of.blocks, strict=True)):
        return {}, ""  # what images add is known for entire data sets
    compared = compare_methods(evidence.samples(names, tuple(rows), rate))
    if not compared.scope:
        return {}, ""
    return dict(zip(rows, marks_of(compared, rows), strict=True)), TESTS[compared.scope]


def _matches(pattern: str, *names: str) -> bool:
    return any(pattern == name or fnmatchcase(name, pattern) for name in names)


def chosen_columns(board: Board, datasets: Sequence[str], tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the columns chosen of each data set.

    Raises
    ------
    AnobenchError
        A pattern matches nothing.
    """
    plan = board.plan
    called = {name: (name, name.partition("[")[0], board.dataset_name(name)) for name in board.datasets}
    for pattern in datasets:
        if not any(_matches(pattern, *names) for names in called.values()):
            raise AnobenchError(f"no data set {pattern!r}{did_you_mean(pattern, board.datasets)}")
    of = {
        name: columns
        for name, columns in board.datasets.items()
        if not datasets or any(_matches(pattern, *called[name]) for pattern in datasets)
    }
    tasks_there = {plan.columns[column].task for columns in of.values() for column in columns}
    for pattern in tasks:
        if not any(_matches(pattern, name) for name in tasks_there):
            raise AnobenchError(f"no task {pattern!r}{did_you_mean(pattern, tasks_there)}")
    kept = {
        name: tuple(
            at for at in columns if not tasks or any(_matches(each, plan.columns[at].task) for each in tasks)
        )
        for name, columns in of.items()
    }
    return {name: columns for name, columns in kept.items() if columns}


def chosen_rows(
    board: Board, methods: Sequence[str], columns: Sequence[int], rates: Sequence[float]
) -> list[int]:
    """Return the rows chosen: in the order of the patterns, and within one the best average first.

    Raises
    ------
    AnobenchError
        A pattern matches no method.
    """
    others = [row for held in board.unranked.values() for row in held]
    every = [*board.order(columns, rates), *others]
    if not methods:
        return every
    found: dict[int, None] = {}
    for pattern in methods:
        of = [
            row for row in every if _matches(pattern, board.plan.rows[row].label, board.plan.rows[row].method)
        ]
        if not of:
            known = [row.label for row in board.plan.rows]
            raise AnobenchError(f"no method {pattern!r}{did_you_mean(pattern, known)}")
        found |= dict.fromkeys(of)
    return list(found)
