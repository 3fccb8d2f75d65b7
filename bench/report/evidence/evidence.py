"""Evidence: which of a board's differences are real, computed once for all sections of a page.

It joins the board's numbers with the archive's scores (`bench.report.evidence.scored`) and compares the
methods (`bench.report.evidence.comparison`). Only complete rows that rank are compared;
settings are never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache
from typing import Literal

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.errors import ArchiveError
from bench.core.selector import parse
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.comparison import (
    ALPHA,
    Comparison,
    ImageParts,
    Samples,
    compare_methods,
    on_images,
)
from bench.report.evidence.scored import (
    DatasetImages,
    Tested,
    TestImages,
    image_keys,
    read_dataset,
    truths_of,
)
from bench.report.groups import CellGroup
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.delong import least_p
from bench.stats.interval import perfect_interval, share_interval
from bench.stats.multiple import ROPE, holm_pairs, possible_bests, significantly_better
from bench.stats.seeds import moderated_by_task, seeds_needed, seeds_needed_by_task
from bench.stats.variance import Variance

NO_ARCHIVE = "the scores are not at hand"
#: Whether a method may be the best of a column: it may, it is significantly worse, or it cannot be told.
Mark = Literal["possible", "worse", "untold"]


class Evidence:
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
        self.board = board
        self.rope = rope
        self._archive = archive
        #: Data sets whose cells were not measured alike, and in what they differ.
        self.mixed = different_protocols(board)
        #: Why a data set has no evidence from its images.
        self.why: dict[str, str] = {}
        self.overall = lru_cache(maxsize=None)(self._overall)
        self.within = lru_cache(maxsize=None)(self._within)

    @cached_property
    def blocks(self) -> dict[str, int]:
        """The independent data set that each data set belongs to: those that share test images are one.

        Where the images are not at hand, variants of one adapter count as one.
        """
        names = list(self.board.datasets)
        of = dict(zip(names, range(len(names)), strict=True))
        known = {name: self._keys[name] for name in names if name in self._keys}
        for at, name in enumerate(names):
            for other in names[:at]:
                both = name in known and other in known
                alike = parse(name).name == parse(other).name
                if len(np.intersect1d(known[name], known[other])) if both else alike:
                    of = {each: of[other] if block == of[name] else block for each, block in of.items()}
        numbers = list(dict.fromkeys(of.values()))
        return {name: numbers.index(block) for name, block in of.items()}

    @cached_property
    def _truths(self) -> dict[str, dict[int, dict[str, Truth]]]:
        """What is known of the test images of each data set, by column and name."""
        found = {}
        for name, columns in self.board.datasets.items():
            try:
                if name in self.mixed:
                    raise ArchiveError(f"its cells differ in {self.mixed[name]}")
                if self._archive is None:
                    raise ArchiveError(NO_ARCHIVE)
                found[name] = truths_of(self.board, self._archive, columns)
            except (ArchiveError, ValueError) as error:
                self.why[name] = str(error)
        return found

    @cached_property
    def _keys(self) -> dict[str, Floats]:
        """The test images of each data set as numbers."""
        every = [truth for of in self._truths.values() for held in of.values() for truth in held.values()]
        keys = iter(image_keys(every))
        return {
            name: np.unique(np.concatenate([next(keys) for held in of.values() for _ in held]))
            for name, of in self._truths.items()
        }

    @cached_property
    def _test_images(self) -> dict[int, TestImages]:
        """The test images of each block of data sets."""
        found = {}
        for block in set(self.blocks.values()):
            columns = {
                column: held
                for name, of in self._truths.items()
                if self.blocks[name] == block
                for column, held in of.items()
            }
            truths = {name: truth for held in columns.values() for name, truth in held.items()}
            if truths:
                found[block] = TestImages(truths, {column: list(held) for column, held in columns.items()})
        return found

    @cached_property
    def images(self) -> dict[str, dict[float, DatasetImages]]:
        """What the images of each data set say, by rate; a data set without scores is not there."""
        found = {}
        for name in self._truths:
            assert self._archive is not None, "there are truths"
            try:
                images = self._test_images[self.blocks[name]]
                found[name] = read_dataset(self.board, self._archive, name, images)
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
        )

    def _blocks_of(self, names: Sequence[str]) -> list[int]:
        return list(dict.fromkeys(self.blocks[name] for name in names))

    def _block_parts(self, names: Sequence[str], parts: dict[str, Floats | None], block: int) -> ImageParts:
        """Return what a block's images add to the mean over the data sets."""
        of = [name for name in names if self.blocks[name] == block]
        total = sum(held for name in of if (held := parts[name]) is not None) / len(names)
        columns = [column for name in of for column in self.board.datasets[name]]
        return ImageParts(np.asarray(total), self._strata(block, tuple(columns)))

    @cache  # noqa: B019 - an Evidence lives as long as the page it is for
    def _strata(self, block: int, columns: tuple[int, ...]) -> np.ndarray:
        return self._test_images[block].strata(columns)

    def _single_image(self, columns: Sequence[int], rates: Sequence[float]) -> str:
        """Return which task has a single image of a class, so that how images vary cannot be told."""
        for column in columns:
            for rate in rates:
                tested = self.task(column, rate)
                if tested is not None and min(tested.anomalous, tested.normal) < 2:
                    what = "anomalous" if tested.anomalous < 2 else "normal"
                    return f"{self.board.plan.columns[column].task} has a single {what} test image"
        return ""

    @cache  # noqa: B019
    def _least_p_of(self, columns: tuple[int, ...]) -> float:
        """Return the least p value that an exact test of the images of some tasks has."""
        total = 2.0
        for block in {self.blocks[self.board.plan.columns[column].dataset] for column in columns}:
            images = self._test_images[block]
            of = [at for at in columns if self.blocks[self.board.plan.columns[at].dataset] == block]
            labels = np.stack([images.labels(column) for column in of])
            # An image counts once, as what it is in the first of the tasks that have it.
            first = labels[(labels != 2).argmax(axis=0), np.arange(images.n)]
            anomalous, normal = int((first == 1).sum()), int((first == 0).sum())
            total *= least_p(anomalous, normal) / 2 if min(anomalous, normal) else 1.0
        return min(1.0, total)

    def _least_p(self, columns: Sequence[int]) -> float:
        return self._least_p_of(tuple(columns))

    def values(
        self, columns: Sequence[int], rows: Sequence[int], rate: float, seeds: Sequence[int | None] = ()
    ) -> Floats:
        """Return AUROCs of shape (rows, columns, seeds); what has no seeds, or others, repeats its mean.

        The seeds are those of all methods at the rate unless they are given.
        """
        groups = [[self.board.group(row, column, rate) for column in columns] for row in rows]
        at = seeds or self.seeds(rate)
        return np.array([[_by_seed(group, at) for group in line] for line in groups])

    @cache  # noqa: B019
    def seeds(self, *rates: float) -> tuple[int | None, ...]:
        """Return the seeds that any method has at some rates; (None,) if nothing depends on one."""
        return self.seeds_of(range(len(self.board.plan.rows)), *rates) or (None,)

    def seeds_of(self, rows: Sequence[int], *rates: float) -> tuple[int, ...]:
        """Return the seeds, or draws of anomalies, that any of these rows has at some rates."""
        groups = (
            group.by_seed("auroc") or {}
            for rate in rates
            for row, *_, group in self.board.groups(rate=rate)
            if row in rows
        )
        return tuple(sorted({seed for held in groups for seed in held if seed is not None}))

    def untold(self, row: int, columns: Sequence[int], rates: Sequence[float], *, by_task: int = 0) -> int:
        """Return how many seeds it takes before anything can be told of a row; 0 where it can be.

        One draw of anomalies for all methods is a condition of the comparison, not a seed: what is told holds
        for this draw.

        Parameters
        ----------
        row : int
        columns : sequence of int
            Those that a mean is over.
        rates : sequence of float
        by_task : int
            Of a single task with so many in its data set.
        """
        needed = seeds_needed_by_task(by_task) if by_task else seeds_needed(len(columns))
        every = self.seeds(*rates)
        for rate in rates:
            for column in columns:
                group = self.board.group(row, column, rate)
                of = {seed for seed in group.by_seed("auroc") or {} if seed is not None}
                random = any(cell.seed is not None for cell in group.cells)
                if (random or len(of) > 1) and (len(of) < needed or of != set(every)):
                    return needed
        return 0

    def parts(self, name: str, rows: Sequence[int], rate: float) -> Floats | None:
        """Return what images add to the means on a data set, shape (rows, images), or None without scores."""
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.parts[[found.rows.index(row) for row in rows]]

    def task(self, column: int, rate: float) -> Tested | None:
        """Return what the images of one task say, or None without scores."""
        name = self.board.plan.columns[column].dataset
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.tasks[column]

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

    def task_interval(self, row: int, column: int, rate: float) -> tuple[float, float] | None:
        """Return the interval of an AUROC: DeLong's variance and that over seeds, on the logit scale."""
        tested = self.task(column, rate)
        if tested is None or row not in tested.rows or self.untold_on_task(row, column, rate):
            return None
        at = tested.rows.index(row)
        auroc, variance = (
            tested.auroc[at : at + 1],
            tested.own[at : at + 1] + self._seeds_on(row, column, rate),
        )
        if np.isnan(variance.value[0]):
            return None
        low, high = share_interval(auroc, variance)[0].tolist()
        if not np.isnan(low):
            return low, high
        low, high = perfect_interval(anomalous=tested.anomalous, normal=tested.normal)
        return (low, high) if auroc[0] > 0.5 else (1 - high, 1 - low)

    def untold_on_task(self, row: int, column: int, rate: float) -> int:
        """Return how many seeds it takes before anything can be told of a row on a task; 0 if it can be."""
        tasks = len(self.board.datasets[self.board.plan.columns[column].dataset])
        return self.untold(row, [column], [rate], by_task=tasks)

    @cache  # noqa: B019
    def _seeds_of(self, row: int, dataset: str, rate: float) -> Variance:
        """Return the variance over seeds of a row on each task of a data set, with the help of the others."""
        columns = self.board.datasets[dataset]
        tested = [self.task(column, rate) for column in columns]
        margins = [0.5 / max(each.anomalous, each.normal) if each else 1e-3 for each in tested]
        return moderated_by_task(self.values(columns, [row], rate)[0], margins)

    def _seeds_on(self, row: int, column: int, rate: float) -> Variance:
        """Return the variance over seeds of a row's AUROC on a task, shape (1,)."""
        name = self.board.plan.columns[column].dataset
        at = self.board.datasets[name].index(column)
        return self._seeds_of(row, name, rate)[at : at + 1]

    def task_marks(self, rows: Sequence[int], column: int, rate: float) -> list[Mark | None]:
        """Return whether each row may be the best on a task, None where there are no scores.

        By the paired test of all pairs (DeLong's variance and that over seeds) with Holm's correction.
        """
        tested = self.task(column, rate)
        held = [row for row in rows if tested is not None and row in tested.rows]
        if tested is None or len(held) < 2:
            return [None] * len(rows)
        at = [tested.rows.index(row) for row in held]
        seeds = [self._seeds_on(row, column, rate) for row in held]
        value, spread = (np.concatenate([getattr(each, of) for each in seeds]) for of in ("value", "spread"))
        both = Variance(value[:, None] + value, spread[:, None] + spread)
        pairs = tested.pairs[np.ix_(at, at)] + both
        told = np.array([not self.untold_on_task(row, column, rate) for row in held])
        known = told[:, None] & told & ~np.isnan(pairs.value)
        difference = tested.auroc[at][:, None] - tested.auroc[at]
        p = pairs.p(difference, least=least_p(tested.anomalous, tested.normal))
        better = significantly_better(difference, holm_pairs(np.where(known, p, np.nan)), ALPHA)
        may, known = possible_bests(better), known.sum(axis=1) > 1
        marks: dict[int, Mark] = {
            row: "untold" if not known[each] else "possible" if may[each] else "worse"
            for each, row in enumerate(held)
        }
        return [marks.get(row) for row in rows]


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
