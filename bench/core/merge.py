"""Joining archives of several machines: all records on which they agree.

For each cell, whatever the order of the archives,

- records with equal scores are one: the destination's stays, else the first is copied, byte for byte;
- records with different scores are a conflict, which is reported and not written;
- a record with scores replaces one of a failure, as after ``--retry-failed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError
from bench.core.pack import open_archive
from bench.core.plan import Plan
from bench.core.submitted import carried


@dataclass(frozen=True, slots=True)
class Conflict:
    """A cell whose records have different scores.

    Attributes
    ----------
    cell : Cell
    found : tuple of (Path, float or None)
        For each of the different scores a results folder and the AUROC there.
    """

    cell: Cell
    found: tuple[tuple[Path, float | None], ...]

    def __str__(self) -> str:
        values = (
            f"{folder} (AUROC {'undefined' if value is None else f'{value:.6f}'})"
            for folder, value in self.found
        )
        return f"{self.cell} [{self.cell.key}]: scores differ: {' / '.join(values)}"


@dataclass(slots=True)
class Merged:
    """What became of the records.

    Attributes
    ----------
    copied, same : int
        Cells that were copied to the destination, and that it already had.
    recovered : int
        Copied cells that replaced a failure.
    conflicts : list of Conflict
    skipped : list of str
        Files that could not be read, with the reason.
    notes : list of str
        Plans that were not copied, as the destination has a different one of that name.
    """

    copied: int = 0
    same: int = 0
    recovered: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 1 if self.conflicts else 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A complete record and its archive."""

    archive: Archive
    record: Record
    mended: bool = False

    def same_scores(self, other: _Found) -> bool:
        """Return whether both have the same scores, even in different bytes."""
        if self.record.scores_sha256 == other.record.scores_sha256:
            return True
        ours, theirs = (each.archive.scores(each.record) for each in (self, other))
        if np.array_equal(ours, theirs):
            return True
        # What an older version rounded to float32 is the same where that changed no number.
        rounded = ours.astype(np.float32), theirs.astype(np.float32)
        return np.array_equal(*rounded) and self.record.metrics == other.record.metrics


#: Returns an archive's record as it should be copied.
Check = Callable[[Archive, Record], Record]


def merge(sources: Sequence[Path], into: Path, *, check: Check = lambda _, record: record) -> Merged:
    """Join archives.

    Parameters
    ----------
    sources : sequence of Path
        Results folders or packs; they are only read.
    into : Path
        The destination's results folder, with or without an archive; created if missing.
    check : callable, optional
        Mends what a record says where its scores say otherwise (`bench.report.verify.check`).

    Raises
    ------
    ArchiveError
        A source has no archive or is the destination, or the destination cannot be written.
    """
    opened = [open_archive(source) for source in sources]
    for source in sources:
        if source.resolve() == into.resolve():
            raise ArchiveError(f"{source} is both a source and the destination; leave it out of the sources")
    destination, merged = Archive(into), Merged()
    destination.check_writable()
    archives = [destination, *opened]
    for key in sorted(set().union(*(archive.keys() for archive in archives))):
        _merge_cell(key, archives, merged, check)
    for archive in archives[1:]:
        _merge_plans(archive, destination, merged)
    carried(archives[1:], destination)
    merged.skipped += [message for archive in archives for message in archive.unreadable]
    return merged


def _merge_cell(key: str, archives: Sequence[Archive], merged: Merged, check: Check) -> None:
    destination = archives[0]
    found = list(_complete(key, archives, merged, check))
    scored = [each for each in found if each.record.status == "ok"]
    different: list[_Found] = []
    for each in scored:
        if not any(each.same_scores(other) for other in different):
            different.append(each)
    if len(different) > 1:
        conflict = tuple((each.archive.results, each.record.metrics.get("auroc")) for each in different)
        merged.conflicts.append(Conflict(different[0].record.cell, conflict))
        return
    chosen = (scored or found)[:1]
    if not chosen:
        return
    if chosen[0].archive is destination:
        merged.same += 1
        if chosen[0].mended:
            _copy(chosen[0], destination, merged)
        return
    _copy(chosen[0], destination, merged)
    merged.copied += 1
    merged.recovered += found[0].archive is destination


def _complete(key: str, archives: Iterable[Archive], merged: Merged, check: Check) -> Iterable[_Found]:
    """Yield the readable records of a cell that have their scores."""
    for archive in archives:
        record = archive.load(key)
        if record is None:
            continue
        try:
            if record.status == "ok":
                archive.scores(record)
        except ArchiveError as error:
            merged.skipped.append(f"{record.cell} is skipped: {error}")
            continue
        right = check(archive, record)
        yield _Found(archive, right, right is not record)


def _copy(found: _Found, destination: Archive, merged: Merged) -> None:
    archive, record = found.archive, found.record
    packed = archive.packed_scores(record) if record.scores_sha256 else b""
    truth = None
    try:
        truth = archive.truth(record) if record.truth else None
    except ArchiveError as error:
        merged.skipped.append(f"{record.cell} is copied without the labels of its test set: {error}")
    destination.adopt(record, packed, truth)


def _merge_plans(archive: Archive, destination: Archive, merged: Merged) -> None:
    for suite in archive.suites():
        plan, own = _plan(archive, suite, merged), _plan(destination, suite, merged)
        if plan is not None and own is None:
            destination.write_plan(plan)
        elif plan is not None and own is not None and plan.entries != own.entries:
            merged.notes.append(
                f"{archive.results} has a different plan of the suite {suite!r} than {destination.results}, "
                f"which keeps its own; to plan again: anobench run {suite} --results {destination.results}"
            )


def _plan(archive: Archive, suite: str, merged: Merged) -> Plan | None:
    """Return a suite's plan; None if it is missing or unreadable."""
    if suite not in archive.suites():
        return None
    try:
        return archive.plan(suite)
    except ArchiveError as error:
        merged.skipped.append(str(error))
        return None
