"""What test images leave open about a difference between two sides that were tested on the same images.

Each image adds its part to the AUROC of either side (`bench.stats.delong`); the difference varies over images
as the sum of the differences of its parts does. An image that several tasks share counts once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.truth import Truth
from bench.report.compare.paired import PairedTask
from bench.report.evidence.scored import ABSENT, TestImages
from bench.stats import Floats
from bench.stats.delong import Strata, image_parts, least_p, variance_over_images
from bench.stats.placements import placements
from bench.stats.variance import Variance

#: Half an image of a test set that is not known.
MARGIN = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class OverImages:
    """What is known of one difference.

    Attributes
    ----------
    variance : Variance or None
        Shape (); None where nothing is known.
    least_p : float
        The least p value that so few images allow.
    margin : float
        Half an image.
    why : str
        Why nothing is known.
    """

    variance: Variance | None = None
    least_p: float = 0.0
    margin: float = MARGIN
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The images of some tasks; methods with the same test sets share them."""

    images: TestImages
    strata: Strata
    least_p: float


class PairedImages:
    """The test images and scores of two sides.

    Parameters
    ----------
    before, after : Archive or None
        None for a CSV.
    metric : str
    """

    def __init__(self, before: Archive | None, after: Archive | None, metric: str) -> None:
        self._before, self._after, self._metric = before, after, metric
        self._truths: dict[str, Truth] = {}
        self._read: set[tuple[int, str]] = set()
        self._known: dict[tuple[tuple[str, str], ...], _Known] = {}

    def of(self, tasks: Sequence[PairedTask], weights: Floats) -> tuple[list[OverImages], OverImages]:
        """Return what is known of each task of a method, and of their mean with these weights."""
        whys = {at: why for at, task in enumerate(tasks) if (why := self._why(task))}
        there = [at for at in range(len(tasks)) if at not in whys]
        found = {at: OverImages(why=why) for at, why in whys.items()}
        total: Floats | None = None
        known = self._images([tasks[at] for at in there]) if there else None
        for column, at in enumerate(there):
            assert known is not None, "there are tasks"
            try:
                parts = self._parts(tasks[at], known.images)
            except (ArchiveError, ValueError) as error:
                found[at] = OverImages(why=str(error))
                continue
            found[at] = _of_task(parts, known.images, column)
            part = weights[at] * parts
            total = part if total is None else total + part
        ordered = [found[at] for at in range(len(tasks))]
        if why := next((each.why for each in ordered if each.why), ""):
            return ordered, OverImages(why=why)
        assert known is not None
        assert total is not None
        return ordered, OverImages(variance_over_images(total[None], known.strata)[0], known.least_p)

    def _why(self, task: PairedTask) -> str:
        """Return why a task has no images of both sides, empty where it has; read their truths."""
        if self._metric != "auroc":
            return f"there is no test of {self._metric} over images"
        if self._before is None or self._after is None:
            return "no scores: at least one side is a CSV"
        names: list[set[str]] = []
        for which, (archive, side) in enumerate(((self._before, task.before), (self._after, task.after))):
            records = [each.record for each in side.values() if each.record is not None]
            names.append({record.truth for record in records})
            if "" in names[-1]:
                return "no labels were kept with the scores"
            try:
                for record in records:
                    self._read_truth(which, archive, record)
            except (ArchiveError, ValueError) as error:
                return str(error)
        return "" if names[0] == names[1] else "the test sets differ"

    def _read_truth(self, side: int, archive: Archive, record: Record) -> None:
        """Read what is known of a record's test images, once from each side: one may know their content."""
        if (side, record.truth) not in self._read:
            truth = archive.truth(record)
            if truth.images is not None or record.truth not in self._truths:
                self._truths[record.truth] = truth
            self._read.add((side, record.truth))

    def _images(self, tasks: Sequence[PairedTask]) -> _Known:
        of = [sorted({each.record.truth for each in task.before.values() if each.record}) for task in tasks]
        key = tuple((task.place.dataset, "/".join(names)) for task, names in zip(tasks, of, strict=True))
        if key not in self._known:
            truths = {name: self._truths[name] for names in of for name in names}
            images = TestImages(truths, dict(enumerate(of)))
            labels = np.stack([images.labels(column) for column in range(len(tasks))])
            least = _least_p(labels, [task.place.dataset for task in tasks])
            self._known[key] = _Known(images, images.strata(range(len(tasks))), least)
        return self._known[key]

    def _parts(self, task: PairedTask, images: TestImages) -> Floats:
        """Return what each image adds to the difference, shape (images,)."""
        parts = np.zeros(images.n)
        if task.identical:
            return parts
        by_truth: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
        for sign, archive, side in ((-1, self._before, task.before), (1, self._after, task.after)):
            for each in side.values():
                assert archive is not None
                assert each.record is not None
                scores = archive.scores(each.record)
                by_truth.setdefault(each.record.truth, []).append((sign / len(side), scores))
        for name, held in by_truth.items():
            labels = self._truths[name].labels
            placed = placements(labels, np.stack([scores for _, scores in held]))
            shares = np.array([share for share, _ in held])
            np.add.at(parts, images.of_truth[name], shares @ image_parts(placed, labels))
        return parts


def _of_task(parts: Floats, images: TestImages, column: int) -> OverImages:
    labels = images.labels(column)
    here = labels != ABSENT
    strata = labels[here].astype(np.int64)
    counts = np.bincount(strata, minlength=2).tolist()
    if min(counts) < 2:
        return OverImages(why="fewer than two images of a class")
    variance = variance_over_images(parts[None, here], strata)[0]
    return OverImages(variance, least_p(counts[1], counts[0]), 0.5 / max(counts))


def _least_p(labels: NDArray[np.uint8], datasets: Sequence[str]) -> float:
    """Return the least p value that an exact test of the images of some tasks has.

    An image counts once, as what it is in the first of the tasks that have it.
    """
    first = (labels != ABSENT).argmax(axis=0)
    found = 2.0
    for name in set(datasets):
        of = np.array([each == name for each in datasets])[first]
        counts = np.bincount(labels[first[of], np.flatnonzero(of)], minlength=2).tolist()
        if min(counts):
            found *= least_p(counts[1], counts[0]) / 2
    return min(1.0, found) if math.isfinite(found) else 0.0
