"""The gate on runs with a known truth: what `anobench check` finds of a planted drop, and of none.

A run's scores are those of `benchmarks`; the second run is what a change makes of the first. *Same*: the same
scores but for rounding. *Shifted*: besides, anomalous images score lower by what costs a given number of
points of AUROC. *Noisier*: noise of its own on every score costs them. *Redrawn*: besides, the random numbers
of a stochastic method are others, as after any change of the order in which they are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.pack import open_archive
from bench.core.truth import Truth
from bench.report.compare.gate import Gate, gate
from bench.report.compare.sides import Measured, ResultKey, Side, side_of_archive
from bench.report.compare.text import method_of
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
    much = _much_of_all(design, change) if design.shared else None
    return [gate(*_sides(simulated, design, change, rng, much)) for _ in range(times)]


def counted(design: Design, change: Change, times: int, *, seed: int = 0) -> dict[int, Share]:
    """Return how often the gate ended with each status: 0, 1 and 3."""
    found = [each.exit_status for each in gates(design, change, times, seed=seed)]
    return {status: Share(found.count(status), times) for status in (0, 1, 3)}


def _sides(
    simulated: Simulated, design: Design, change: Change, rng: np.random.Generator, much: float | None = None
) -> tuple[Side, Side]:
    """Return both runs; how much of the harm is solved for anew unless it is given."""
    before, after, harm = _drawn(simulated, design, change, rng)
    if much is None:
        much = _much(simulated.labels, after[0], harm, change.points / 100)
    after[0] += much * harm
    base = _side(simulated, before, design.runs)
    return base, _side(simulated, after, design.runs, unchanged=base)


def _drawn(
    simulated: Simulated, design: Design, change: Change, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return scores before and after, but for the harm, and the harm to the first method."""
    scores, runs = simulated.scores(rng), design.runs
    before = scores[:, :, :runs]
    after = (scores[:, :, runs:] if change.redrawn else before).copy()
    after[0] += ROUNDING * rng.normal(size=after[0].shape)
    shape = after[0].shape
    harm = (
        rng.normal(size=shape) if change.noisier else np.broadcast_to(-1.0 * simulated.labels[:, None], shape)
    )
    return before, after, harm


@functools.cache
def _much_of_all(design: Design, change: Change, draws: int = 4) -> float:
    """Return the mean over some draws of how much harm costs the points: where images are many, all alike."""
    doubled = replace(design, seeds=2 * design.seeds) if change.redrawn else design
    simulated, rng = Simulated(doubled), np.random.default_rng(1)
    found = []
    for _ in range(draws if change.points else 0):
        _, after, harm = _drawn(simulated, design, change, rng)
        found.append(_much(simulated.labels, after[0], harm, change.points / 100))
    return float(np.mean(found)) if found else 0.0


def _much(
    labels: Iterable[NDArray[np.uint8]], scores: Iterable[Floats], harm: Iterable[Floats], drop: float
) -> float:
    """Return how much of a harm to a method's scores makes its mean AUROC drop by so much."""
    if not drop:
        return 0.0

    def mean(much: float) -> float:
        every = zip(labels, scores, harm, strict=True)
        return float(np.mean([placements(of, held + much * by).auroc.mean() for of, held, by in every]))

    aim = mean(0.0) - drop
    return float(brentq(lambda much: mean(much) - aim, 0.0, 5.0, xtol=1e-6))


def _side(simulated: Simulated, scores: Floats, runs: int, unchanged: Side | None = None) -> Side:
    """Return a run as a side; methods but the first are those of another, if it is given."""
    cells: dict[ResultKey, dict[str, Measured]] = {}
    truths, held = list(simulated.truths), {}
    labels = simulated.labels
    aurocs = {
        (row, column): placements(labels[column], scores[row, column]).auroc
        for row in range(1 if unchanged else scores.shape[0])
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
        if unchanged and entry.row:
            cells[place] = unchanged.cells[place]
            continue
        value = float(aurocs[entry.row, entry.column][at])
        random = cell.seed is not None
        cells.setdefault(place, {})[str(at)] = Measured("ok", {"auroc": value}, record, random)
    return Side("simulated", cells, InMemory(held, simulated.truths))  # type: ignore[arg-type]


def of_pack(path: Path, changes: Sequence[Change], times: int) -> dict[str, dict[Change, dict[int, Share]]]:
    """Return what the gate says of a pack's suite, of which one method after the other was changed.

    Parameters
    ----------
    path : Path
    changes : sequence of Change
        None of them redrawn.
    times : int
        Repetitions, shared out among the methods.

    Returns
    -------
    dict of str to (dict of Change to (dict of int to Share))
        By method; one whose mean AUROC is no two points above chance is left out.
    """
    archive = open_archive(path)
    side = side_of_archive(path.name, archive, None).without_suite()
    methods: dict[str, list[ResultKey]] = {}
    for place in side.cells:
        if place.contamination == "0.0":
            methods.setdefault(method_of(place), []).append(place)
    found, rng = {}, np.random.default_rng(0)
    for name, places in methods.items():
        cells = [cell for place in places for cell in side.cells[place].values()]
        if np.mean([cell.metrics["auroc"] for cell in cells]) < 0.6:
            continue
        of: dict[Change, dict[int, Share]] = {}
        for change in changes:
            ended = [_planted(side, archive, places, change, rng) for _ in range(-(-times // len(methods)))]
            of[change] = {status: Share(ended.count(status), len(ended)) for status in (0, 1, 3)}
        found[name] = of
    return found


def _planted(
    side: Side, archive: Archive, places: Sequence[ResultKey], change: Change, rng: np.random.Generator
) -> int:
    """Return how the gate ends where a method's scores on clean data were changed."""
    held = [(place, seed, cell) for place in places for seed, cell in side.cells[place].items()]
    records = [cell.record for _, _, cell in held if cell.record is not None]
    labels = [archive.truth(record).labels for record in records]
    scores = [np.asarray(archive.scores(record), np.float64) for record in records]
    # Normal scores have the same AUROC, and no tail beside which the others are as small as rounding.
    scores = [norm.ppf((rankdata(each) - 0.5) / len(each)) for each in scores]
    scores = [each + ROUNDING * rng.normal(size=each.shape) for each in scores]
    harm = [
        rng.normal(size=each.shape) if change.noisier else -1.0 * of
        for each, of in zip(scores, labels, strict=True)
    ]
    much = _much(labels, scores, harm, change.points / 100)
    now = [each + much * by for each, by in zip(scores, harm, strict=True)]
    changed = {record.cell.key: each for record, each in zip(records, now, strict=True)}
    cells = dict(side.cells)
    for (place, seed, cell), of, each in zip(held, labels, now, strict=True):
        record = replace(cell.record, scores_sha256="changed") if cell.record else None
        metrics = {"auroc": float(placements(of, each).auroc[0])}
        cells[place] = {**cells[place], seed: Measured("ok", metrics, record, cell.random)}
    head = Side("changed", cells, _Changed(archive, changed))  # type: ignore[arg-type]
    return gate(side, head).exit_status


@dataclass(frozen=True, slots=True)
class _Changed:
    """An archive, some of whose scores are others."""

    archive: Archive
    by_key: dict[str, Floats]

    def scores(self, record: Record) -> NDArray[np.floating]:
        found = self.by_key.get(record.cell.key) if record.scores_sha256 == "changed" else None
        return self.archive.scores(record) if found is None else found

    def truth(self, record: Record) -> Truth:
        return self.archive.truth(record)
