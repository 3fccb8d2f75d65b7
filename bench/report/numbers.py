"""Means, spreads and ranks that do not depend on the order in which numbers come."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence


def average_ranks(values: Mapping[int, float]) -> dict[int, float]:
    """Return the rank of each value, 1 for the highest; equal values share the mean of their ranks."""
    shared = Counter(values.values())
    rank_of: dict[float, float] = {}
    above = 0
    for value in sorted(shared, reverse=True):
        rank_of[value] = above + (shared[value] + 1) / 2
        above += shared[value]
    return {name: rank_of[value] for name, value in values.items()}


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value, exactly rounded: the order does not matter."""
    held = list(values)
    return math.fsum(held) / len(held)


def sd(values: Sequence[float]) -> float:
    """Return the standard deviation (n - 1) of at least two values."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
