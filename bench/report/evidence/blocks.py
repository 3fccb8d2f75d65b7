"""What a board's test images say: which data sets share them, and what each adds to the methods' means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.errors import ArchiveError
from bench.core.selector import parse
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.samples import ImageParts
from bench.report.evidence.scored import (
    DatasetImages,
    Tested,
    TestImages,
    image_keys,
    read_dataset,
    truths_of,
)
from bench.stats import Floats
from bench.stats.delong import least_p

NO_ARCHIVE = "the scores are not at hand"


class BoardImages:
    """The test images of a board's data sets.

    Parameters
    ----------
    board : Board
    archive : Archive, optional
        Where the scores are. Without it nothing is said that needs them.
    """

    def __init__(self, board: Board, archive: Archive | None = None) -> None:
        self.board = board
        self.archive = archive
        #: Data sets whose cells were not measured alike, and in what they differ.
        self.mixed = different_protocols(board)
        #: Why a data set has no evidence from its images.
        self.why: dict[str, str] = {}

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
                if self.archive is None:
                    raise ArchiveError(NO_ARCHIVE)
                found[name] = truths_of(self.board, self.archive, columns)
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
            assert self.archive is not None, "there are truths"
            try:
                images = self._test_images[self.blocks[name]]
                found[name] = read_dataset(self.board, self.archive, name, images)
            except (ArchiveError, ValueError) as error:
                self.why[name] = str(error)
        return found

    def parts(self, name: str, rows: Sequence[int], rate: float) -> Floats | None:
        """Return what images add to the means on a data set, shape (rows, images), or None without scores."""
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.parts[[found.rows.index(row) for row in rows]]

    def task(self, column: int, rate: float) -> Tested | None:
        """Return what the images of one task say, or None without scores."""
        name = self.board.plan.columns[column].dataset
        found = self.images.get(name, {}).get(rate)
        return None if found is None else found.tasks[column]

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
