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
from bench.report.compare.diff import diff
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.report.evidence.evidence import Evidence
from bench.report.export import place_fields
from simulation.counting import Counts, Share

#: A suite's plan and records.
Drawn = tuple[Plan, dict[str, Record]]


class Splits:
    """The records of a suite's one method, to be split at random."""

    def __init__(self, results: Path, suite: str) -> None:
        archive = Archive(results)
        plan = archive.plan(suite)
        self._records = archive.load_all(entry.cell.key for entry in plan.entries)
        self._cells = {(entry.column, entry.cell.seed): entry.cell for entry in plan.entries}
        self._seeds = sorted({entry.cell.seed for entry in plan.entries if entry.cell.seed is not None})
        self._columns = plan.columns
        self.reader = _Reader(archive)

    def draw(self, rng: np.random.Generator, methods: int, seeds: int) -> list[Drawn]:
        """Return as many suites of so many methods and seeds as there are seeds for, at most two."""
        sides = min(2, len(self._seeds) // (methods * seeds))
        # Each task has seeds of its own: what a number means on one task it does not mean on another.
        orders = [rng.permutation(self._seeds) for _ in self._columns]
        made = []
        for side in range(sides):
            entries, held = [], {}
            for column, order in enumerate(orders):
                for at in range(methods * seeds):
                    row, seed = divmod(at, seeds)
                    cell = self._cells[column, int(order[side * methods * seeds + at])]
                    # Sides have keys of their own, as a changed method has.
                    renamed = replace(cell, method=f"part{row}", seed=seed, code=(("method", str(side)),))
                    entries.append(Entry(row=row, column=column, rate=0.0, cell=renamed))
                    held[renamed.key] = replace(self._records[cell.key], cell=renamed)
                    self.reader.origin[renamed.key] = self._records[cell.key]
            rows = tuple(_row(at) for at in range(methods))
            plan = Plan(
                suite="split",
                title="Split",
                seeds=tuple(range(seeds)),
                rows=rows,
                columns=self._columns,
                entries=tuple(entries),
            )
            made.append((plan, held))
        return made


def split(
    results: Path, suite: str, *, methods: int, seeds: int, reps: int, seed: int = 0
) -> dict[str, Share]:
    """Split the seeds of a suite's one method at random, again and again, and count what a report claims.

    Returns
    -------
    dict of str to Share
        ``letters``: any two "methods" have no letter in common; ``marks``: on a task any lacks `≈`, over all
        tasks; ``told``; ``diff``: `anobench diff` between two such suites finds that something got worse,
        where there are seeds for two.
    """
    splits = Splits(results, suite)
    rng, counts = np.random.default_rng(seed), Counts()
    for _ in range(reps):
        sides = splits.draw(rng, methods, seeds)
        plan, held = sides[0]
        evidence = Evidence(Board(plan, held), splits.reader)  # type: ignore[arg-type]
        found = evidence.overall(0.0)
        if found is not None:
            counts.add("told", found.told.all())
            if methods > 1 and found.told.all():
                counts.add("letters", found.better.any())
        for column in range(len(plan.columns)):
            marks = evidence.task_marks(range(methods), column, 0.0)
            if methods > 1 and "untold" not in marks:
                counts.add("marks", "worse" in marks)
        if len(sides) > 1:
            before, after = (_side(*each, splits.reader) for each in sides)
            counts.add("diff", diff(before, after).exit_status == 1)
    return {name: counts.share(name) for name in ("letters", "marks", "told", "diff")}


def _side(plan: Plan, held: dict[str, Record], reader: _Reader) -> Side:
    cells: dict[ResultKey, dict[str, Measured]] = {}
    for entry in plan.entries:
        *place, seed = place_fields(plan, entry)
        record = held[entry.cell.key]
        measured = Measured(record.status, dict(record.metrics), record, random=True)
        cells.setdefault(ResultKey(*place), {})[seed] = measured
    return Side("", cells, reader)  # type: ignore[arg-type]


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
