"""What all figures share: which rows they show, how these are called, and what every figure says of itself.

Modules of this package prepare data without matplotlib; those of `draw` only draw it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Record
from bench.core.errors import FigureError, SelectorError, did_you_mean
from bench.core.files import readable
from bench.core.selector import Selector, format_selector, parse
from bench.report.board import Board
from bench.report.groups import cell_seed
from bench.report.numbers import count, rate_name

#: The setting of the methods that rank.
ONE_CLASS = "one-class"
#: So many methods get a colour, a marker and a name; the others are grey.
HIGHLIGHTED = 8
#: Characters of a name in a figure; the tables have all of it.
LONGEST_NAME = 44

#: Labels and scores of a test set's images, two arrays (n,).
Run = tuple[NDArray[np.uint8], NDArray[np.float32]]
#: Gives those of a record.
ScoresOf = Callable[[Record], Run]


class Drawing(Protocol):
    """The data of one figure, and what it says of itself."""

    #: The figure's kind, ``"pareto"``.
    kind: ClassVar[str]

    @property
    def title(self) -> str:
        """Return the figure's name, one short line."""

    @property
    def description(self) -> str:
        """Return what the figure shows, in words and numbers, for those who cannot see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a suite a figure shows; whatever is None is chosen by the figure.

    Attributes
    ----------
    setting : str
        Rows of one setting are shown, ``"one-class"`` for those that rank; settings never mix.
    rate : float or None
        The contamination rate.
    dataset, task : str or None
        ``task`` is ``"digits/3"``.
    methods : tuple of str
        Labels of rows as the leaderboard shows them; empty for all.
    seed : int or None
    time : {"warm", "cold"}
        Which seconds.
    """

    setting: str = ONE_CLASS
    rate: float | None = None
    dataset: str | None = None
    task: str | None = None
    methods: tuple[str, ...] = ()
    seed: int | None = None
    time: str = "warm"


#: Nothing chosen.
ALL = Choice()


@dataclass(frozen=True, slots=True)
class Named:
    """A method of a figure.

    Attributes
    ----------
    row : int
        Its row in the plan.
    label : str
        Its name, short enough for a figure.
    style : int or None
        Which colour, marker and line style; None for one among the grey ones.
    """

    row: int
    label: str
    style: int | None


def clean(text: str) -> str:
    """Return text on one line, without characters that have no shape."""
    return " ".join("".join(each if each.isprintable() else " " for each in readable(text)).split())


def shortened(labels: Sequence[str], longest: int = LONGEST_NAME) -> list[str]:
    """Return names of at most `longest` characters, cut in the middle."""
    return [_cut(clean(label), longest) for label in labels]


def distinct(labels: Sequence[str], longest: int = LONGEST_NAME) -> list[str]:
    """Return names of at most `longest` characters that differ; those that would not are numbered.

    A longer one first loses the parameters that all variants of its method share here: ``m[…,k=5]``.
    """
    short: list[str] = []
    every = [clean(label) for label in labels]
    for text in every:
        cut = text if len(text) <= longest else _cut(_telling(text, every), longest)
        number = 1
        while cut in short:
            number += 1
            tail = f" ({number})"
            cut = _cut(text, longest - len(tail)) + tail
        short.append(cut)
    return short


def _telling(label: str, among: Sequence[str]) -> str:
    """Return a name without the parameters that all variants of its method share, if some are left."""
    own = _selector(label)
    variants = [set(other.params.items()) for other in map(_selector, among) if other.name == own.name]
    shared = set.intersection(*variants)
    left = {key: value for key, value in own.params.items() if (key, value) not in shared}
    return f"{own.name}[…,{format_selector('', left)[1:]}" if left and shared else label


def _selector(label: str) -> Selector:
    try:
        return parse(label)
    except SelectorError:  # a name that no one can type
        return Selector(label)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def shown_rows(board: Board, choice: Choice, columns: Sequence[int], rates: Sequence[float]) -> list[int]:
    """Return the rows to show, the best first.

    Raises
    ------
    FigureError
        No such setting, or no such method in it.
    """
    if choice.setting == ONE_CLASS:
        rows = board.order(columns, rates)
    elif choice.setting in board.unranked:
        rows = list(board.unranked[choice.setting])
    else:
        there = [*([ONE_CLASS] if board.ranked else []), *board.unranked]
        raise FigureError(
            f"no method of this suite has the setting {choice.setting!r}{did_you_mean(choice.setting, there)}"
        )
    labels = {board.plan.rows[row].label: row for row in rows} | {board.label(row): row for row in rows}
    for method in choice.methods:
        if method not in labels:
            raise FigureError(
                f"no method {method!r} of setting {choice.setting} in this suite"
                f"{did_you_mean(method, labels)}"
            )
    wanted = {labels[method] for method in choice.methods} or set(rows)
    found = [row for row in rows if row in wanted]
    if not found:
        others = ", ".join(board.unranked) or "none"
        raise FigureError(
            f"no method of this suite ranks, so there is nothing to show; other settings: {others} "
            "(choose one with --setting)"
        )
    return found


