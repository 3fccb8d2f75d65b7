"""Data of the critical-difference diagram: mean ranks over data sets, and which methods do not differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.core.errors import FigureError
from bench.core.selector import parse
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
from bench.report.numbers import count, rate_name
from bench.stats.friedman import Friedman, critical_difference, data_sets_needed, friedman

ALPHA = 0.05
#: Characters of a name: names stand on both sides of the diagram.
LONGEST = 32


@dataclass(frozen=True, slots=True)
class CriticalDifference:
    """The figure.

    Attributes
    ----------
    datasets : int
        The blocks of the tests; tasks of one data set are not independent.
    methods : tuple of Named
        The best first.
    ranks : tuple of float
        Mean rank of each method over the data sets, 1 = best.
    difference : float or None
        Mean ranks that differ by no more are not significantly different (Nemenyi); None where Friedman's
        test finds no difference among all methods, so that none is looked for between two.
    groups : tuple of (int, int)
        First and last method of each largest group that it does not separate.
    words : str
        The result of the test over all methods, and who is left out.
    """

    kind: ClassVar[str] = "critical-difference"
    suite: str
    rate: float
    datasets: int
    methods: tuple[Named, ...]
    ranks: tuple[float, ...]
    difference: float | None
    groups: tuple[tuple[int, int], ...]
    words: str

    @property
    def title(self) -> str:
        return f"{self.suite}: mean ranks and critical difference, {rate_name(self.rate)}"

    @property
    def description(self) -> str:
        listed = [
            f"{method.label} {rank:.2f}" for method, rank in zip(self.methods[:10], self.ranks, strict=False)
        ]
        more = len(self.methods) - len(listed)
        rest = f"; and {count(more, 'other')}" if more else ""
        tied = [
            f"{self.methods[first].label} to {self.methods[last].label}" for first, last in self.groups[:6]
        ]
        same = f" Not significantly different: {'; '.join(tied)}." if tied else ""
        critical = "" if self.difference is None else f" Critical difference {self.difference:.2f}."
        return (
            f"Mean ranks over {self.datasets} data sets, 1 = best: {'; '.join(listed)}{rest}."
            f"{critical} {self.words}{same}"
        )


def critical_differences(
    board: Board, choice: Choice = ALL, *, of: Mapping[str, int] | None = None
) -> CriticalDifference:
    """Return the diagram of a suite at one contamination rate.

    Methods with failed or missing cells are left out. The mean of data sets that share images is one block:
    `of` says which do, and without it variants of one adapter.

    Raises
    ------
    FigureError
        Fewer than two methods are complete, or there are not enough data sets: no outcome could have been
        significant.
    """
    rate, datasets = the_rate(board, choice), the_datasets(board, choice)
    columns = [column for of in datasets.values() for column in of]
    blocks = independent(board, datasets, of)
    shown = shown_rows(board, choice, columns, [rate])
    means: dict[int, list[float]] = {}
    for row in shown:
        held = [board.summary(row, block, rate).mean for block in blocks]
        if None not in held:
            means[row] = [value for value in held if value is not None]
    _check(len(blocks), len(means), len(shown))
    values = np.array(list(means.values())).T
    found = friedman(values)
    ranks = found.ranks
    rows = [list(means)[at] for at in np.lexsort((-values.mean(axis=0), ranks))]
    ordered = tuple(sorted(float(rank) for rank in ranks))
    difference = critical_difference(found.n, found.k, alpha=ALPHA) if found.p <= ALPHA else None
    return CriticalDifference(
        suite=clean(board.plan.title),
        rate=rate,
        datasets=len(blocks),
        methods=tuple(named(board, rows, longest=LONGEST)),
        ranks=ordered,
        difference=difference,
        groups=tuple(groups_within(ordered, math.inf if difference is None else difference)),
        words=_words(found, ALPHA, left=len(shown) - len(rows)),
    )


def independent(
    board: Board, names: Iterable[str], of: Mapping[str, int] | None = None
) -> list[list[tuple[int, ...]]]:
    """Return the columns of data sets in blocks: those that share images are one.

    Without the block of each (`of`) variants of one adapter are.
    """
    blocks: dict[int | str, list[tuple[int, ...]]] = {}
    for name in names:
        block = parse(name).name if of is None else of[name]
        blocks.setdefault(block, []).append(board.datasets[name])
    return list(blocks.values())


def groups_within(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the largest runs of methods whose mean ranks differ by less than the critical difference.

    Parameters
    ----------
    ranks : sequence of float
        Rising.
    difference : float

    Returns
    -------
    list of (int, int)
        First and last position of each run of two or more that lies in no other run.
    """
    runs: list[tuple[int, int]] = []
    for first, lowest in enumerate(ranks):
        last = max(at for at, rank in enumerate(ranks) if at == first or rank - lowest < difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def datasets_needed(methods: int, *, alpha: float = 0.05) -> int:
    """Return with how many data sets some pair of methods could differ by more than the critical difference.

    Friedman's test must be able to be significant, and the critical difference, which falls with the square
    root of the number of data sets, to be less than the largest difference of mean ranks, methods - 1.
    """
    pairs = (critical_difference(1, methods, alpha=alpha) / (methods - 1)) ** 2
    return max(2, data_sets_needed(methods, alpha), math.floor(pairs) + 1)


def _check(datasets: int, methods: int, shown: int) -> None:
    if methods < 2:
        raise FigureError(
            f"a critical-difference diagram needs two methods or more without failed or missing cells; "
            f"{methods} of {shown} is there"
        )
    needed = datasets_needed(methods)
    if datasets < needed:
        raise FigureError(
            f"not enough data sets: over {datasets} no outcome could tell two of {methods} methods apart at "
            f"the 5 % level; it takes {needed} data sets (variants of one count once)"
        )


def _words(test: Friedman, alpha: float, *, left: int) -> str:
    verdict = "the methods differ" if test.p <= alpha else "no difference among the methods is found"
    p = f"p = {test.p:.2g}" if test.p >= 1e-4 else "p < 0.0001"
    words = [f"Friedman's test (Iman and Davenport): {p}, {verdict} at the {100 * alpha:g} % level."]
    if test.p <= alpha:
        words.append("A bar joins methods that are not significantly different (Nemenyi).")
    if left:
        words.append(f"Left out: {left} with failed or missing cells.")
    return " ".join(words)
