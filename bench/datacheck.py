"""Looks at every picture and mask of a data set for damage, duplicates and unexpected counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from bench.copies import MissingData
from bench.dataset import Dataset
from bench.errors import DataError
from bench.source import Source
from bench.task import Task

BLOCK = 256
#: So many examples of one kind are named, the rest is counted.
EXAMPLES = 5


def check(dataset: Dataset) -> list[str]:
    """Return what is wrong or unexpected, one sentence each; an empty list means that all is well.

    Counts are compared with the official ones; every picture and every mask is decoded; pictures are
    compared by the sha256 of their pixels.

    A task that cannot be opened is noted, and the others are looked at all the same.

    Raises
    ------
    DataError
        The data set is missing, or not even its tasks can be named.
    """
    names = dataset.tasks()
    notes = _differences(dataset)
    digests: dict[str, dict[bytes, int]] = {}
    compared: set[tuple[str, ...]] = set()
    for name in names:
        try:
            task = dataset.task(name)
        except MissingData:
            raise
        except DataError as error:
            notes.append(str(error))
            continue
        for source in task.sources:
            if source.fingerprint not in digests:
                digests[source.fingerprint], damaged = _digests(source)
                notes += damaged
        pair = tuple(source.fingerprint for source in task.sources[:2])
        if len(pair) == 2 and pair not in compared:
            compared.add(pair)
            notes += _in_both(task.sources[0], task.sources[1], digests)
        notes += _masks(task)
    return list(dict.fromkeys(notes))


def _differences(dataset: Dataset) -> list[str]:
    try:
        return list(dataset.differences())
    except MissingData:
        raise
    except DataError as error:
        return [str(error)]


def _digests(source: Source) -> tuple[dict[bytes, int], list[str]]:
    """Return the row of each distinct picture by its pixels' hash, and what cannot be decoded."""
    found: dict[bytes, int] = {}
    damaged: list[str] = []
    for start in range(0, len(source), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(source)))
        for row, pixels in _readable(source, rows, damaged):
            shape = np.array(pixels.shape, "<i8").tobytes()
            found.setdefault(hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).digest(), row)
    return found, _shortened(damaged, "pictures cannot be decoded")


def _readable(source: Source, rows: np.ndarray, damaged: list[str]) -> Iterator[tuple[int, np.ndarray]]:
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


def _in_both(train: Source, test: Source, digests: dict[str, dict[bytes, int]]) -> list[str]:
    ours, theirs = digests[train.fingerprint], digests[test.fingerprint]
    shared = sorted((ours[digest], theirs[digest]) for digest in ours.keys() & theirs.keys())
    notes = [f"{train.where(a)} and {test.where(b)} are the same picture" for a, b in shared]
    return _shortened(notes, f"pictures are in {train.name} and in {test.name}")


def _masks(task: Task) -> list[str]:
    if task.masks is None:
        return []
    damaged, empty = [], 0
    for row in range(len(task.masks)):
        try:
            mask = task.masks[row]
        except DataError as error:
            damaged.append(str(error))
        else:
            empty += bool(task.test_labels[row]) and not mask.any()
    notes = _shortened(damaged, "masks cannot be used")
    return [*notes, f"{task.name}: {empty} anomalies have an empty mask"] if empty else notes


def _shortened(notes: list[str], what: str) -> list[str]:
    more = len(notes) - EXAMPLES
    return [*notes[:EXAMPLES], f"… and {more} more {what}"] if more > 0 else notes
