"""Numbers: means, spreads and ranks, whatever the order of the cells, and how they are printed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

#: Shown where there is no number.
NOTHING = "—"
#: A space at which a browser does not break the line.
NBSP = "\u00a0"


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


def points(value: float) -> str:
    """Return a share of 1 as points with one decimal, ``0.9534`` as ``95.3``."""
    return f"{100 * value:.1f}"


def signed_points(value: float) -> str:
    """Return a difference of shares as points with its sign, ``-0.0213`` as ``−2.1``."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def span_points(low: float, high: float) -> str:
    """Return an interval of shares of 1 in points: ``93.8–96.7``, with a negative end ``−1.2 to 0.3``."""
    if low < 0:
        return f"{signed_points(low).lstrip('+')}{NBSP}to{NBSP}{signed_points(high).lstrip('+')}"
    return f"{points(low)}–{points(high)}"


def probability(p: float) -> str:
    """Return a p value with two significant digits, or as less than 0.001."""
    if p != p:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def percent(rate: float) -> str:
    """Return a rate without needless digits, ``0.1`` as ``10 %`` (which a browser does not break)."""
    return f"{100 * rate:.4g}{NBSP}%"


def seconds(value: float) -> str:
    """Return seconds with about three significant digits."""
    if value < 0.0005:
        return "<0.001" if value > 0 else "0"
    if value < 1:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def size(value: int) -> str:
    """Return bytes in MiB or GiB."""
    mebibytes = value / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def count(number: int, what: str) -> str:
    """Return ``"1 cell"``, ``"2,000 cells"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def span(values: Iterable[float], digits: int | None = None) -> str:
    """Return the range of at least one number, ``5,000`` or ``209 to 391``."""
    held = list(values)
    low, high = (
        f"{value:,}" if digits is None else f"{value:.{digits}f}" for value in (min(held), max(held))
    )
    return low if low == high else f"{low} to {high}"


def rate_name(rate: float) -> str:
    """Return ``"clean"`` or ``"10 % contamination"``."""
    return f"{percent(rate)} contamination" if rate else "clean"
