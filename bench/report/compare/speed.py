"""Whether a method got slower than the other methods did: from stored records no more can be told.

Seconds of two runs do not compare: the machine was another one, or busy. What both ran with is the same for
all methods of a run, so a method's slow-down is its cells' (logarithmic, cell by cell) less the median of the
other methods'. It varies over cells, and over which others there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from bench.report.compare.sides import Measured, ResultKey, Side
from bench.stats import Floats
from bench.stats.multiple import holm
from bench.stats.variance import Variance

#: Fewest cells of a method, and fewest other methods, from which anything is said.
CELLS, OTHERS = 4, 3
#: Variance of a median of normal numbers over that of their mean.
OF_MEDIAN = math.pi / 2
#: Standard deviation of normal numbers over the median of how far they are from their median.
NORMAL = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How much slower a method got than the others.

    Attributes
    ----------
    place : ResultKey
        Without data set, task and rate.
    finding : {"fine", "worse", "untold"}
    ratio : float
        Seconds now over seconds before, over the median of the other methods' ratios; NaN where unknown.
    low, high : float
        One-sided bounds, each with confidence 1 - alpha.
    why : str
        Why it cannot be told.
    """

    place: ResultKey
    finding: Literal["fine", "worse", "untold"]
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""


def speeds(baseline: Side, head: Side, *, slower: float, alpha: float) -> tuple[Speed, ...]:
    """Return for each method that both sides have whether it got slower.

    Parameters
    ----------
    baseline, head : Side
    slower : float
        Ratio, more than 1: a smaller slow-down does not count.
    alpha : float
        As for `bench.report.compare.gate.gate`.
    """
    ratios = _log_ratios(baseline.without_suite().cells, head.without_suite().cells)
    logs = {place: float(np.mean(held)) for place, held in ratios.items() if len(held) >= CELLS}
    measured = {place: _relative(place, ratios[place], logs) for place in logs if len(logs) > OTHERS}
    places = list(measured)
    adjusted = holm([float(measured[each][1].p_below(-measured[each][0])) for each in places])
    p = dict(zip(places, adjusted.tolist(), strict=True))
    found = []
    for place in ratios:
        if place not in measured:
            why = f"it takes {CELLS} cells of this method and of {OTHERS} others, each with its seconds"
            found.append(Speed(place=place, finding="untold", why=why))
            continue
        value, variance = measured[place]
        reach = float(stdtrit(variance.freedom, 1 - alpha) * np.sqrt(variance.value))
        low, high = math.exp(value - reach), math.exp(value + reach)
        worse = p[place] <= alpha and value > math.log(slower)
        fine = high < slower
        why = "" if worse or fine else "its seconds vary too much"
        finding: Literal["fine", "worse", "untold"] = "worse" if worse else "fine" if fine else "untold"
        found.append(Speed(place=place, finding=finding, ratio=math.exp(value), low=low, high=high, why=why))
    return tuple(found)


def _log_ratios(
    before: Mapping[ResultKey, Mapping[str, Measured]], after: Mapping[ResultKey, Mapping[str, Measured]]
) -> dict[ResultKey, list[float]]:
    """Return the logarithm of now over before for each cell that both sides have timed, by method."""
    found: dict[ResultKey, list[float]] = {}
    for place in sorted(before.keys() & after.keys()):
        held = found.setdefault(place.of_method._replace(contamination="0.0"), [])
        for seed in sorted(before[place].keys() & after[place].keys()):
            old, new = (_seconds(side[place][seed]) for side in (before, after))
            if old > 0 and new > 0:
                held.append(math.log(new / old))
    return found


def _seconds(cell: Measured) -> float:
    """Return the seconds of fitting and scoring without getting features; 0 where none are known."""
    timing = cell.record.timing if cell.record is not None else None
    return timing.warm if timing is not None else 0.0


def _relative(
    place: ResultKey, cells: Sequence[float], logs: Mapping[ResultKey, float]
) -> tuple[float, Variance]:
    """Return a method's mean logarithm less the median of the others', and its variance."""
    others: Floats = np.array([value for each, value in logs.items() if each != place])
    own = Variance.of(np.var(cells, ddof=1) / len(cells), len(cells) - 1)
    # By the median deviation: another method that got slower is no reason to trust the rest less.
    spread = NORMAL * float(np.median(np.abs(others - np.median(others))))
    of_others = Variance.of(OF_MEDIAN * spread**2 / len(others), len(others) - 1)
    return float(np.mean(cells) - np.median(others)), own + of_others
