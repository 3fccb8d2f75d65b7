"""Simulated benchmarks with a known truth, as plans, records and scores: what reports are made from.

A score is the method's strength on anomalous images plus noise, of which part belongs to the image (the
same for all methods and seeds), part to the method and part to the run. The strength itself varies from
seed to seed and from task to task. Tasks have test images of their own, or share them all: one-vs-rest,
each class normal once.
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

#: Shares of the variance of a score's noise that belong to the image and to the run; the rest to the method.
OF_IMAGE, OF_RUN = 0.4, 0.25
#: Standard deviation over tasks of how hard they are, on the logit scale.
HARDER = 0.4


@dataclass(frozen=True, slots=True)
class Design:
    """What a user has.

    Attributes
    ----------
    methods, tasks, seeds : int
    sd : float
        Standard deviation over seeds, in AUROC at an AUROC of 0.85; 0 for deterministic methods.
    auroc : float
        Of the best method on a task of middling difficulty, over all images and seeds.
    anomalous, normal : int
        Test images of each task; where they are shared, of all other classes together and of each class.
    gap : float
        By which each method is behind the one before.
    shared : bool
        All tasks are tested on the same images.
    """

    methods: int
    tasks: int
    seeds: int
    sd: float
    auroc: float
    anomalous: int
    normal: int
    gap: float = 0.0
    shared: bool = False

    @property
    def runs(self) -> int:
        """Cells of one method on one task."""
        return self.seeds if self.sd else 1

    @property
    def strength_sd(self) -> float:
        """Of the strength over seeds: what makes an AUROC of 0.85 vary by `sd`."""
        return self.sd * float(np.sqrt(2) / norm.pdf(norm.ppf(0.85)))

    @property
    def aurocs(self) -> Floats:
        """True AUROCs, shape (methods, tasks)."""
        hard = HARDER * norm.ppf((np.arange(self.tasks) + 0.5) / self.tasks)
        means = self.auroc - self.gap * np.arange(self.methods)
        found: Floats = expit(logit(means)[:, None] + hard)
        return found

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Of every test image in each task, shape (tasks, images)."""
        if self.shared:
            of_class = np.repeat(np.arange(self.tasks), self.normal)
            return (of_class != np.arange(self.tasks)[:, None]).astype(np.uint8)
        one = np.repeat([0, 1], [self.normal, self.anomalous]).astype(np.uint8)
        return np.tile(one, (self.tasks, 1))


class Simulated:
    """A design's plan and, again and again, its records."""

    def __init__(self, design: Design) -> None:
        self.design, self.labels = design, design.labels
        seeds = [*range(design.seeds)] if design.sd else [None]
        rows = tuple(
            Row(
                label=f"method{at}",
                method=f"method{at}",
                backbone="",
                setting="one-class",
                selection="last",
                stochastic=design.sd > 0,
            )
            for at in range(design.methods)
        )
        entries = tuple(
            Entry(row=row, column=column, rate=0.0, cell=_cell(row, column, seed))
            for row in range(design.methods)
            for column in range(design.tasks)
            for seed in seeds
        )
        self.plan = Plan(
            suite="simulated",
            title="Simulated",
            seeds=tuple(seed or 0 for seed in seeds),
            rows=rows,
            columns=tuple(Column(dataset="simulated", task=f"{at}") for at in range(design.tasks)),
            entries=entries,
        )
        truths = [self._truth(task) for task in range(design.tasks)]
        self.truths = {truth.identity: truth for truth in truths}
        self._records = [
            Record(
                cell=entry.cell,
                status="ok",
                setting="one-class",
                selection="last",
                truth=truths[entry.column].identity,
            )
            for entry in entries
        ]
        # Over seeds the strength varies too: the AUROC over all of them is that of a wider distribution.
        self._strength = norm.ppf(design.aurocs) * np.sqrt(2 + design.strength_sd**2)

    def _truth(self, task: int) -> Truth:
        n = self.labels.shape[1]
        first = 0 if self.design.shared else task * n
        return Truth(
            labels=self.labels[task],
            sources=("images",),
            which=np.zeros(n, np.uint8),
            rows=np.arange(n) + first,
            images=np.arange(n, dtype=np.uint64) + np.uint64(first),
        )

    def evidence(self, rng: np.random.Generator) -> Evidence:
        """Return the evidence of one benchmark, drawn anew."""
        design, scores = self.design, self.scores(rng)
        by_task = [
            placements(self.labels[task], scores[:, task].reshape(-1, scores.shape[-1])).auroc
            for task in range(design.tasks)
        ]
        aurocs = np.stack(by_task, axis=1).reshape(design.methods, design.runs, design.tasks)
        every = scores.reshape(-1, scores.shape[-1])
        keys = [record.cell.key for record in self._records]
        records = {
            key: replace(record, metrics={"auroc": float(auroc)})
            for key, record, auroc in zip(keys, self._records, aurocs.transpose(0, 2, 1).ravel(), strict=True)
        }
        archive = InMemory(dict(zip(keys, every, strict=True)), self.truths)
        return Evidence(Board(self.plan, records), archive)  # type: ignore[arg-type]

    def scores(self, rng: np.random.Generator) -> Floats:
        """Return scores of shape (methods, tasks, runs, images)."""
        design, n = self.design, self.labels.shape[1]
        shape = (design.methods, design.tasks, design.runs)
        strength = self._strength[:, :, None] + design.strength_sd * rng.normal(size=shape)
        own = OF_RUN if design.sd else 0.0
        tasks = 1 if design.shared else design.tasks
        noise = (
            np.sqrt(OF_IMAGE) * rng.normal(size=(1, tasks, 1, n))
            + np.sqrt(1 - OF_IMAGE - own) * rng.normal(size=(design.methods, design.tasks, 1, n))
            + np.sqrt(own) * rng.normal(size=(*shape, n))
        )
        found: Floats = strength[..., None] * self.labels[:, None] + noise
        return found


def _cell(method: int, task: int, seed: int | None) -> Cell:
    return Cell(
        dataset="simulated",
        task=f"{task}",
        method=f"method{method}",
        params=(),
        backbone="",
        contamination=Contamination(),
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class InMemory:
    """What an archive says, without files."""

    by_key: dict[str, Floats]
    truths: dict[str, Truth]

    def scores(self, record: Record) -> Floats:
        return self.by_key[record.cell.key]

    def truth(self, record: Record) -> Truth:
        return self.truths[record.truth]
