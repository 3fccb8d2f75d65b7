"""The gate on runs with a known truth: what `anobench check` finds of a planted drop, and of none.

A run's scores are those of `benchmarks`; the second run is what a change makes of the first. *Same*: the same
scores but for rounding. *Shifted*: besides, anomalous images score lower by what costs a given number of
points of AUROC. *Noisier*: noise of its own on every score costs them. *Redrawn*: besides, the random numbers
of a stochastic method are others, as after any change of the order in which they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from bench.core.cell import Record
from bench.report.compare.gate import Gate, gate
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.stats.placements import placements
from simulation.benchmarks import Design, InMemory, Simulated
from simulation.counting import Share

Floats = NDArray[np.float64]

#: Standard deviation of what rounding and a library's next version do to scores, whose own is about 1.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Change:
    """What a change does to one method.

    Attributes
    ----------
    points : float
        The drop of its mean AUROC.
    noisier : bool
        It comes from noise, not from a shift.
    redrawn : bool
        Its random numbers are others.
    """

    points: float
    noisier: bool = False
    redrawn: bool = False


def gates(design: Design, change: Change, times: int, *, seed: int = 0) -> list[Gate]:
    """Return what the gate says, again and again, of runs of which the first method was changed."""
    doubled = replace(design, seeds=2 * design.seeds) if change.redrawn else design
    simulated, rng = Simulated(doubled), np.random.default_rng([seed, round(1000 * change.points)])
    return [gate(*_sides(simulated, design, change, rng)) for _ in range(times)]


def counted(design: Design, change: Change, times: int, *, seed: int = 0) -> dict[int, Share]:
    """Return how often the gate ended with each status: 0, 1 and 3."""
    found = [each.exit_status for each in gates(design, change, times, seed=seed)]
    return {status: Share(found.count(status), times) for status in (0, 1, 3)}


def _sides(
    simulated: Simulated, design: Design, change: Change, rng: np.random.Generator
) -> tuple[Side, Side]:
    scores, runs = simulated.scores(rng), design.runs
    before = scores[:, :, :runs]
    after = (scores[:, :, runs:] if change.redrawn else before).copy()
    after[0] += ROUNDING * rng.normal(size=after[0].shape)
    shape = after[0].shape
    harm = (
        rng.normal(size=shape) if change.noisier else np.broadcast_to(-1.0 * simulated.labels[:, None], shape)
    )
    after[0] += _much(simulated.labels, after[0], harm, change.points / 100) * harm
    return _side(simulated, before, runs), _side(simulated, after, runs)


def _much(labels: NDArray[np.uint8], scores: Floats, harm: Floats, drop: float) -> float:
    """Return how much of a harm to a method's scores makes its mean AUROC drop by so much."""
    if not drop:
        return 0.0

    def mean(much: float) -> float:
        pairs = zip(labels, scores + much * harm, strict=True)
        return float(np.mean([placements(of, held).auroc for of, held in pairs]))

    aim = mean(0.0) - drop
    return float(brentq(lambda much: mean(much) - aim, 0.0, 5.0, xtol=1e-6))


def _side(simulated: Simulated, scores: Floats, runs: int) -> Side:
    cells: dict[ResultKey, dict[str, Measured]] = {}
    truths, held = list(simulated.truths), {}
    labels = simulated.labels
    aurocs = {
        (row, column): placements(labels[column], scores[row, column]).auroc
        for row in range(scores.shape[0])
        for column in range(scores.shape[1])
    }
    seen: dict[tuple[int, int], int] = {}
    for entry in simulated.plan.entries:
        at = seen.setdefault((entry.row, entry.column), 0)
        if at == runs:
            continue
        seen[entry.row, entry.column] += 1
        cell = entry.cell
        held[cell.key] = scores[entry.row, entry.column, at]
        record = Record(
            cell=cell, status="ok", setting="one-class", selection="last", truth=truths[entry.column]
        )
        place = ResultKey("", cell.dataset, cell.task, cell.method, "", "", "0.0")
        value = float(aurocs[entry.row, entry.column][at])
        random = cell.seed is not None
        cells.setdefault(place, {})[str(at)] = Measured("ok", {"auroc": value}, record, random)
    return Side("simulated", cells, InMemory(held, simulated.truths))  # type: ignore[arg-type]
