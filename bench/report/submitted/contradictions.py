"""What in a submission contradicts the receiver's data or itself, before anything is run again.

Only what cannot come about by running the suite accuses: labels or a draw that are not those of the data, and
metrics that are not those of the scores. What differs for reasons that a sender can have (other code, other
data, missing cells) makes that it cannot be told.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, ArchiveError
from bench.core.pack import PackedArchive
from bench.core.truth import Truth
from bench.metrics.image import IMAGE_METRICS, image_metrics
from bench.report.submitted.expected import Expected
from bench.report.verify import SINCE, TOLERANCE
from bench.suite.registry import Registry

Kind = Literal["labels", "draw", "metrics", "scores", "protocol", "missing", "unread", "unrun", "failed"]
#: What says that the pack is not what running gives, and what says that it cannot be told.
ACCUSES, UNTOLD = ("labels", "draw", "metrics", "scores"), ("protocol", "missing", "unread", "unrun")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a cell, or of the pack where `cell` is None."""

    kind: Kind
    said: str
    cell: Cell | None = None

    @property
    def accuses(self) -> bool:
        return self.kind in ACCUSES

    def __str__(self) -> str:
        return f"{self.cell}: {self.said}" if self.cell else self.said


@dataclass(slots=True)
class Received:
    """A pack, read and checked as far as that goes without running anything.

    Attributes
    ----------
    findings : list of Finding
    records : dict of str to Record
        Those of the expected cells, by key.
    scores : dict of str to ndarray
        Of the finished ones that could be read.
    truths : dict of str to Truth
        The receiver's own, of the same.
    copied : set of str
        Keys of cells whose scores put the images in the very order of another cell's or method's.
    """

    findings: list[Finding] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    scores: dict[str, NDArray[Any]] = field(default_factory=dict)
    truths: dict[str, Truth] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)

    def claims(self) -> dict[str, float]:
        """Return the AUROC of the scores with the receiver's labels, by key, where it is defined."""
        found = {
            key: image_metrics(self.truths[key].labels, scores).get("auroc", math.nan)
            for key, scores in self.scores.items()
        }
        return {key: value for key, value in found.items() if not math.isnan(value)}


def received(pack: PackedArchive, known: Expected, registry: Registry, archive: Archive) -> Received:
    """Read a pack and hold it against the receiver's data.

    Parameters
    ----------
    archive : Archive
        The receiver's own, for scores that others have.

    Raises
    ------
    AnobenchError
        The receiver's data cannot be opened.
    """
    found = Received()
    for cell, why in known.strange:
        found.findings.append(Finding("protocol", f"this suite does not plan it here: {why}", cell))
    for cell in known.missing:
        found.findings.append(Finding("missing", "the pack does not have it", cell))
    opened: dict[object, tuple[Truth, Mapping[str, Any]]] = {}
    for key, cell in known.cells.items():
        record = pack.load(key)
        if record is None:
            continue
        found.records[key] = record
        if record.status != "ok":
            found.findings.append(Finding("failed", "it failed at the sender's", cell))
            continue
        where = (cell.dataset, cell.task, cell.contamination, cell.few_shot)
        if where not in opened:
            task, drawn = registry.open_task(cell)
            opened[where] = task.truth(), drawn
        found.findings += [Finding(*each, cell) for each in _of_record(pack, record, *opened[where], found)]
    found.copied = _copied(found, archive)
    return found


def _of_record(
    pack: PackedArchive, record: Record, truth: Truth, drawn: Mapping[str, Any], found: Received
) -> Iterator[tuple[Kind, str]]:
    """Yield what contradicts one record; keep its scores and labels."""
    key = record.cell.key
    try:
        scores = pack.scores(record)
        theirs = pack.truth(record)
    except ArchiveError as error:
        yield "unread", f"it cannot be checked: {error}"
        return
    if len(scores) != len(truth.labels):
        yield "labels", f"{len(scores)} scores for the {len(truth.labels)} test images"
        return
    if theirs.identity != truth.identity:
        yield "labels", _labels_said(theirs, truth)
    found.scores[key], found.truths[key] = scores, truth
    # An older record may say less.
    both = record.contamination.keys() & drawn.keys() - {"note"}
    if others := sorted(name for name in both if record.contamination[name] != drawn[name]):
        yield "draw", f"what it says was drawn of the anomalies is not what is drawn ({', '.join(others)})"
    metrics = image_metrics(theirs.labels, scores)
    asked = [name for name in IMAGE_METRICS if name in record.metrics or name not in SINCE]
    wrong = [name for name in asked if _differs(record.metrics.get(name), metrics.get(name))]
    if wrong:
        shown = ", ".join(
            f"{name} {_shown(record.metrics.get(name))} where its scores give {_shown(metrics.get(name))}"
            for name in wrong
        )
        yield "metrics", f"it says {shown}"


def _labels_said(theirs: Truth, ours: Truth) -> str:
    if len(theirs.labels) == len(ours.labels) and np.array_equal(theirs.rows, ours.rows):
        other = int((theirs.labels != ours.labels).sum())
        if other:
            return f"{other} of {len(ours.labels)} labels of its test set are not those of the data"
    return "its test set is not that of the data: other images, or in another order"


def _differs(one: float | None, other: float | None) -> bool:
    held = [None if value is None or math.isnan(value) else value for value in (one, other)]
    if held[0] is None or held[1] is None:
        return held[0] is not held[1]
    return not math.isclose(held[0], held[1], rel_tol=0.0, abs_tol=TOLERANCE)


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"


def order_of(scores: NDArray[Any]) -> str:
    """Return a hash of the order in which scores put the images: the same under any increasing transform."""
    ranks = np.unique(scores, return_inverse=True)[1]
    return hashlib.sha256(ranks.astype("<i8").tobytes()).hexdigest()


def _copied(found: Received, archive: Archive) -> set[str]:
    """Return keys whose order of the images is also that of another cell, or of another method here."""
    seen: dict[tuple[str, str], set[str]] = {}
    for key, scores in found.scores.items():
        if len(np.unique(scores)) > 2:  # constant scores say nothing
            seen.setdefault((found.truths[key].identity, order_of(scores)), set()).add(key)
    copied = set[str]()
    for keys in seen.values():
        if len(keys) > 1:
            copied |= keys
    truths = {truth.identity for truth in found.truths.values()}
    for other in archive.load_all(archive.keys() - found.records.keys()).values():
        if other.truth in truths and other.status == "ok":
            try:
                copied |= seen.get((other.truth, order_of(archive.scores(other))), set())
            except AnobenchError:
                continue
    return copied
