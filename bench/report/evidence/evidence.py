"""Evidence: which of a board's differences are real, computed once for all sections of a page.

It joins the board's numbers with the archive's scores (`bench.report.evidence.scored`) and compares the
methods (`bench.report.evidence.comparison`). Only complete rows that rank are compared;
settings are never mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bench.core.archive import Archive
from bench.report.board import Board
from bench.report.evidence.comparison import Comparison, compare_methods
from bench.report.evidence.samples import Samples, on_images
from bench.report.evidence.tasks import TaskTests
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.interval import perfect_interval
from bench.stats.multiple import ROPE


class Evidence(TaskTests):
    """Intervals, tests and groups of a board's methods.

    Parameters
    ----------
    board : Board
    archive : Archive, optional
        Where the scores are. Without it nothing is said that needs them.
    rope : float
        A smaller difference is none for practical purposes; share of 1.
    """

    def __init__(self, board: Board, archive: Archive | None = None, *, rope: float = ROPE) -> None:
        super().__init__(board, archive)
        self.rope = rope
        self.overall = lru_cache(maxsize=None)(self._overall)
        self.within = lru_cache(maxsize=None)(self._within)

    def complete(self, columns: Sequence[int], *rates: float) -> tuple[int, ...]:
        """Return the rows that rank whose cells are all there on some columns, in the board's order."""
        return tuple(
            row
            for row in self.board.ranked
            if all(
                self.board.group(row, column, rate).mean("auroc") is not None
                for column in columns
                for rate in rates
            )
        )

    def _overall(self, rate: float) -> Comparison | None:
        """Return the comparison of the means over all data sets; None with no complete method."""
        return self._compared(tuple(self.board.datasets), rate)

    def _within(self, dataset: str, rate: float) -> Comparison | None:
        """Return the comparison on one data set."""
        return self._compared((dataset,), rate)

    def _compared(self, names: tuple[str, ...], rate: float) -> Comparison | None:
        columns = [column for name in names for column in self.board.datasets[name]]
        rows = self.complete(columns, rate)
        return compare_methods(self.samples(names, rows, rate), rope=self.rope) if rows else None

    def samples(self, names: Sequence[str], rows: tuple[int, ...], rate: float) -> Samples:
        """Return the AUROC of complete rows on some data sets at a rate."""
        values = tuple(self.values(self.board.datasets[name], rows, rate) for name in names)
        parts = {name: self.parts(name, rows, rate) for name in names}
        return self.samples_of(names, rows, values, parts, [rate])

    def samples_of(
        self,
        names: Sequence[str],
        rows: tuple[int, ...],
        values: tuple[Floats, ...],
        parts: dict[str, Floats | None],
        rates: Sequence[float],
        *,
        shares: bool = True,
    ) -> Samples:
        """Return what is compared, from values and what images add to them, by data set."""
        columns = [column for name in names for column in self.board.datasets[name]]
        why = next((f"{name}: {self.why[name]}" for name in names if name in self.why), "")
        images, margin, least = None, 0.0, 0.0
        tested = [found for column in columns for rate in rates if (found := self.task(column, rate))]
        if not why:
            why = self._single_image(columns, rates)
        if not why and all(each is not None for each in parts.values()):
            images = tuple(self._block_parts(names, parts, block) for block in self._blocks_of(names))
            margin = mean(1 - perfect_interval(anomalous=t.anomalous, normal=t.normal)[0] for t in tested)
            least = self._least_p(columns)
        return Samples(
            rows=rows,
            blocks=tuple(self.blocks[name] for name in names),
            values=values,
            told=np.array([self.untold(row, columns, rates) == 0 for row in rows], bool),
            images=images,
            margin=margin,
            least_p=least,
            shares=shares,
            why=why,
            comparable=not any(name in self.mixed for name in names),
        ).with_freedom()

    def interval(self, row: int, columns: tuple[int, ...], rate: float) -> tuple[float, float] | None:
        """Return the interval of a row's mean AUROC over columns of one data set: over images and seeds.

        None without scores or with too few seeds, or where the columns are some but not all of several tasks.
        """
        name = self.board.plan.columns[columns[0]].dataset
        found = self.images.get(name, {}).get(rate)
        if found is None or row not in found.rows:
            return None
        if len(columns) == 1:
            return self.task_interval(row, columns[0], rate)
        if set(columns) != set(self.board.datasets[name]):
            return None
        low, high = on_images(self.samples([name], (row,), rate))[0].tolist()
        return None if np.isnan(low) else (low, high)

    def overall_interval(self, row: int, rate: float) -> tuple[float, float] | None:
        """Return the interval of a row's average over all data sets, or None where there is none."""
        compared = self.overall(rate)
        if compared is None or not compared.interval_scope or row not in compared.rows:
            return None
        low, high = compared.interval[compared.rows.index(row)].tolist()
        return None if np.isnan(low) else (low, high)
