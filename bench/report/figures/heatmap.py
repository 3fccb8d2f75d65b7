"""Data of the heat map: AUROC of every method on every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    Choice,
    Named,
    clean,
    dataset_title,
    named,
    shortened,
    shown_rows,
    the_datasets,
    the_rate,
)
from bench.report.numbers import points, rate_name

#: More tasks than this are shown by data set, as averages.
MOST_COLUMNS = 40


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The figure.

    Attributes
    ----------
    columns : tuple of str
        Names of the tasks; of the data sets where there are too many tasks.
    groups : tuple of (str, int, int)
        Data sets with their first column and the one after their last; empty if the columns are data sets.
    values : tuple of tuple of float or None
        One row for each method, AUROC in [0, 1].
    holes : tuple of tuple of str
        Why there is no value: ``"failed"``, ``"missing"``, ``"undefined"``; empty where there is one.
    """

    kind: ClassVar[str] = "heatmap"
    suite: str
    rate: float
    methods: tuple[Named, ...]
    columns: tuple[str, ...]
    groups: tuple[tuple[str, int, int], ...]
    values: tuple[tuple[float | None, ...], ...]
    holes: tuple[tuple[str, ...], ...]

    @property
    def title(self) -> str:
        return f"{self.suite}: AUROC by {'task' if self.groups else 'data set'}, {rate_name(self.rate)}"

    @property
    def description(self) -> str:
        listed = []
        for method, values in zip(self.methods[:8], self.values, strict=False):
            held = [value for value in values if value is not None]
            extent = f"{points(min(held))} to {points(max(held))}" if held else "no values"
            listed.append(f"{method.label} {extent}")
        more = len(self.methods) - len(listed)
        what = "tasks" if self.groups else "data sets"
        rest = f"; and {more} others" if more else ""
        return (
            f"AUROC in points of {len(self.methods)} methods on {len(self.columns)} {what}, "
            f"lowest to highest: {'; '.join(listed)}{rest}. The tables by task have all numbers."
        )


def heat_map(board: Board, choice: Choice = ALL) -> HeatMap:
    """Return the heat map of a suite at one contamination rate.

    Raises
    ------
    FigureError
        The suite has nothing of what was chosen.
    """
    rate, datasets = the_rate(board, choice), the_datasets(board, choice)
    columns = [column for of in datasets.values() for column in of]
    methods = named(board, shown_rows(board, choice, columns, [rate]))
    if len(columns) > MOST_COLUMNS and len(datasets) > 1:
        blocks: list[Sequence[int]] = list(datasets.values())
        names = shortened([dataset_title(board, name) for name in datasets], 28)
        groups: list[tuple[str, int, int]] = []
    else:
        blocks = [[column] for column in columns]
        names = shortened([board.plan.columns[column].task for column in columns], 28)
        groups, start = [], 0
        for name, of in datasets.items():
            groups.append((dataset_title(board, name), start, start + len(of)))
            start += len(of)
    values, holes = [], []
    for method in methods:
        summaries = [board.summary(method.row, [block], rate) for block in blocks]
        values.append(tuple(each.mean for each in summaries))
        holes.append(
            tuple(
                ""
                if each.mean is not None
                else board.group(method.row, block[0], rate).hole
                if len(block) == 1
                else each.why
                for each, block in zip(summaries, blocks, strict=True)
            )
        )
    return HeatMap(
        suite=clean(board.plan.title),
        rate=rate,
        methods=tuple(methods),
        columns=tuple(names),
        groups=tuple(groups),
        values=tuple(values),
        holes=tuple(holes),
    )
