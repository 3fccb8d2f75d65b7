"""What keeps the numbers of one page from being compared: mixed protocols, data, machines, code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.core.cell import Cell, Record
from bench.report.board import Board
from bench.report.leaderboard.columns import dataset_name
from bench.report.leaderboard.timing import machines
from bench.report.markdown import blocks, count, escape


def mixed(board: Board) -> list[str]:
    """Return one line for each way in which cells of one page were not measured alike."""
    lines = [*_protocols(board), *_data(board), *_features(board)]
    held = machines(board)
    if len(held) > 1:
        listed = "; ".join(f"{escape(name)}: {count(number, 'cell')}" for name, number in held.items())
        lines.append(f"**Mixed hardware** ({listed}): timings are not compared.")
    lines += _versions(board)
    return blocks(["**Not all cells were measured alike**"], [f"- {line}" for line in lines]) if lines else []


def different_protocols(board: Board) -> dict[str, str]:
    """Return the data sets whose cells do not mean the same at one rate, and in what they differ."""
    found = {}
    for name, columns in board.datasets.items():
        differ = []
        for rate in board.rates:
            cells = [
                cell for _, at, _, group in board.groups(rate=rate) if at in columns for cell in group.cells
            ]
            ways: tuple[tuple[str, Callable[[Cell], object]], ...] = (
                ("protocol version", lambda cell: cell.protocol),
                ("copy of the data", lambda cell: cell.data_fingerprint),
                ("meaning of contamination", _meaning),
            )
            differ += [what for what, of in ways if len({of(cell) for cell in cells}) > 1]
        if differ:
            found[name] = ", ".join(dict.fromkeys(differ))
    return found


def _meaning(cell: Cell) -> object:
    how = cell.contamination
    return (how.of, how.mode, how.source, how.draw, how.shortage, how.reserve)


def _protocols(board: Board) -> Iterable[str]:
    for name, what in different_protocols(board).items():
        yield (
            f"**Mixed protocols** on {dataset_name(board, name)}: its cells differ in {what}; their numbers "
            "stand side by side, but no difference is tested."
        )


def _data(board: Board) -> Iterable[str]:
    """Yield where the methods of a task had unlike numbers of images."""
    for name, columns in board.datasets.items():
        unlike = [
            board.plan.columns[column].task
            for column in columns
            if any(len(_sizes(board, column, rate)) > 1 for rate in board.rates)
        ]
        if unlike:
            yield (
                f"**Different test sets** on {dataset_name(board, name)} ({escape(', '.join(unlike[:3]))}"
                f"{' …' if len(unlike) > 3 else ''}): methods were tested on unlike numbers of images."
            )


def _sizes(board: Board, column: int, rate: float) -> set[frozenset[object]]:
    groups = (board.group(row, column, rate) for row in range(len(board.plan.rows)))
    held = [[record for record in group.records if record and record.counts] for group in groups]
    return {
        frozenset((each.counts.get("test"), each.counts.get("test_anomalous")) for each in records)
        for records in held
        if records and all(record.status == "ok" for record in records)
    }


def _features(board: Board) -> Iterable[str]:
    stored = _distinct(board.records(), lambda record: record.environment.get("features"))
    if len(stored) > 1:
        yield "**Mixed precision** of the features that were kept; see *What ran where*."


def _versions(board: Board) -> Iterable[str]:
    records = board.records()
    for what, of in (
        ("anobench", lambda record: record.environment.get("anobench")),
        ("torch", _torch),
    ):
        if len(_distinct(records, of)) > 1:
            yield f"Different versions of {what}; see *What ran where*."


def _torch(record: Record) -> object:
    environment = record.environment
    return environment.get("torch") or (environment.get("packages") or {}).get("torch")


def _distinct(records: Iterable[Record], of: Callable[[Record], object]) -> set[str]:
    return {repr(of(record)) for record in records}
