"""Data of the two scatters: AUROC against time with the Pareto front, and published numbers against ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.core.errors import FigureError, did_you_mean
from bench.report.board import Board, machine
from bench.report.figures.common import (
    ALL,
    Choice,
    Named,
    clean,
    named,
    shortened,
    shown_rows,
    the_datasets,
    the_rate,
)
from bench.report.numbers import count, mean, percent, points, rate_name, seconds, signed_points
from bench.report.published.match import PublishedComparison, comparisons
from bench.report.published.row import Published


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


@dataclass(frozen=True, slots=True)
class Pair:
    """One published number and ours, in [0, 1].

    Attributes
    ----------
    method : Named
    where : str
        ``"cifar10"`` for a mean over tasks, ``"cifar10/bird, 10 % contamination"``.
    theirs, ours : float
    interval : (float, float) or None
        Where theirs may lie for all that seeds explain.
    comparable : bool
        Whether the same thing was measured (`bench.report.published.match`).
    """

    method: Named
    where: str
    theirs: float
    ours: float
    interval: tuple[float, float] | None
    comparable: bool

    @property
    def difference(self) -> float:
        """Return ours minus theirs."""
        return self.ours - self.theirs


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The figure.

    Attributes
    ----------
    methods : tuple of Named
        In the order of the suite's rows.
    pairs : tuple of Pair
    """

    kind: ClassVar[str] = "reproduction"
    suite: str
    methods: tuple[Named, ...]
    pairs: tuple[Pair, ...]

    @property
    def title(self) -> str:
        return f"{self.suite}: published AUROC against ours"

    @property
    def note(self) -> str:
        """Return how to read the drawing."""
        same = sum(pair.comparable for pair in self.pairs)
        words = ["Line: equal; band: within one point."]
        if same:
            words.append(f"Filled: {same} measured alike.")
        if same < len(self.pairs):
            words.append(
                f"Hollow: {len(self.pairs) - same} do not compare (network, data, tasks, supervision or "
                "selection differ; see the leaderboard's table)."
            )
        if any(pair.interval for pair in self.pairs):
            words.append("Bars: as far as seeds may part the two (95 %).")
        return " ".join(words)

    @property
    def description(self) -> str:
        alike = [pair for pair in self.pairs if pair.comparable]
        words = [
            f"{count(len(self.pairs), 'published AUROC')} of {count(len(self.methods), 'method')} against "
            f"ours, in points; {len(alike)} measured alike."
        ]
        if alike:
            typical = mean(abs(pair.difference) for pair in alike)
            words.append(f"These differ by {points(typical)} on average.")
        shown = sorted(alike or self.pairs, key=lambda pair: -abs(pair.difference))[:6]
        listed = [
            f"{pair.method.label} on {pair.where} {points(pair.theirs)} against {points(pair.ours)} "
            f"({signed_points(pair.difference)})"
            for pair in shown
        ]
        words.append(f"Furthest apart: {'; '.join(listed)}.")
        return " ".join(words)


def reproduction(board: Board, published: tuple[Published, ...], choice: Choice = ALL) -> Reproduction:
    """Return published numbers against ours; sources that say the same of the same share a point.

    Rows of all settings are shown: nothing is ranked here, and whether two numbers compare is said of each.

    Parameters
    ----------
    board : Board
    published : tuple of Published
    choice : Choice

    Raises
    ------
    FigureError
        No published number belongs to any row, or none of what was chosen has a number of ours.
    """
    datasets = the_datasets(board, choice)
    columns = {column for of in datasets.values() for column in of}
    labels = {row.label for row in board.plan.rows}
    for method in choice.methods:
        if method not in labels:
            raise FigureError(f"no method {method!r} in this suite{did_you_mean(method, labels)}")
    found = [
        each
        for each in comparisons(board, published)
        if each.published.metric == "auroc"
        and each.ours is not None
        and columns.issuperset(each.columns)
        and board.plan.rows[each.row].label in (choice.methods or labels)
    ]
    if not found:
        raise FigureError(
            "no published AUROC belongs to these methods and data sets; add rows to results/published.csv "
            "(anobench published METHOD shows what is known of a method)"
        )
    methods = {each.row: each for each in named(board, list(dict.fromkeys(each.row for each in found)))}
    pairs = dict.fromkeys(_pair(board, methods[each.row], each) for each in found)
    return Reproduction(clean(board.plan.title), tuple(methods.values()), tuple(pairs))


def _pair(board: Board, method: Named, each: PublishedComparison) -> Pair:
    assert each.ours is not None
    name = board.dataset_name(board.plan.columns[each.columns[0]].dataset)
    task = each.published.task
    where = shortened([name if task == "mean" else f"{name}/{task}"])[0]
    return Pair(
        method=method,
        where=f"{where}, {percent(each.rate)} contamination" if each.rate else where,
        theirs=each.published.value / 100,
        ours=each.ours,
        interval=None if each.differs else each.interval,
        comparable=not each.differs,
    )
