"""Data of the training courses: AUROC and mean scores after so many mini-batches or epochs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    ONE_CLASS,
    Choice,
    Named,
    clean,
    finished,
    incomplete,
    named,
    shown_rows,
    the_rate,
    the_task,
)
from bench.report.numbers import count, mean, points, rate_name

#: So many tasks are shown unless one is chosen.
MOST_PANELS = 4
#: The setting of methods that kept what they were on the way.
ORACLE = "oracle selection"
_NUMBERED = re.compile(r"([a-z]+) (\d+)")


@dataclass(frozen=True, slots=True)
class Course:
    """One method on one task, the mean over its seeds.

    Attributes
    ----------
    method : Named
    at : tuple of int
        How far training was: mini-batches or epochs, rising.
    aurocs : tuple of float
        In [0, 1].
    normal, anomalous : tuple of float or None
        Mean score of the test images of either class; None where it is not finite.
    """

    method: Named
    at: tuple[int, ...]
    aurocs: tuple[float, ...]
    normal: tuple[float | None, ...]
    anomalous: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TrainingPanel:
    title: str
    courses: tuple[Course, ...]


@dataclass(frozen=True, slots=True)
class TrainingCourses:
    """The figure: for each task AUROC above, mean scores below.

    Attributes
    ----------
    unit : str
        What is counted, ``"mini-batches"``.
    """

    kind: ClassVar[str] = "training"
    suite: str
    unit: str
    panels: tuple[TrainingPanel, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: AUROC along training"

    @property
    def description(self) -> str:
        return f"AUROC in points by {self.unit} trained. " + " ".join(
            f"{panel.title}: {'; '.join(map(self._summary, panel.courses))}." for panel in self.panels
        )

    def _summary(self, course: Course) -> str:
        best = max(range(len(course.at)), key=lambda at: course.aurocs[at])
        return (
            f"{course.method.label} {points(course.aurocs[0])} after {course.at[0]:,}, at best "
            f"{points(course.aurocs[best])} after {course.at[best]:,}, at last {points(course.aurocs[-1])} "
            f"after {course.at[-1]:,}"
        )


def training_courses(board: Board, choice: Choice = ALL) -> TrainingCourses:
    """Return the courses of the methods whose oracle could choose among states of training.

    Raises
    ------
    FigureError
        No method of the suite kept such states, or not on what was chosen.
    """
    setting = ORACLE if choice.setting == ONE_CLASS else choice.setting
    if setting not in board.unranked:
        raise FigureError(
            "no method of this suite kept what it was along its training; run one that does, with "
            "selection=oracle (panda, plume)"
        )
    rate = the_rate(board, choice)
    tasks = list(board.columns) if choice.task is None else [the_task(board, choice)]
    rows = shown_rows(board, replace(choice, setting=setting), tasks, [rate])
    found = {
        (row, column): course
        for row in rows
        for column in tasks
        if not incomplete(board, row, column, rate)
        and (course := _course(list(finished(board, row, column, rate).values())))
    }
    if not found:
        raise FigureError(
            "no record of this suite holds states along training (records of older versions do not; "
            "those of methods whose oracle chooses parameters have none)"
        )
    unit = next(iter(found.values()))[0]
    panels = []
    for column in tasks:
        held = {row: found[row, column][1] for row in rows if found.get((row, column), ("",))[0] == unit}
        courses = [_named(method, held[method.row]) for method in named(board, list(held))]
        if courses:
            panels.append(TrainingPanel(clean(board.task_name(column)), tuple(courses)))
    return TrainingCourses(
        suite=clean(board.plan.title),
        unit={"step": "mini-batches", "epoch": "epochs"}.get(unit, unit),
        panels=tuple(panels[:MOST_PANELS]),
        note=_note(board, rate, len(panels)),
    )


#: By how far training was: AUROC, mean normal and anomalous score.
_Course = dict[int, tuple[float, float | None, float | None]]


def _course(records: Sequence[Record]) -> tuple[str, _Course] | None:
    """Return the unit and the course, mean over seeds, where all records have the same candidates."""
    numbered = [_numbered(record) for record in records]
    if not numbered[0] or any(each.keys() != numbered[0].keys() for each in numbered):
        return None
    units = {unit for unit, _ in numbered[0]}
    if len(units) > 1:
        return None
    course: _Course = {}
    for name in sorted(numbered[0], key=lambda name: name[1]):
        auroc, normal, anomalous = (
            _mean([each[name].get(what) for each in numbered]) for what in ("auroc", "normal", "anomalous")
        )
        if auroc is not None:
            course[name[1]] = (auroc, normal, anomalous)
    return (units.pop(), course) if course else None


def _numbered(record: Record) -> dict[tuple[str, int], dict[str, float]]:
    """Return the candidates that are called like ``step 785``."""
    matches = {name: _NUMBERED.fullmatch(name) for name in record.candidates}
    return {
        (match[1], int(match[2])): dict(record.candidates[name])
        for name, match in matches.items()
        if match is not None
    }


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return mean(there) if len(there) == len(values) else None


def _named(method: Named, course: _Course) -> Course:
    aurocs, normal, anomalous = zip(*course.values(), strict=True)
    return Course(method, tuple(course), aurocs, normal, anomalous)


def _note(board: Board, rate: float, panels: int) -> str:
    seeds = len(board.plan.seeds)
    notes = [
        "Below: mean score of the anomalous test images (marked line) and of the normal ones (dotted), as "
        "the method normalises them.",
        f"Train images {rate_name(rate)}." if rate else "",
        f"Mean over {seeds} seeds." if seeds > 1 else "",
        f"{count(panels - MOST_PANELS, 'other task')} not shown." if panels > MOST_PANELS else "",
    ]
    return " ".join(note for note in notes if note)
