"""Checks every image and mask of a data set: damage, duplicates, differences from the official set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.data.copies import MissingData
from bench.data.dataset import Dataset, OneVsRest
from bench.data.fingerprint import reading_anew
from bench.data.inspection import InspectionSet
from bench.data.masks import grey_values, mask_values
from bench.data.official import CLASSES, CONTENT, Findings, compare_content, compare_files
from bench.data.source import Source
from bench.data.task import NORMAL_TYPE, Task

BLOCK = 256
#: Examples of each kind that are named; the rest are counted.
EXAMPLES = 5

#: Digest of each image or mask, in the order of its split; None where it cannot be decoded.
Digests = Sequence[bytes | None]


def check(dataset: Dataset, name: str = "") -> Findings:
    """Check a data set: counts, every image and mask, duplicates, fingerprints.

    Counts are compared with the official ones; every image and mask is decoded; train and test images are
    compared by the sha256 of their pixels, official files by their MD5, and splits by their content, where an
    official fingerprint is known (`bench.data.official`).

    Every file is read, whatever is kept of it. A task that cannot be opened is noted, and the others are
    checked all the same.

    Parameters
    ----------
    name : str
        The adapter's name, by which official fingerprints are known.

    Raises
    ------
    DataError
        The data set is missing, or not even its tasks can be named.
    """
    with reading_anew() as stale:
        found = _check(dataset, name)
    changed = [
        f"{file}: its content has changed, but neither its size nor its times; results made since are wrong"
        for file in dict.fromkeys(stale)
    ]
    return replace(found, notes=(*found.notes, *_shortened(changed, "files have changed unnoticed")))


def _check(dataset: Dataset, name: str) -> Findings:
    differences = _differences(dataset)
    checked = _check_tasks(dataset)
    files, official_names = _files(dataset, name)
    notes = [*differences, *checked.notes, *files.notes]
    facts = [*dataset.passed_over(), *checked.facts, *files.facts]
    official = bool(checked.splits)
    for title, (source, labels, masks) in checked.splits.items():
        split = title.rsplit("/", 1)[-1]
        compared = compare_content(
            *(title, checked.pixels[source.fingerprint], labels, masks),
            known=CONTENT.get(name, {}).get(split),
            from_official_files=_names(dataset, split) <= official_names,
            counts=_counts(dataset, title, len(labels), not differences),
        )
        notes += compared.notes
        facts += compared.facts
        official &= compared.official
    notes = list(dict.fromkeys(notes))
    return Findings(tuple(notes), tuple(facts), official)


def _check_tasks(dataset: Dataset) -> _Checked:
    checked = _Checked()
    for name in dataset.tasks():
        try:
            task = dataset.task(name)
        except MissingData:
            raise
        except DataError as error:
            checked.notes.append(str(error))
        else:
            checked.add(dataset, task)
    if isinstance(dataset, OneVsRest) and checked.pixels:
        for split in ("train", "test"):
            source, numbers = dataset.split(split)
            checked.splits[source.name] = (source, [dataset.classes[number] for number in numbers], ())
    return checked


def _counts(dataset: Dataset, title: str, found: int, nothing_differs: bool) -> str:
    """Return in words how the number of images in one split compares with the official one."""
    *_, task, split = title.split("/")
    expected = dataset.expected.get(task, dataset.expected.get(split))
    if isinstance(expected, int) and dataset.counted == "images":
        agrees = found == expected
    elif isinstance(expected, tuple):
        agrees = found == (expected[0] if split == "train" else sum(expected[1:]))
    elif dataset.expected:
        agrees = nothing_differs
    else:
        return "no official counts are known either"
    return "counts agree" if agrees else "counts differ"


def _differences(dataset: Dataset) -> list[str]:
    try:
        return list(dataset.differences())
    except MissingData:
        raise
    except DataError as error:
        return [str(error)]


def _files(dataset: Dataset, name: str) -> tuple[Findings, frozenset[str]]:
    """Compare the official files among those of a copy, where torchvision publishes their MD5."""
    class_name, root = dataset.torchvision or CLASSES.get(name, ""), dataset.place()
    if not class_name or root is None:
        return Findings(), frozenset()
    try:
        return compare_files(root, class_name)
    except DataError as error:
        return Findings(notes=(str(error),)), frozenset()


def _names(dataset: Dataset, split: str) -> frozenset[str]:
    """Return the names of the files that hold a split; one that no file has where that is not known."""
    if isinstance(dataset, OneVsRest) and dataset.layouts:
        return frozenset(dataset.copy.files.get(split, ("",)))
    return frozenset(("",))


class _Checked:
    """What the tasks checked so far have shown."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.facts: list[str] = []
        #: By a source's fingerprint.
        self.pixels: dict[str, Digests] = {}
        #: Source, labels and masks of each split, by its name.
        self.splits: dict[str, tuple[Source, Sequence[str], Digests]] = {}
        self._compared: set[tuple[str, str]] = set()

    def add(self, dataset: Dataset, task: Task) -> None:
        """Check one task of a data set."""
        for source in task.sources:
            if source.fingerprint not in self.pixels:
                self.pixels[source.fingerprint], damaged = _digests(source)
                self.notes += damaged
        train, test = task.sources[:2]
        if (pair := (train.fingerprint, test.fingerprint)) not in self._compared:
            self._compared.add(pair)
            self.notes += _in_both(train, test, *(self.pixels[each] for each in pair))
        masks, empty = self._masks(task)
        self._empty(task, empty, dataset.known_empty_masks)
        if isinstance(dataset, InspectionSet):
            self._grey(dataset, task.name)
        if not isinstance(dataset, OneVsRest):  # whose tasks share their splits
            self.notes += _two_labels(test, self.pixels[test.fingerprint], task.test_types)
            self.splits[train.name] = (train, [NORMAL_TYPE] * len(train), ())
            self.splits[test.name] = (test, task.test_types, masks)

    def _masks(self, task: Task) -> tuple[Digests, list[int]]:
        """Return the digest of each mask and the rows of anomalies without one; note what is wrong."""
        if task.masks is None:
            return (), []
        found: list[bytes | None] = []
        damaged, empty = [], []
        for row in range(len(task.masks)):
            try:
                mask = task.masks[row]
            except DataError as error:
                damaged.append(str(error))
                found.append(None)
            else:
                found.append(_digest(mask))
                if task.test_labels[row] and not mask.any():
                    empty.append(row)
        self.notes += _shortened(damaged, "masks cannot be used")
        return found, empty

    def _empty(self, task: Task, rows: Sequence[int], known: Sequence[str]) -> None:
        """Note the anomalies whose mask is empty but should not be."""
        names = [Path(task.sources[1].where(row)).stem for row in rows]
        if new := [name for name in names if name not in known]:
            self.notes.append(f"{task.name}: {len(new)} anomalies have an empty mask, such as {new[0]}")
        if old := len(names) - len(new):
            self.facts.append(f"{task.name}: {old} anomalies have an empty mask, as in the official set")

    def _grey(self, dataset: InspectionSet, name: str) -> None:
        """Say which masks have grey edges: how large their defects are depends on where they are cut."""
        grey = []
        for file in dataset.mask_files(name):
            try:
                if grey_values(mask_values(file)):
                    grey.append(file)
            except DataError:
                continue  # noted already
        if not grey:
            return
        said = f"{name}: {len(grey)} masks have grey edges (values from 1 to 254), such as {grey[0]}"
        if dataset.mask_above:
            self.facts.append(f"{said}; defective is what is above {dataset.mask_above}")
        else:
            self.notes.append(
                f"{said}; all above 0 counts as defective, so that defects are too large: cut them at 127"
            )


