"""Data of the loss curves: the mean loss of equal parts of each training, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    Choice,
    Named,
    clean,
    named,
    shown_rows,
    the_datasets,
    the_rate,
)
from bench.report.numbers import count, mean, rate_name

#: So many trainings are shown, and points of each course: a figure stays a small file.
MOST_TRAININGS, MOST_POINTS = 9, 50
#: Characters of a name above a panel.
LONGEST = 30


@dataclass(frozen=True, slots=True)
class Losses:
    """One training of one method.

    Attributes
    ----------
    method : Named
    part : str
        What is trained, where a method has several trainings; else ``"training"``.
    tasks : tuple of tuple of float
        Of each task the mean loss, over seeds, of equal parts of the training.
    """

    method: Named
    part: str
    tasks: tuple[tuple[float, ...], ...]

    @property
    def title(self) -> str:
        return self.method.label if self.part == "training" else f"{self.method.label}: {self.part}"


@dataclass(frozen=True, slots=True)
class LossCurves:
    """The figure: a panel for each training."""

    kind: ClassVar[str] = "losses"
    suite: str
    panels: tuple[Losses, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: loss along training"

    @property
    def description(self) -> str:
        return "Mean loss from the beginning to the end of training. " + " ".join(
            f"{panel.title}: {_ends(panel)}." for panel in self.panels
        )


def _ends(panel: Losses) -> str:
    first, last = (mean(course[at] for course in panel.tasks) for at in (0, -1))
    return f"from {first:.3g} to {last:.3g}"


def loss_curves(board: Board, choice: Choice = ALL) -> LossCurves:
    """Return the loss curves of the methods whose records have some, of every setting unless one is chosen.

    Raises
    ------
    FigureError
        No record of what was chosen has a curve.
    """
    rate, columns = the_rate(board, choice), [at for of in the_datasets(board, choice).values() for at in of]
    rows = shown_rows(board, choice, columns, [rate]) if choice != ALL else _every_row(board, columns, rate)
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for row in rows:
        for column in columns:
            records = [each for each in board.group(row, column, rate).records if each is not None]
            for part, course in _courses(records).items():
                found.setdefault((row, part), []).append(course)
    if not found:
        raise FigureError(
            "no record of this suite holds the course of a loss; those of methods that train a network do, "
            "if this version of anobench made them"
        )
    rows = list(dict.fromkeys(row for row, _ in found))
    of = {each.row: each for each in named(board, rows, longest=LONGEST)}
    panels = [Losses(of[row], clean(part), tuple(tasks)) for (row, part), tasks in found.items()]
    return LossCurves(
        suite=clean(board.plan.title),
        panels=tuple(panels[:MOST_TRAININGS]),
        note=_note(board, rate, len(columns), len(panels)),
    )


def _every_row(board: Board, columns: Sequence[int], rate: float) -> list[int]:
    return [*board.order(columns, [rate]), *(row for rows in board.unranked.values() for row in rows)]


def _courses(records: Sequence[Record]) -> dict[str, tuple[float, ...]]:
    """Return the mean over seeds of each training's curve, where all have it with as many points."""
    found = {}
    for part in records[0].curves if records else ():
        held = [record.curves.get(part, []) for record in records]
        if held[0] and all(len(each) == len(held[0]) for each in held):
            found[part] = _thinned([mean(values) for values in zip(*held, strict=True)])
    return found


def _thinned(course: Sequence[float]) -> tuple[float, ...]:
    """Return a course of at most `MOST_POINTS`, means over equal parts."""
    parts = min(len(course), MOST_POINTS)
    ends = [at * len(course) // parts for at in range(parts + 1)]
    return tuple(mean(course[first:last]) for first, last in pairwise(ends))


def _note(board: Board, rate: float, tasks: int, trainings: int) -> str:
    seeds = len(board.plan.seeds)
    notes = [
        "Each thin line is a task, the thick one their mean." if tasks > 1 else "",
        "Losses of different methods do not compare.",
        f"Train images {rate_name(rate)}." if rate else "",
        f"Mean over {seeds} seeds." if seeds > 1 else "",
        f"{count(trainings - MOST_TRAININGS, 'other training')} not shown."
        if trainings > MOST_TRAININGS
        else "",
    ]
    return " ".join(note for note in notes if note)
