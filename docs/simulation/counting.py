"""What reports say of simulated benchmarks, counted: false findings, intervals that hold the truth, power."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from bench.report.evidence.evidence import Evidence
from simulation.benchmarks import Design, Simulated

#: What is counted, and of which times: those where something was claimed.
FALSE = ("letters", "marks", "equivalent")
COVERED = ("mean", "difference", "task", "ranks")


@dataclass(frozen=True, slots=True)
class Share:
    """How often something happened, of how many times it could."""

    times: int
    of: int

    @property
    def percent(self) -> float:
        return 100 * self.times / self.of if self.of else float("nan")

    @property
    def error(self) -> float:
        """Standard error of the percentage."""
        share = self.times / self.of if self.of else float("nan")
        return float(100 * np.sqrt(share * (1 - share) / self.of)) if self.of else float("nan")

    def __add__(self, other: Share) -> Share:
        return Share(self.times + other.times, self.of + other.of)

    def __str__(self) -> str:
        return f"{self.percent:.1f} ± {self.error:.1f}" if self.of else "?"


@dataclass(slots=True)
class Counts:
    """Events by name."""

    times: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, happened: object) -> None:
        self.times[name] += bool(happened)
        self.of[name] += 1

    def share(self, name: str) -> Share:
        return Share(self.times[name], self.of[name])


def count(design: Design, reps: int, seed: int = 0) -> dict[str, Share]:
    """Return how often what a report claims of a design is so.

    Returns
    -------
    dict of str to Share
        ``letters``: any two equally good methods have no letter in common; ``marks``: on the first task any
        method as good as the best lacks `≈`; ``equivalent``: a pair that differs by `rope` or more is called
        equivalent; ``mean``, ``difference``, ``task``: the interval of the first method's average, of its
        difference from the second, of its AUROC on the first task holds the truth; ``ranks``: all places hold
        the true ones at once; ``found``: of the pairs that differ, those that do so significantly;
        ``told``, ``task told``: anything is claimed at all.
    """
    made = Simulated(design)
    rng = np.random.default_rng([seed, zlib.crc32(repr(design).encode())])
    counts = Counts()
    for _ in range(reps):
        _count(design, made.evidence(rng), counts)
    names = (*FALSE, *COVERED, "found", "told", "task told")
    return {name: counts.share(name) for name in names}


def _count(design: Design, evidence: Evidence, counts: Counts) -> None:
    compared = evidence.overall(0.0)
    assert compared is not None, "all cells are there"
    true = design.aurocs.mean(axis=1)
    apart = true[:, None] - true
    upper = np.triu_indices(design.methods, 1)
    counts.add("told", compared.told.all())
    if compared.told.all():
        wrong = compared.better & (apart <= 0)
        counts.add("letters", wrong.any())
        counts.add("equivalent", (compared.equivalent & (np.abs(apart) >= compared.rope))[upper].any())
        low, high = compared.on_images[0]
        counts.add("mean", low <= true[0] <= high)
        counts.add("difference", compared.low[0, 1] <= apart[0, 1] <= compared.high[0, 1])
        # A true place among equals is any of theirs: all must be inside.
        first = 1 + (apart < 0).sum(axis=1)
        last = design.methods - (apart > 0).sum(axis=1)
        counts.add("ranks", (compared.ranks[:, 0] <= first).all() and (compared.ranks[:, 1] >= last).all())
        for a, b in zip(*upper, strict=True):
            if apart[a, b] > 0:
                counts.add("found", compared.better[a, b])
    marks = evidence.task_marks(range(design.methods), 0, 0.0)
    counts.add("task told", "untold" not in marks)
    if "untold" not in marks:
        on_task = design.aurocs[:, 0]
        counts.add(
            "marks", any(m == "worse" and t >= on_task.max() for m, t in zip(marks, on_task, strict=True))
        )
        interval = evidence.task_interval(0, 0, 0.0)
        assert interval is not None, "it is told"
        counts.add("task", interval[0] <= on_task[0] <= interval[1])
