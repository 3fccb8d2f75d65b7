"""Data of the reproduction scatter: published AUROCs against ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.core.errors import FigureError, did_you_mean
from bench.report.board import Board
from bench.report.figures.common import ALL, Choice, Named, clean, named, shortened, the_datasets
from bench.report.numbers import count, mean, percent, points, signed_points
from bench.report.published.match import Interval, PublishedComparison, comparisons
from bench.report.published.row import Published


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
        Of ours.
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
            words.append("Bars: the interval of ours.")
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


def reproduction(
    board: Board,
    published: tuple[Published, ...],
    choice: Choice = ALL,
    *,
    interval: Interval | None = None,
) -> Reproduction:
    """Return published numbers against ours; sources that say the same of the same share a point.

    Rows of all settings are shown: nothing is ranked here, and whether two numbers compare is said of each.

    Parameters
    ----------
    board : Board
    published : tuple of Published
    choice : Choice
    interval : callable, optional
        Of a row's mean over columns at a rate, as for `comparisons`.

    Raises
    ------
    FigureError
        No published number belongs to any row, or none of what was chosen has a number of ours.
    """
    datasets = the_datasets(board, choice)
    columns = {column for of in datasets.values() for column in of}
    labels = {board.label(row) for row in range(len(board.plan.rows))}
    for method in choice.methods:
        if method not in labels:
            raise FigureError(f"no method {method!r} in this suite{did_you_mean(method, labels)}")
    found = [
        each
        for each in comparisons(board, published, interval)
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
    name = board.plan.columns[each.columns[0]].dataset
    task = each.published.task
    where = shortened([name if task == "mean" else f"{name}/{task}"])[0]
    return Pair(
        method=method,
        where=f"{where}, {percent(each.rate)} contamination" if each.rate else where,
        theirs=each.published.value / 100,
        ours=each.ours,
        interval=each.interval,
        comparable=not each.differs,
    )
