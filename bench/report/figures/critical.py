"""Data of the critical-difference diagram: mean ranks over data sets, and who is not told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.report.columns import rate_name
from bench.report.figures.common import Named


@dataclass(frozen=True, slots=True)
class CriticalDifference:
    """The figure; where no outcome could have been significant, why, in place of the diagram.

    Attributes
    ----------
    datasets : int
        The blocks of the tests; tasks of one data set are not independent.
    methods : tuple of Named
        The best first.
    ranks : tuple of float
        Mean rank of each method over the data sets, 1 = best.
    difference : float or None
        Mean ranks that differ by less are not significantly different (Nemenyi); None without a diagram.
    groups : tuple of (int, int)
        First and last method of each largest group that is not told apart.
    words : str
        The result of the test over all methods, or why there is no diagram.
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
        if self.difference is None:
            return self.words
        told = [
            f"{method.label} {rank:.2f}" for method, rank in zip(self.methods[:10], self.ranks, strict=False)
        ]
        more = len(self.methods) - len(told)
        rest = f"; and {more} others" if more else ""
        tied = [
            f"{self.methods[first].label} to {self.methods[last].label}" for first, last in self.groups[:6]
        ]
        same = f" Not significantly different: {'; '.join(tied)}." if tied else ""
        return (
            f"Mean ranks over {self.datasets} data sets, 1 = best: {'; '.join(told)}{rest}. Critical "
            f"difference {self.difference:.2f}. {self.words}{same}"
        )


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
    for first in range(len(ranks)):
        last = max(
            at for at in range(first, len(ranks)) if at == first or ranks[at] - ranks[first] < difference
        )
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
