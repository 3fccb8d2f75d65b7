"""What a contaminated train set really holds: counted from the identities of its images, none decoded.

Two images are the same if their files are, by sha256, or where these are not known if source and row are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.contaminate import AnomalyPool, pool_of
from bench.data.copied import ChangedCopies
from bench.data.images import Images, SealedView
from bench.data.task import Task


class AuditedImage(NamedTuple):
    """One image of a train or test set.

    Attributes
    ----------
    image : hashable
        Which it is; of a changed copy, which it was made of.
    anomalous : bool
    type : str
        Defect type or class; may be empty.
    changed : bool
        It is a jittered or moved copy.
    """

    image: Hashable
    anomalous: bool
    type: str = ""
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What one category's train set holds at one rate; or the sum over categories.

    Attributes
    ----------
    name : str
        Of the category.
    rate : float or None
        The nominal rate, where one is known.
    normals, anomalies : int
        Images trained on, repeats and copies counted.
    test_anomalies : int or None
        Those that the scores are measured on and those that left the test set; None if not known.
    tested : int or None
        Of them, those that the scores are measured on.
    trained_on : int
        Of them, those that were trained on: as they are or as changed copies.
    trained_and_tested : int
        Of them, those that were trained on *and* that the scores are measured on.
    normal_in_both : int
        Normal test images that were trained on.
    repeats : int
        How many images trained on are there once more, unchanged.
    changed : int
        How many are jittered or moved copies.
    types, types_trained : int
        Types of anomalies in all, and of those trained on.
    test_changes : bool or None
        Whether the test set differs from that at other rates; None if there is one rate, or it is unknown.
    """

    name: str
    rate: float | None
    normals: int
    anomalies: int
    test_anomalies: int | None
    tested: int | None
    trained_on: int
    trained_and_tested: int
    normal_in_both: int = 0
    repeats: int = 0
    changed: int = 0
    types: int = 0
    types_trained: int = 0
    test_changes: bool | None = None

    @property
    def of_set(self) -> float:
        """The realised rate: anomalies as a share of the train set."""
        return self.anomalies / max(1, self.normals + self.anomalies)

    @property
    def of_normals(self) -> float:
        """The realised rate: anomalies relative to the normal images."""
        return self.anomalies / max(1, self.normals)

    @property
    def share_trained_on(self) -> float | None:
        """The share of the test anomalies that were trained on."""
        return self.trained_on / self.test_anomalies if self.test_anomalies else None

    @property
    def share_of_tested(self) -> float | None:
        """The share of the anomalies that scores are measured on that were trained on."""
        return self.trained_and_tested / self.tested if self.tested else None


def audit(
    name: str,
    rate: float | None,
    train: Sequence[AuditedImage],
    test: Sequence[AuditedImage],
    left: Iterable[AuditedImage] = (),
    *,
    pool_types: Iterable[str] = (),
) -> Audit:
    """Count what a train set holds.

    Parameters
    ----------
    train, test : sequence of AuditedImage
        What was trained on and what scores are measured on.
    left : iterable of AuditedImage
        Images that were in the test set and have been taken out of it.
    pool_types : iterable of str
        Types of further anomalies that could have been drawn.
    """
    left, trained = list(left), {each.image for each in train}
    bad = [each for each in (*test, *left) if each.anomalous]
    plain = [each.image for each in train if not each.changed]
    kinds = {each.type for each in train if each.anomalous and each.type}
    known = {each.type for each in bad if each.type} | set(pool_types) - {""} | kinds
    anomalies = sum(each.anomalous for each in train)
    return Audit(
        name=name,
        rate=rate,
        normals=len(train) - anomalies,
        anomalies=anomalies,
        test_anomalies=len(bad),
        tested=sum(each.anomalous for each in test),
        trained_on=sum(each.image in trained for each in bad),
        trained_and_tested=sum(each.anomalous and each.image in trained for each in test),
        normal_in_both=sum(not each.anomalous and each.image in trained for each in test),
        repeats=len(plain) - len(set(plain)),
        changed=sum(each.changed for each in train),
        types=len(known),
        types_trained=len(kinds),
    )


def with_changes(audits: Sequence[Audit], tests: Sequence[frozenset[Hashable] | None]) -> list[Audit]:
    """Return audits of one category at several rates with the word on whether its test set changes."""
    known = [test for test in tests if test is not None]
    if len({each.rate for each in audits}) < 2 or len(known) < len(tests):
        return list(audits)
    changes = len(set(known)) > 1
    return [replace(each, test_changes=changes) for each in audits]