def named(board: Board, rows: Sequence[int], *, longest: int = LONGEST_NAME) -> list[Named]:
    """Return rows with names and styles.

    A method looks the same in all figures of a suite that show it among the `HIGHLIGHTED` best by average
    over everything. Others get what styles are left, in the order given; where those run out they are grey.
    """
    labels = distinct([board.label(row) for row in rows], longest)
    first = board.order(board.columns, board.rates)[:HIGHLIGHTED]
    styles = {row: first.index(row) for row in rows if row in first}
    free = [style for style in range(HIGHLIGHTED) if style not in styles.values()]
    styles |= dict(zip([row for row in rows if row not in styles], free, strict=False))
    return [Named(row, label, styles.get(row)) for row, label in zip(rows, labels, strict=True)]


def the_rate(board: Board, choice: Choice) -> float:
    """Return the rate to show: the one chosen, or the suite's first.

    Raises
    ------
    AnobenchError
        The suite has no such rate.
    """
    return board.rates[0] if choice.rate is None else board.the_rate(choice.rate)


def the_datasets(board: Board, choice: Choice) -> dict[str, tuple[int, ...]]:
    """Return the columns of the data sets to show.

    Raises
    ------
    FigureError
        The suite has no such data set, or no tasks.
    """
    if not board.datasets:
        raise FigureError("this suite has no tasks; see the problems on its leaderboard")
    if choice.dataset is None:
        return dict(board.datasets)
    given, there = choice.dataset, board.datasets
    if (name := board.dataset_named(given)) not in there:
        raise FigureError(f"no data set {given!r} in this suite{did_you_mean(given, there)}")
    return {name: there[name]}


def the_task(board: Board, choice: Choice) -> int:
    """Return the column of the task to show: the one chosen, or the suite's only one.

    Raises
    ------
    FigureError
        No task was chosen among several, or there is no such task.
    """
    names = {f"{column.dataset}/{column.task}": at for at, column in enumerate(board.plan.columns)}
    if choice.task is None and len(names) == 1:
        return 0
    if choice.task is None:
        raise FigureError(f"this figure shows one task; choose it with --task; available: {', '.join(names)}")
    at = {board.task_name(at): at for at in board.columns} | names
    if choice.task not in at:
        raise FigureError(f"no task {choice.task!r} in this suite{did_you_mean(choice.task, names)}")
    return at[choice.task]


def dataset_title(board: Board, name: str) -> str:
    """Return a data set's name, cut to what a figure holds, with a word on generated ones."""
    title = board.dataset_name(name)
    return board.dataset_title(name).replace(title, shortened([title])[0], 1)


def others_note(all_named: Sequence[Named], *, ranked: bool) -> str:
    """Return what is said of methods without a colour; empty if all have one."""
    grey = sum(each.style is None for each in all_named)
    if not grey:
        return ""
    which = f"{len(all_named) - grey} best by average over everything" if ranked else "first ones"
    return f"Coloured: the {which}; grey: {count(grey, 'other')}."


def finished(board: Board, row: int, column: int, rate: float) -> dict[int | None, Record]:
    """Return the records of one place by seed.

    Raises
    ------
    FigureError
        A cell failed or is missing.
    """
    group = board.group(row, column, rate)
    held = {
        cell_seed(cell): record
        for cell, record in zip(group.cells, group.records, strict=True)
        if record is not None and record.status == "ok"
    }
    if not held:
        label = board.label(row)
        where = place(board, column, rate)
        raise FigureError(f"{label} has no scores on {where}: {group.hole}")
    return held


def incomplete(board: Board, row: int, column: int, rate: float) -> bool:
    """Return whether a cell of one place has no AUROC."""
    return board.group(row, column, rate).mean("auroc") is None


def place(board: Board, column: int, rate: float) -> str:
    return f"{clean(board.task_name(column))}, {rate_name(rate)}"
