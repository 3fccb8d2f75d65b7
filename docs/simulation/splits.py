"""Real records of one stochastic method with many seeds, split into "methods" that do not differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Entry, Plan, Row
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from simulation.counting import Counts, Share


def split(
    results: Path, suite: str, *, methods: int, seeds: int, reps: int, seed: int = 0
) -> dict[str, Share]:
    """Split the seeds of a suite's one method at random, again and again, and count what a report claims.

    Returns
    -------
    dict of str to Share
        ``letters``: any two "methods" have no letter in common; ``marks``: on a task any lacks `≈`, over all
        tasks; ``told``.
    """
    archive = Archive(results)
    plan = archive.plan(suite)
    records = archive.load_all(entry.cell.key for entry in plan.entries)
    by_place = {(entry.column, entry.cell.seed): entry.cell for entry in plan.entries}
    every = sorted({entry.cell.seed for entry in plan.entries if entry.cell.seed is not None})
    rng, counts = np.random.default_rng(seed), Counts()
    reader = _Reader(archive)
    for _ in range(reps):
        # Each task has seeds of its own: what a number means on one task it does not mean on another.
        drawn = [rng.permutation(every)[: methods * seeds] for _ in plan.columns]
        entries, held = [], {}
        for column, of in enumerate(drawn):
            for at, number in enumerate(of):
                cell = by_place[column, int(number)]
                renamed = replace(cell, method=f"part{at // seeds}", seed=at % seeds)
                entries.append(Entry(row=at // seeds, column=column, rate=0.0, cell=renamed))
                held[renamed.key] = replace(records[cell.key], cell=renamed)
                reader.origin[renamed.key] = records[cell.key]
        parts = Plan(
            suite="split",
            title="Split",
            seeds=tuple(range(seeds)),
            rows=tuple(_row(at) for at in range(methods)),
            columns=plan.columns,
            entries=tuple(entries),
        )
        evidence = Evidence(Board(parts, held), reader)  # type: ignore[arg-type]
        found = evidence.overall(0.0)
        assert found is not None, "all cells are there"
        counts.add("told", found.told.all())
        if found.told.all():
            counts.add("letters", found.better.any())
        for column in range(len(plan.columns)):
            marks = evidence.task_marks(range(methods), column, 0.0)
            if "untold" not in marks:
                counts.add("marks", "worse" in marks)
    return {name: counts.share(name) for name in ("letters", "marks", "told")}


def _row(at: int) -> Row:
    return Row(
        label=f"part{at}",
        method=f"part{at}",
        backbone="",
        setting="one-class",
        selection="last",
        stochastic=True,
    )


class _Reader:
    """An archive's scores under other keys, each read once."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        #: The record that each key stands for.
        self.origin: dict[str, Record] = {}
        self._scores: dict[str, NDArray[np.floating]] = {}

    def scores(self, record: Record) -> NDArray[np.floating]:
        origin = self.origin[record.cell.key]
        if origin.cell.key not in self._scores:
            self._scores[origin.cell.key] = self._archive.scores(origin)
        return self._scores[origin.cell.key]

    def truth(self, record: Record) -> Truth:
        return self._archive.truth(record)