def total(audits: Sequence[Audit], name: str = "all") -> Audit:
    """Return the sum over categories; shares follow from it (no mean of the categories' shares)."""

    def summed(values: Iterable[int | None]) -> int | None:
        held = list(values)
        return None if any(each is None for each in held) else sum(each or 0 for each in held)

    changes = [each.test_changes for each in audits]
    rates = {each.rate for each in audits}
    return Audit(
        name=name,
        rate=rates.pop() if len(rates) == 1 else None,
        test_anomalies=summed(each.test_anomalies for each in audits),
        tested=summed(each.tested for each in audits),
        test_changes=None if None in changes else any(changes),
        **{field: sum(getattr(each, field) for each in audits) for field in _SUMS},
    )


_SUMS = (
    "normals",
    "anomalies",
    "trained_on",
    "trained_and_tested",
    "normal_in_both",
    "repeats",
    "changed",
    "types",
    "types_trained",
)


def audit_task(clean: Task, dirty: Task, rate: float, source: str) -> tuple[Audit, frozenset[Hashable]]:
    """Count what a contaminated task holds, and return which images it is tested on.

    Parameters
    ----------
    clean : Task
        The same task before contamination, whose test set is complete.
    dirty : Task
        With `train_labels`.
    source : str
        As in `bench.core.contamination.Contamination`.
    """
    pool = _pool(clean, source)
    types = _types(pool) | dict(zip(identities(clean.test)[0].tolist(), clean.test_types, strict=True))
    labels = np.zeros(len(dirty.train), np.uint8) if dirty.train_labels is None else dirty.train_labels
    images, changed = identities(dirty.train)
    train = [
        AuditedImage(image, bool(label), types.get(image, "") if label else "", copied)
        for image, label, copied in zip(images.tolist(), labels, changed.tolist(), strict=True)
    ]
    tested = _tested(dirty)
    held = frozenset(each.image for each in tested)
    # Transductive: what is tested on is what was trained on, and the official test set plays no part.
    left = [] if source == "transductive" else [each for each in _tested(clean) if each.image not in held]
    found = audit(dirty.name, rate, train, tested, left, pool_types=pool.types if pool else ())
    return found, held


def _pool(task: Task, source: str) -> AnomalyPool | None:
    return None if source == "official" else pool_of(task, source)


def _types(pool: AnomalyPool | None) -> dict[int, str]:
    if pool is None:
        return {}
    return dict(zip(identities(pool.images[pool.positions])[0].tolist(), pool.types, strict=True))


def _tested(task: Task) -> list[AuditedImage]:
    images = identities(task.test)[0].tolist()
    return [
        AuditedImage(image, bool(label), kind if label else "")
        for image, label, kind in zip(images, task.test_labels, task.test_types, strict=True)
    ]


def identities(images: Images) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return a number for each image of a view, that of its original for a changed copy, and which are those.

    Each of shape (n,).
    """
    found, changed = np.zeros(len(images), np.uint64), np.zeros(len(images), bool)
    for each in np.unique(images._which):
        at = np.flatnonzero(images._which == each)
        source, rows = images._source(int(each)), images._rows[at]
        if isinstance(source, SealedView):
            found[at], changed[at] = identities(source.images[rows])
        elif isinstance(source, ChangedCopies):
            found[at], changed[at] = identities(source.originals[rows])[0], True
        else:
            found[at] = source.contents(rows)
    return found, changed


def counted_task(name: str, counts: Mapping[str, int]) -> Task:
    """Return a task that has numbers of images only: ``train``, ``good``, ``bad``; no image can be read."""
    from bench.data.source import ArraySource, Pixels

    def nothing() -> Pixels:
        raise NotImplementedError("this task is for counting")

    train = ArraySource(f"{name}/train", f"counted/{name}/train", counts["train"], nothing)
    test = ArraySource(f"{name}/test", f"counted/{name}/test", counts["good"] + counts["bad"], nothing)
    labels = np.repeat(np.array([0, 1], np.uint8), [counts["good"], counts["bad"]])
    return Task(
        name=name,
        train=Images.of(train),
        test=Images.of(test),
        test_labels=labels,
        test_types=tuple("" if label else "good" for label in labels),
        sources=(train, test),
    )
