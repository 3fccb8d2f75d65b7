"""Evidence: which of a board's differences are real, computed once for all sections of a page.

It joins the board's numbers with the archive's scores (`bench.report.evidence.scored`) and compares the
methods (`bench.report.evidence.comparison`). Only complete rows that rank are compared;
settings are never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.errors import ArchiveError
from bench.core.selector import parse
from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, Comparison, Samples, compare_methods
from bench.report.evidence.scored import Resampled, Tested, read_dataset
from bench.report.groups import CellGroup
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.bootstrap import plus_seeds, with_seeds
from bench.stats.delong import auroc_interval
from bench.stats.multiple import holm

NO_ARCHIVE = "the scores are not at hand"


class Evidence:
    """Intervals, tests and groups of a board's methods.

    Parameters
    ----------
    board : Board
    archive : Archive, optional
        Where the scores are. Without it nothing is said that needs them.
    """

    def __init__(self, board: Board, archive: Archive | None = None) -> None:
        self.board = board
        self._archive = archive
        #: Data sets whose cells were not measured alike, and in what they differ.
        self.mixed = different_protocols(board)
        #: Why a data set has no evidence from its images.
        self.why: dict[str, str] = {}
        self.overall = lru_cache(maxsize=None)(self._overall)
        self.within = lru_cache(maxsize=None)(self._within)

    @cached_property
    def blocks(self) -> dict[str, int]:
        """The independent data set that each data set belongs to: variants of one adapter share images."""
        adapters = list(dict.fromkeys(parse(name).name for name in self.board.datasets))
        return {name: adapters.index(parse(name).name) for name in self.board.datasets}

    @cached_property
    def images(self) -> dict[str, dict[float, Resampled]]:
        """What the images of each data set say, by rate; a data set without scores is not there."""
        board = self.board
        ranked = {rate: self.complete(board.columns, rate) for rate in board.rates}
        found = {}
        for name in board.datasets:
            try:
                if name in self.mixed:
                    raise ArchiveError(f"its cells differ in {self.mixed[name]}")
                if self._archive is None:
                    raise ArchiveError(NO_ARCHIVE)
                found[name] = read_dataset(board, self._archive, name, ranked)
            except (ArchiveError, ValueError) as error:
                self.why[name] = str(error)
        return found

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
        """Return the compared of the mean over all data sets; None with no complete method."""
        return self._compared(tuple(self.board.datasets), rate)

    def _within(self, dataset: str, rate: float) -> Comparison | None:
        """Return the compared on one data set."""
        return self._compared((dataset,), rate)

    def _compared(self, names: tuple[str, ...], rate: float) -> Comparison | None:
        columns = [column for name in names for column in self.board.datasets[name]]
        rows = self.complete(columns, rate)
        return compare_methods(self.samples(names, rows, rate)) if rows else None

    def samples(self, names: Sequence[str], rows: tuple[int, ...], rate: float) -> Samples:
        """Return the AUROC of complete rows on some data sets at a rate."""
        values = tuple(self.values(self.board.datasets[name], rows, rate) for name in names)
        drawn = [self.replicates(name, rows, rate) for name in names]
        held = tuple(each for each in drawn if each is not None)
        if len({each.shape[1] for each in held}) > 1:  # large data sets have fewer resamples
            fewest = min(each.shape[1] for each in held)
            held = tuple(each[:, :fewest] for each in held)
        return Samples(
            rows=rows,
            blocks=tuple(self.blocks[name] for name in names),
            values=values,
            replicates=held if len(held) == len(names) else None,
            why=next((f"{name}: {self.why[name]}" for name in names if name in self.why), ""),
            comparable=not any(name in self.mixed for name in names),
        )

    def values(
        self, columns: Sequence[int], rows: Sequence[int], rate: float, seeds: Sequence[int | None] = ()
    ) -> Floats:
        """Return AUROCs of shape (rows, columns, seeds); what has no seeds, or others, repeats its mean.

        The seeds are those of all methods at the rate unless they are given.
        """
        groups = [[self.board.group(row, column, rate) for column in columns] for row in rows]
        at = seeds or self.seeds(rate)
        return np.array([[_by_seed(group, at) for group in line] for line in groups])

    @cache  # noqa: B019 - an Evidence lives as long as the page it is for
    def seeds(self, *rates: float) -> tuple[int | None, ...]:
        """Return the seeds that any method has at some rates; (None,) if nothing depends on one."""
        groups = (
            group.by_seed("auroc") or {} for rate in rates for *_, group in self.board.groups(rate=rate)
        )
        found = {seed for held in groups for seed in held if seed is not None}
        return tuple(sorted(found)) or (None,)

    def replicates(self, name: str, rows: Sequence[int], rate: float) -> Floats | None:
        """Return the resampled means on a data set, shape (rows, draws), or None without scores."""
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.mean[[found.rows.index(row) for row in rows]]

    def rank_interval(self, rate: float) -> dict[int, tuple[float, float]]:
        """Return the 95 % intervals of the mean ranks over all tasks, where they are known."""
        compared = self.overall(rate)
        if compared is None or len(compared.rows) < 2:
            return {}
        if compared.interval_scope == "data sets":
            return dict(zip(compared.rows, map(tuple, compared.rank_interval.tolist()), strict=True))
        held = [self.images[name][rate] for name in self.board.datasets if rate in self.images.get(name, {})]
        if compared.interval_scope != "images" or len(held) < len(self.board.datasets):
            return {}
        draws = min(each.ranks.shape[1] for each in held)
        total = sum(each.ranks[:, :draws] * len(each.tasks) for each in held)
        low, high = np.quantile(total / len(self.board.columns), [0.025, 0.975], axis=1)
        return dict(zip(held[0].ranked, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    def task(self, column: int, rate: float) -> Tested | None:
        """Return DeLong's tests of one task, or None without scores."""
        name = self.board.plan.columns[column].dataset
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.tasks[column]

    def interval(self, row: int, columns: tuple[int, ...], rate: float) -> tuple[float, float] | None:
        """Return the interval of a row's mean AUROC over columns of one data set: over images and seeds.

        None without scores, or where the columns are some but not all of several tasks.
        """
        name = self.board.plan.columns[columns[0]].dataset
        found = self.images.get(name, {}).get(rate)
        if found is None or row not in found.rows:
            return None
        if len(columns) == 1:
            return self.task_interval(row, columns[0], rate)
        if set(columns) != set(self.board.datasets[name]):
            return None
        seeds = self.values(columns, [row], rate).mean(axis=1)[0]
        held = with_seeds(seeds, found.mean[found.rows.index(row)])
        return max(0.0, held.low), min(1.0, held.high)

    def overall_interval(self, row: int, rate: float) -> tuple[float, float] | None:
        """Return the interval of a row's average over all data sets, or None where there is none."""
        compared = self.overall(rate)
        if compared is None or not compared.interval_scope or row not in compared.rows:
            return None
        low, high = compared.interval[compared.rows.index(row)].tolist()
        return low, high

    def task_interval(self, row: int, column: int, rate: float) -> tuple[float, float] | None:
        """Return the interval of an AUROC: DeLong's variance and that over seeds, on the logit scale."""
        tested = self.task(column, rate)
        if tested is None or row not in tested.rows:
            return None
        at = tested.rows.index(row)
        held = _by_seed(self.board.group(row, column, rate), self.seeds(rate))
        variance, freedom = plus_seeds(float(tested.variance[at]), held)
        # The quantile of Student's t in the place of the normal one.
        wider = (stdtrit(freedom, 0.975) / stdtrit(np.inf, 0.975)) ** 2
        low, high = auroc_interval(
            float(tested.auroc[at]), variance * wider, anomalous=tested.anomalous, normal=tested.normal
        )
        return None if np.isnan(low) else (low, high)

    def task_p(self, first: int, second: int, column: int, rate: float) -> float:
        """Return the p value of two rows' difference on a task: DeLong's paired test and the seeds' variance.

        1 where nothing differs; NaN without scores.
        """
        tested = self.task(column, rate)
        if tested is None or first not in tested.rows or second not in tested.rows:
            return float("nan")
        a, b = tested.rows.index(first), tested.rows.index(second)
        seeds = self.values([column], [first, second], rate)[:, 0]
        variance, freedom = plus_seeds(float(tested.se[a, b]) ** 2, (seeds[0] - seeds[1]).tolist())
        difference = abs(float(tested.difference[a, b]))
        if difference < 1e-13 or variance == 0:
            return 1.0 if difference < 1e-13 else 0.0
        return float(2 * stdtr(freedom, -difference / np.sqrt(variance)))

    def ties_to_best(self, rows: Sequence[int], column: int, rate: float) -> list[bool]:
        """Return which rows are not significantly different from the best of them on a task; not itself.

        By DeLong's paired test with Holm's correction for those given.
        """
        tested = self.task(column, rate)
        held = [row for row in rows if tested is not None and row in tested.rows]
        if len(held) < 2:
            return [False] * len(rows)
        auroc = {row: self.board.group(row, column, rate).mean("auroc") or 0.0 for row in held}
        top = max(held, key=lambda row: auroc[row])
        others = [row for row in held if row != top]
        adjusted = holm([self.task_p(row, top, column, rate) for row in others])
        ties = {row for row, p in zip(others, adjusted, strict=True) if p > ALPHA}
        return [row in ties for row in rows]


