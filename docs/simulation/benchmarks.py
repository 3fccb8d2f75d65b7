"""Simulated benchmarks with a known truth, as plans, records and scores: what reports are made from.

Every task has test images of its own. A score is the method's strength on anomalous images plus noise, of
which part belongs to the image (the same for all methods and seeds), part to the method and part to the run.
The strength itself varies from seed to seed and from task to task, so that runs differ by as much as asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from bench.core.cell import Cell, Record
from bench.core.contamination import Contamination
from bench.core.plan import Column, Entry, Plan, Row
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.stats.placements import placements

Floats = NDArray[np.float64]

#: Shares of the variance of a score's noise that belong to the image, to the method and to the run.
OF_IMAGE, OF_METHOD, OF_RUN = 0.4, 0.35, 0.25
#: Standard deviation over tasks of how hard they are, on the logit scale.
HARDER = 0.4


@dataclass(frozen=True, slots=True)
class Design:
    """What a user has.

    Attributes
    ----------
    methods, tasks, seeds : int
    sd : float
        Standard deviation over seeds in AUROC at an AUROC of 0.85; 0 for deterministic methods.
    auroc : float
        Of every method (of the best where there are gaps), over all images, seeds and tasks like these.
    anomalous, normal : int
        Test images of each task.
    gap : float
        By which each method is behind the one before.
    """

    methods: int
    tasks: int
    seeds: int
    sd: float
    auroc: float
    anomalous: int
    normal: int
    gap: float = 0.0

    @property
    def strength_sd(self) -> float:
        """Of the strength over seeds: what makes an AUROC of 0.85 vary by `sd`."""
        at = norm.ppf(0.85)
        return self.sd * np.sqrt(2) / float(norm.pdf(at))

    @property
    def aurocs(self) -> Floats:
        """True AUROCs, shape (methods, tasks)."""
        hard = HARDER * norm.ppf((np.arange(self.tasks) + 0.5) / self.tasks)
        means = self.auroc - self.gap * np.arange(self.methods)
        return expit(logit(means)[:, None] + hard)


class Simulated:
    """A design's plan and, again and again, its records."""

    def __init__(self, design: Design) -> None:
        self.design = design
        random, seeds = design.sd > 0, range(design.seeds if design.sd else 1)
        rows = [
            Row(
                label=f"method{at}", method=f"method{at}", backbone="", setting="one-class",
                selection="last", stochastic=random,
            )
            for at in range(design.methods)
        ]  # fmt: skip
        columns = [Column(dataset="simulated", task=f"{at}") for at in range(design.tasks)]
        self.entries = [
            Entry(
                row=row, column=column, rate=0.0,
                cell=Cell(
                    dataset="simulated", task=f"{column}", method=f"method{row}",
                    params=(), backbone="", contamination=Contamination(), seed=seed if random else None,
                ),
            )
            for row in range(design.methods)
            for column in range(design.tasks)
            for seed in seeds
        ]  # fmt: skip
        self.plan = Plan(
            suite="simulated", title="Simulated", seeds=tuple(seeds), rows=tuple(rows),
            columns=tuple(columns), entries=tuple(self.entries),
        )  # fmt: skip
        self.labels = np.repeat([0, 1], [design.normal, design.anomalous]).astype(np.uint8)
        n = len(self.labels)
        truths = [
            Truth(
                labels=self.labels, sources=(f"task {at}",), which=np.zeros(n, np.uint8),
                rows=np.arange(n), images=np.arange(n, dtype=np.uint64) + np.uint64(at * n),
            )
            for at in range(design.tasks)
        ]  # fmt: skip
        self.truths = {truth.identity: truth for truth in truths}
        names = list(self.truths)
        self._records = [
            Record(
                cell=entry.cell, status="ok", setting="one-class", selection="last",
                truth=names[entry.column],
            )
            for entry in self.entries
        ]  # fmt: skip
        # Over seeds the strength varies too: the AUROC over all of them is that of a wider distribution.
        self._strength = norm.ppf(design.aurocs) * np.sqrt(2 + design.strength_sd**2)

    def evidence(self, rng: np.random.Generator) -> Evidence:
        """Return the evidence of one benchmark."""
        scores = self.scores(rng)
        aurocs = placements(self.labels, scores).auroc
        records = {
            record.cell.key: replace(record, metrics={"auroc": float(auroc)})
            for record, auroc in zip(self._records, aurocs, strict=True)
        }
        keys = [record.cell.key for record in self._records]
        archive = InMemory(dict(zip(keys, scores, strict=True)), self.truths)
        return Evidence(Board(self.plan, records), archive)  # type: ignore[arg-type]

    def scores(self, rng: np.random.Generator) -> Floats:
        """Return the scores of each cell, in the order of the plan, shape (cells, images)."""
        design, n = self.design, len(self.labels)
        shape = (design.methods, design.tasks, design.seeds if design.sd else 1)
        strength = self._strength[:, :, None] + design.strength_sd * rng.normal(size=shape)
        own = OF_RUN if design.sd else 0.0
        noise = (
            np.sqrt(OF_IMAGE) * rng.normal(size=(1, design.tasks, 1, n))
            + np.sqrt(1 - OF_IMAGE - own) * rng.normal(size=(design.methods, design.tasks, 1, n))
            + np.sqrt(own) * rng.normal(size=(*shape, n))
        )
        held: Floats = (strength[..., None] * self.labels + noise).reshape(-1, n)
        return held


@dataclass(frozen=True, slots=True)
class InMemory:
    """What an archive says, without files."""

    by_key: dict[str, Floats]
    truths: dict[str, Truth]

    def scores(self, record: Record) -> Floats:
        return self.by_key[record.cell.key]

    def truth(self, record: Record) -> Truth:
        return self.truths[record.truth]
