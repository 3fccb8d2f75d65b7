"""Timing two versions of the code in one job: cell by cell in turn, in processes of their own.

Seconds that were stored say nothing of a change: the machine was another one, or busy. Here both sides run
the same cells, one right after the other in an order drawn by lot, so that whatever else the machine does
meets both alike, as does being started first; on a CPU, where only one side runs at a time, both have the
same core. Two processes of the same code differ by some percent, too (where their memory happens to lie:
Mytkowicz et al., ASPLOS 2009), so that both are started again and again: a *block* is one start of both, and
one logarithm of a ratio per method, the median over its rounds of the mean over its cells. Only blocks count
as repetitions.

How many it takes depends on the machine and the method: `bench.report.compare.speed.paired_speeds` looks at
`LOOKS` blocks, and methods of which it can be told leave.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.report.compare.sides import ResultKey, Side
from bench.report.compare.speed import IN_TURN, LOOKS, Speed, paired_speeds
from bench.run.timer import CodeSide, Timer, TimingError
from bench.run.timeworker import Place

#: A measurement repeats a cell until it has at least so many seconds, a block has at most so many rounds, and
#: a method gets at most so many seconds on each side of a block, but one round.
LEAST, ROUNDS, MOST = 0.04, 25, 20.0
#: Runs of a cell in one measurement at most: what takes microseconds is not worth more.
MOST_TIMES = 50
#: Clocks of `bench.run.timeworker`, in words.
CLOCK_NAMES = {"processor": "the processor (waiting costs none)", "wall": "a clock on the wall"}


@dataclass(slots=True)
class _Timed:
    """A method, its cells, and what was measured."""

    place: ResultKey
    cells: list[Place]
    logs: list[float] = field(default_factory=list)
    why: str = ""


def interleaved(
    base: CodeSide,
    head: CodeSide,
    sides: tuple[Side, Side],
    *,
    options: Mapping[str, Any],
    device: str,
    slower: float,
    alpha: float,
    say: Callable[[str], None],
) -> tuple[tuple[Speed, ...], str]:
    """Return for each method that both sides have whether it got slower, and how that was timed.

    Parameters
    ----------
    base, head : CodeSide
    sides : tuple of Side
        Results of both: which cells there are.
    options : mapping
        As for `bench.run.prepare.prepare`: backbone and contamination that were given instead of the suite's.
    device : str
        As in `bench.run.executors.choose.Options`.
    slower, alpha : float
        As for `bench.report.compare.gate.gate`.
    say : callable
        Shows a line to the user.

    Raises
    ------
    TimingError
        One of the sides cannot time cells.
    """
    every, rng = _cells(*sides), random.Random(0)
    found: dict[ResultKey, Speed] = {}
    clock = ""
    for number in range(1, LOOKS[-1] + 1):
        left = [each for each in every if not each.why and not _told(found.get(each.place))]
        if not left:
            break
        clock = _block(base, head, left, options, device, rng)
        if number in LOOKS:
            # Those of which it was told keep their blocks, so that Holm's adjustment stays over all.
            logs = {each.place: each.logs for each in every if not each.why}
            for speed in paired_speeds(logs, slower=slower, alpha=alpha):
                if not _told(found.get(speed.place)):
                    found[speed.place] = speed
            say(
                f"timing: {sum(map(_told, found.values()))} of {len(found)} methods are "
                f"told after {number} starts of both sides"
            )
    for each in every:
        if each.why:
            found[each.place] = Speed(place=each.place, finding="untold", why=each.why)
    return tuple(found.values()), IN_TURN.format(clock=CLOCK_NAMES.get(clock, clock))


def untimed(base: Side, head: Side, why: str) -> tuple[Speed, ...]:
    """Return of each method that both sides have that its speed cannot be told."""
    return tuple(Speed(place=each.place, finding="untold", why=why) for each in _cells(base, head))


def _told(speed: Speed | None) -> bool:
    return speed is not None and speed.finding != "untold"


def _cells(base: Side, head: Side) -> list[_Timed]:
    """Return for each method that both sides have one cell of each data set: its first task and seed."""
    before, after = base.without_suite().cells, head.without_suite().cells
    found: dict[ResultKey, dict[str, Place]] = {}
    for place in sorted(before.keys() & after.keys(), key=lambda each: float(each.contamination)):
        seeds = [
            seed
            for seed in sorted(before[place].keys() & after[place].keys())
            if before[place][seed].status == after[place][seed].status == "ok"
        ]
        if seeds:
            of = found.setdefault(place.of_method._replace(contamination="0.0"), {})
            of.setdefault(place.dataset, (*place[1:], seeds[0]))
    return [_Timed(place, list(of.values())) for place, of in sorted(found.items())]


def _block(
    base: CodeSide,
    head: CodeSide,
    methods: Sequence[_Timed],
    options: Mapping[str, Any],
    device: str,
    rng: random.Random,
) -> str:
    """Start both sides once, and add a logarithm to each method; return the name of the clock."""
    core = None
    if hasattr(os, "sched_getaffinity") and device in ("auto", "cpu"):
        core = rng.choice(sorted(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        started = {
            side.name: stack.enter_context(contextlib.closing(Timer(side, options, device, core)))
            for side in rng.sample((base, head), 2)
        }
        pair = [started[side.name] for side in (base, head)]
        clocks = [timer.clock() for timer in pair]
        if clocks[0] != clocks[1]:
            raise TimingError("both sides must run on the same kind of device to be timed")
        for each in methods:
            rounds = _rounds(each, pair, rng)
            if rounds:
                each.logs.append(median(rounds))
        return clocks[0]


def _rounds(method: _Timed, pair: Sequence[Timer], rng: random.Random) -> list[float]:
    """Return the logarithm of head over base of each round of a method; none if a cell fails."""
    # The first run of a cell warms up, gets its features, and says how long it takes.
    first: list[list[float | str]] = []
    for place in method.cells:
        warmed = {side: pair[side].seconds(place, 1) for side in rng.sample((0, 1), 2)}
        first.append([warmed[0], warmed[1]])
    times = []
    for place, held in zip(method.cells, first, strict=True):
        for which, seconds in zip(("base", "head"), held, strict=True):
            if isinstance(seconds, str):
                method.why = f"{'/'.join(place[:2])} fails where it is timed, in the {which}: {seconds}"
                return []
        slowest = max(float(each) for each in held)
        times.append(max(1, min(MOST_TIMES, math.ceil(LEAST / max(slowest, 1e-6)))))
    once = sum(max(map(float, held)) * n for held, n in zip(first, times, strict=True))
    found = []
    rounds = max(1, min(ROUNDS, int(MOST / max(once, 1e-6))))
    # A process still gets memory from the system in its first rounds: where there are several, one more.
    for _ in range(rounds + (rounds > 1)):
        logs = []
        for place, n in zip(method.cells, times, strict=True):
            taken = [0.0, 0.0]
            for side in rng.sample((0, 1), 2):
                took = pair[side].seconds(place, n)
                if isinstance(took, str) or took <= 0:
                    method.why = f"{'/'.join(place[:2])} fails when it is run again: {took}"
                    return []
                taken[side] = took
            logs.append(math.log(taken[1] / taken[0]))
        found.append(sum(logs) / len(logs))
    return found[-rounds:]