def _digests(source: Source) -> tuple[Digests, list[str]]:
    """Return the digest of each image, and what cannot be decoded."""
    found: list[bytes | None] = [None] * len(source)
    damaged: list[str] = []
    for start in range(0, len(source), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(source)))
        for row, pixels in _readable(source, rows, damaged):
            found[row] = _digest(pixels)
    return found, _shortened(damaged, "images cannot be decoded")


def _digest(values: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    shape = np.array(values.shape, "<i8").tobytes()
    return hashlib.sha256(shape + np.ascontiguousarray(values).tobytes()).digest()


def _readable(
    source: Source, rows: NDArray[np.int64], damaged: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows that can be read; one by one where a block cannot."""
    try:
        yield from zip(rows.tolist(), source.read(rows), strict=True)
        return
    except DataError:
        pass
    for row in rows.tolist():
        try:
            pixels = source.read(np.array([row]))[0]
        except DataError as error:
            damaged.append(str(error))
        else:
            yield row, pixels


def _in_both(train: Source, test: Source, ours: Digests, theirs: Digests) -> list[str]:
    # Reversed, so that the first of several rows that hold one image stays.
    first = [
        {d: row for row, d in reversed(list(enumerate(digests))) if d is not None}
        for digests in (ours, theirs)
    ]
    shared = sorted((first[0][digest], first[1][digest]) for digest in first[0].keys() & first[1].keys())
    notes = [f"{train.where(a)} and {test.where(b)} are the same image" for a, b in shared]
    return _shortened(notes, f"images are in {train.name} and in {test.name}")


def _two_labels(test: Source, digests: Digests, types: Sequence[str]) -> list[str]:
    """Return which images of a test split are there as normal and as anomalous."""
    first: dict[tuple[bytes, bool], int] = {}
    for row, digest in enumerate(digests):
        if digest is not None:
            first.setdefault((digest, types[row] == NORMAL_TYPE), row)
    pairs = [
        (row, first[digest, False])
        for (digest, good), row in first.items()
        if good and (digest, False) in first
    ]
    notes = [f"{test.where(a)} (good) and {test.where(b)} ({types[b]}) are the same image" for a, b in pairs]
    return _shortened(notes, "images are there as normal and as anomalous")


def _shortened(notes: list[str], what: str) -> list[str]:
    more = len(notes) - EXAMPLES
    return [*notes[:EXAMPLES], f"… and {more} more {what}"] if more > 0 else notes
