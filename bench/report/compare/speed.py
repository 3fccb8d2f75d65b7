"""Whether a method got slower: from pairs timed in one job, or from seconds beside a reference workload.

Seconds of two runs do not compare: the machine was another one, or busy. Two things do:

- both sides timed in turn (`bench.run.interleaved`): a logarithm of head over base for each *block*, one
  start of both sides;
- seconds over those of the reference workload that was timed beside them in the same run
  (`bench.run.reference`), cell by cell. Runs on two kinds of machines do not compare even so: what takes
  twice as long on one may take three times as long on the other.

Each has a mean logarithm and its one-sided t intervals. Where blocks are added until it can be told, each of
the `LOOKS` has its share of the error (Bonferroni), so that looking again finds nothing by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from bench.report.board import machine
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.stats.multiple import holm
from bench.stats.variance import Variance

#: Numbers of blocks at which it is asked whether it can be told; the last is the cap.
LOOKS = (4, 8, 16)
#: How methods were timed, in a sentence.
BESIDE_REFERENCE = "Seconds to fit and to score, over those of the reference workload timed beside them."
IN_TURN = "Seconds to fit and to score, of {clock}, both sides in turn in one job."
Finding = Literal["fine", "worse", "untold"]
#: Fewest cells of a method from which anything is said.
CELLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How much slower a method got.

    Attributes
    ----------
    place : ResultKey
        Without data set, task and rate.
    finding : {"fine", "worse", "untold"}
    ratio : float
        Seconds now over seconds before; NaN where unknown.
    low, high : float
        One-sided bounds, each with confidence 1 - alpha.
    why : str
        Why it cannot be told.
    """

    place: ResultKey
    finding: Finding
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""


def paired_speeds(
    logs: Mapping[ResultKey, Sequence[float]], *, slower: float, alpha: float
) -> tuple[Speed, ...]:
    """Return of each method what its blocks say.

    Parameters
    ----------
    logs : mapping
        Of each method, for each block the logarithm of now over before; at least two blocks.
    slower : float
        Ratio, at least 1: a smaller slow-down does not count.
    alpha : float
        How often anything may be found slower that is not, over all methods and looks.
    """
    return _judged(logs, slower=slower, alpha=alpha / len(LOOKS))


def speeds(baseline: Side, head: Side, *, slower: float, alpha: float) -> tuple[Speed, ...]:
    """Return for each method that both sides have whether it got slower, beside the reference workload.

    Parameters
    ----------
    baseline, head : Side
    slower : float
        Ratio, at least 1: a smaller slow-down does not count.
    alpha : float
        As for `bench.report.compare.gate.gate`.
    """
    before, after = baseline.without_suite().cells, head.without_suite().cells
    logs: dict[ResultKey, list[float]] = {}
    reasons: dict[ResultKey, set[str]] = {}
    for place in sorted(before.keys() & after.keys()):
        method = place.of_method._replace(contamination="0.0")
        held, whys = logs.setdefault(method, []), reasons.setdefault(method, set())
        for seed in sorted(before[place].keys() & after[place].keys()):
            found = _log_ratio(before[place][seed], after[place][seed])
            if isinstance(found, str):
                whys.add(found)
            else:
                held.append(found)
    enough = {place: held for place, held in logs.items() if len(held) >= CELLS}
    judged = {each.place: each for each in _judged(enough, slower=slower, alpha=alpha)}
    few = f"it takes {CELLS} cells with their seconds"
    return tuple(
        judged.get(place)
        or Speed(place=place, finding="untold", why="; ".join(sorted(reasons[place])) or few)
        for place in logs
    )


def _log_ratio(before: Measured, after: Measured) -> float | str:
    """Return the logarithm of now over before, each over its reference; or why there is none."""
    records = before.record, after.record
    timings = [record.timing if record is not None else None for record in records]
    ratios = []
    for timing in timings:
        if timing is None or timing.warm <= 0:
            return f"it takes {CELLS} cells with their seconds"
        if timing.reference is None:
            return (
                "not compared: its seconds have no reference workload of the same run beside them; "
                "anobench run --timing exclusive times one, --base needs none"
            )
        ratios.append(timing.warm / timing.reference)
    if len({machine(record.environment) for record in records if record is not None}) > 1:
        return "not compared: timed on two kinds of machines"
    return math.log(ratios[1] / ratios[0])


def _judged(logs: Mapping[ResultKey, Sequence[float]], *, slower: float, alpha: float) -> tuple[Speed, ...]:
    """Return of each method what its logarithms say.

    As for AUROC: *worse* is significantly slower (Holm over the methods) and by more than `slower`; *fine* is
    significantly below `slower`.
    """
    means = {place: float(np.mean(held)) for place, held in logs.items()}
    variances = {
        place: Variance.of(np.var(held, ddof=1) / len(held), len(held) - 1) for place, held in logs.items()
    }
    p = holm([float(variances[place].p_below(-means[place])) for place in logs])
    found = []
    for place, adjusted in zip(logs, p.tolist(), strict=True):
        value, variance = means[place], variances[place]
        reach = float(stdtrit(variance.freedom, 1 - alpha) * np.sqrt(variance.value))
        low, high = math.exp(value - reach), math.exp(value + reach)
        worse = adjusted <= alpha and value > math.log(slower)
        finding: Finding = "worse" if worse else "fine" if high < slower else "untold"
        why = "" if finding != "untold" else f"its seconds vary too much ({low:.2f} to {high:.2f} times)"
        found.append(Speed(place=place, finding=finding, ratio=math.exp(value), low=low, high=high, why=why))
    return tuple(found)
