"""Data of AUROC against time, and which methods no other beats in both (the Pareto front)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.core.errors import FigureError
from bench.report.board import Board, machine
from bench.report.figures.common import ALL, Choice, Named, clean, named, shown_rows, the_datasets, the_rate
from bench.report.numbers import points, rate_name, seconds


@dataclass(frozen=True, slots=True)
class Spot:
    """One method: mean seconds per cell, mean AUROC in [0, 1], and whether it is on the front."""

    method: Named
    seconds: float
    auroc: float
    front: bool


@dataclass(frozen=True, slots=True)
class Pareto:
    """The figure.

    Attributes
    ----------
    time : {"warm", "cold"}
    spots : tuple of Spot
        From fast to slow.
    """

    kind: ClassVar[str] = "pareto"
    suite: str
    rate: float
    time: str
    averaged: str
    spots: tuple[Spot, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: AUROC against time, {rate_name(self.rate)}"

    @property
    def description(self) -> str:
        front = [
            f"{spot.method.label} {points(spot.auroc)} in {seconds(spot.seconds)} s"
            for spot in self.spots
            if spot.front
        ]
        return (
            f"AUROC in points, {self.averaged}, against {self.time} seconds per cell of {len(self.spots)} "
            f"methods. No method is both faster and better than these: {'; '.join(front)}."
        )


def pareto(board: Board, choice: Choice = ALL) -> Pareto:
    """Return AUROC against seconds at one contamination rate.

    Methods with failed or missing cells are left out: their means would be over fewer tasks.

    Raises
    ------
    FigureError
        The cells ran on several machines, no method is complete, or nothing is there of what was chosen.
    """
    rate, datasets = the_rate(board, choice), the_datasets(board, choice)
    columns = [column for of in datasets.values() for column in of]
    rows = shown_rows(board, choice, columns, [rate])
    _one_machine(board, rows)
    points_of = {}
    for row in rows:
        auroc = board.summary(row, list(datasets.values()), rate).mean
        seconds = board.seconds(row, rate, columns)
        if auroc is not None and seconds is not None:
            points_of[row] = (seconds.cold if choice.time == "cold" else seconds.warm, auroc)
    if not points_of:
        raise FigureError("no method has all of its cells with timing; run the missing cells first")
    on_front = front(list(points_of.values()))
    methods = named(board, list(points_of))
    spots = [Spot(method, *points_of[method.row], on) for method, on in zip(methods, on_front, strict=True)]
    left = len(rows) - len(spots)
    return Pareto(
        suite=clean(board.plan.title),
        rate=rate,
        time=choice.time,
        averaged=f"average of {len(datasets)} data sets" if len(datasets) > 1 else next(iter(datasets)),
        spots=tuple(sorted(spots, key=lambda spot: (spot.seconds, -spot.auroc, spot.method.label))),
        note=f"Left out: {left} with failed or missing cells." if left else "",
    )


def front(spots: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (seconds, AUROC) whether no other is as fast and as good, and better in one of them."""
    return [
        not any(other[0] <= spot[0] and other[1] >= spot[1] and other != spot for other in spots)
        for spot in spots
    ]


def _one_machine(board: Board, rows: Sequence[int]) -> None:
    there = {
        machine(record.environment) for row in rows for record in board.records(row=row) if record.timing
    }
    if len(there) > 1:
        raise FigureError(
            f"the cells ran on {len(there)} different machines ({'; '.join(sorted(there))}): "
            "their timings do not compare; run the suite anew on one of them"
        )