def _by_seed(group: CellGroup, seeds: Sequence[int | None]) -> list[float]:
    """Return a complete group's AUROC for each seed; its mean for all of them where it has not just these."""
    held = group.by_seed("auroc") or {}
    if set(held) == set(seeds):
        return [held[seed] for seed in seeds]
    return [mean(held.values())] * len(seeds)


def different_protocols(board: Board) -> dict[str, str]:
    """Return the data sets whose cells do not mean the same at one rate, and in what they differ."""
    found = {}
    for name, columns in board.datasets.items():
        differ = []
        for rate in board.rates:
            cells = [
                cell for _, at, _, group in board.groups(rate=rate) if at in columns for cell in group.cells
            ]
            ways: tuple[tuple[str, Callable[[Cell], object]], ...] = (
                ("protocol version", lambda cell: cell.protocol),
                ("copy of the data", lambda cell: cell.data_fingerprint),
                ("meaning of contamination", _meaning),
            )
            differ += [what for what, of in ways if len({of(cell) for cell in cells}) > 1]
        if differ:
            found[name] = ", ".join(dict.fromkeys(differ))
    return found


def _meaning(cell: Cell) -> object:
    how = cell.contamination
    return (how.of, how.mode, how.source, how.draw, how.shortage, how.reserve)
