"""What is chosen of a board by names and globs: methods, data sets, tasks, rates."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from bench.core.errors import AnobenchError, did_you_mean
from bench.report.board import Board


def _matches(pattern: str, *names: str) -> bool:
    return any(pattern == name or fnmatchcase(name, pattern) for name in names)


def chosen_rate(board: Board, given: float) -> float:
    """Return the board's contamination rate that is meant.

    Raises
    ------
    AnobenchError
        There is none.
    """
    for rate in board.rates:
        if abs(rate - given) < 1e-9:
            return rate
    there = ", ".join(f"{rate:g}" for rate in board.rates)
    raise AnobenchError(f"the suite has no contamination rate {given:g}; available: {there}")


def chosen_columns(board: Board, datasets: Sequence[str], tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the columns chosen of each data set.

    Raises
    ------
    AnobenchError
        A pattern matches nothing.
    """
    plan = board.plan
    for pattern in datasets:
        if not any(_matches(pattern, name, name.partition("[")[0]) for name in board.datasets):
            raise AnobenchError(f"no data set {pattern!r}{did_you_mean(pattern, board.datasets)}")
    of = {
        name: columns
        for name, columns in board.datasets.items()
        if not datasets or any(_matches(pattern, name, name.partition("[")[0]) for pattern in datasets)
    }
    names = {plan.columns[column].task for columns in of.values() for column in columns}
    for pattern in tasks:
        if not any(_matches(pattern, name) for name in names):
            raise AnobenchError(f"no task {pattern!r}{did_you_mean(pattern, names)}")
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
        of = [row for row in every if _matches(pattern, board.label(row), board.plan.rows[row].method)]
        if not of:
            known = [row.label for row in board.plan.rows]
            raise AnobenchError(f"no method {pattern!r}{did_you_mean(pattern, known)}")
        found |= dict.fromkeys(of)
    return list(found)
