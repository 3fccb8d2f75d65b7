"""Verifying a submission: read it, draw cells, run them again, compare, and say what that is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, ArchiveError
from bench.core.merge import merge
from bench.core.pack import PackedArchive
from bench.core.plan import Plan
from bench.core.submitted import Submission, note_submission, record_digest, submissions
from bench.report.submitted.contradictions import UNTOLD, Finding, Received, received
from bench.report.submitted.draw import Chance, Draw, draw_cells
from bench.report.submitted.expected import Expected, expected
from bench.run.rerun import ComparedCell, compared, spreads
from bench.suite.registry import Registry
from bench.suite.suite import Suite

if TYPE_CHECKING:
    from pathlib import Path

#: Runs cells again: the record and scores of each, by key.
Rerun = Callable[[Expected, Sequence[Cell]], Mapping[str, tuple[Record, NDArray[Any] | None]]]


@dataclass(slots=True)
class Verification:
    """What was found of a pack.

    Attributes
    ----------
    pack : PackedArchive
    known : Expected
        The receiver's plan of it.
    received : Received
    draw : Draw
        Which cells were drawn, and what that can find.
    comparisons : list of ComparedCell
        Of the drawn cells, and of those that the receiver had.
    """

    pack: PackedArchive
    known: Expected
    received: Received
    draw: Draw
    comparisons: list[ComparedCell] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """All that was found, what accuses first."""
        every = [*self.received.findings, *self._from_comparisons()]
        return sorted(every, key=lambda each: not each.accuses)

    def _from_comparisons(self) -> Iterator[Finding]:
        for each in self.comparisons:
            if each.same is None:
                yield Finding("unrun", each.said, each.cell)
            elif not each.same:
                rule = "on the same platform class" if each.rule == "bits" else "on another platform class"
                yield Finding("scores", f"{each.said} ({rule})", each.cell)

    @property
    def exit_status(self) -> int:
        """0 nothing contradicts the pack, 1 something does, 3 it cannot be told."""
        found = self.findings
        if any(each.accuses for each in found):
            return 1
        untold = any(each.kind in UNTOLD for each in found) or not any(each.same for each in self.comparisons)
        return 3 if untold else 0

    @property
    def chances(self) -> tuple[Chance, ...]:
        return self.draw.chances


def verify_pack(
    pack: PackedArchive,
    suite: Suite,
    registry: Registry,
    archive: Archive,
    rerun: Rerun,
    *,
    share: float,
    nonce: str,
) -> Verification:
    """Verify a submission.

    Parameters
    ----------
    pack : PackedArchive
    suite : Suite
        The receiver's.
    registry : Registry
    archive : Archive
        The receiver's: what others get there, and cells that it has itself.
    rerun : callable
        See `bench.run.rerun.run_again`.
    share : float
        Of the cells, in (0, 1].
    nonce : str
        Not known to the sender before the pack was.

    Raises
    ------
    AnobenchError
        The suite, a method, data or weights are not here.
    """
    known = expected(pack, suite, registry)
    if not known.cells:
        raise AnobenchError(f"{pack.path} holds no cells")
    found = received(pack, known, registry, archive)
    claims = found.claims()
    held = _held(archive, claims)
    draw = draw_cells(
        {key: known.cells[key] for key in known.cells if key in claims},
        claims,
        profiles=profiles_of(archive, known.plan),
        copied=found.copied,
        known=held.keys(),
        pack=pack.sha256,
        nonce=nonce,
        share=share,
    )
    verification = Verification(pack, known, found, draw)
    fresh = dict(rerun(known, [known.cells[key] for key in draw.keys])) if draw.keys else {}
    wide = spreads(found.records.values(), claims)
    for keys, runs, new in ((draw.keys, fresh, True), (tuple(held), held, False)):
        for key in keys:
            verification.comparisons.append(
                compared(
                    found.records[key],
                    found.scores[key],
                    found.truths[key].labels,
                    runs.get(key),
                    wide[key],
                    fresh=new,
                )
            )
    return verification


def _held(archive: Archive, claims: Mapping[str, float]) -> dict[str, tuple[Record, NDArray[Any] | None]]:
    """Return the receiver's own runs of submitted cells."""
    theirs = {key: digest for each in submissions(archive) for key, digest in each.records.items()}
    found: dict[str, tuple[Record, NDArray[Any] | None]] = {}
    for key, record in archive.load_all(claims).items():
        if record.status == "ok" and theirs.get(key) != record_digest(record):
            try:
                found[key] = record, archive.scores(record)
            except ArchiveError:
                continue
    return found


def profiles_of(archive: Archive, part: Plan) -> list[dict[str, float]]:
    """Return the mean AUROC by task of each method of an archive on a suite, but for those of a plan."""
    if part.suite not in archive.suites():
        return []
    plan = archive.plan(part.suite)
    submitted = {_method(entry.cell) for entry in part.entries}
    records = archive.load_all(e.cell.key for e in plan.entries if _method(e.cell) not in submitted)
    held: dict[int, dict[str, list[float]]] = {}
    for entry in plan.entries:
        record = records.get(entry.cell.key)
        if record is not None and not math.isnan(value := record.metrics.get("auroc", math.nan)):
            held.setdefault(entry.row, {}).setdefault(entry.cell.task_name, []).append(value)
    return [{task: float(np.mean(values)) for task, values in of.items()} for of in held.values()]


def _method(cell: Cell) -> tuple[object, ...]:
    return cell.method, cell.params, cell.backbone


def adopt(verification: Verification, into: Path) -> tuple[int, int]:
    """Merge a verified pack into a results folder, and note there what was submitted and what run again.

    Its rows and cells come into the folder's plan of the suite, where they are not there yet.

    Returns
    -------
    copied, same : int
        Cells that were copied, and that were there.

    Raises
    ------
    AnobenchError
        Something contradicts the pack or cannot be told, or the folder cannot be written.
    """
    if verification.exit_status:
        raise AnobenchError(f"{verification.pack.path} is not merged: it was not verified")
    pack, known, archive = verification.pack, verification.known, Archive(into)
    before = {key: record_digest(record) for key, record in archive.load_all(known.cells).items()}
    plan = known.plan
    if plan.suite in archive.suites():
        plan = joined(archive.plan(plan.suite), plan)
    archive.check_writable()
    archive.write_plan(plan)
    merged = merge([pack.path], into)
    if merged.conflicts:
        raise AnobenchError("\n".join(map(str, merged.conflicts)))
    after = {key: record_digest(record) for key, record in archive.load_all(known.cells).items()}
    copied = {key: digest for key, digest in after.items() if before.get(key) != digest}
    note_submission(
        archive,
        Submission(
            pack=pack.sha256,
            suite=plan.suite,
            nonce=verification.draw.nonce,
            records=copied,
            rerun=tuple(each.cell.key for each in verification.comparisons if each.same and each.fresh),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
    return len(copied), len(after) - len(copied)


def joined(plan: Plan, more: Plan) -> Plan:
    """Return a plan with the rows of another of the same suite that it does not have."""
    there = {_method(entry.cell) for entry in plan.entries}
    new = more.of_rows({entry.row for entry in more.entries if _method(entry.cell) not in there})
    columns = {(column.dataset, column.task): at for at, column in enumerate(plan.columns)}
    entries = [
        replace(entry, row=entry.row + len(plan.rows), column=columns[place])
        for entry in new.entries
        if (place := (entry.cell.dataset, entry.cell.task)) in columns
    ]
    taken = {row.label for row in plan.rows}
    rows = [replace(row, label=f"{row.label} (2)") if row.label in taken else row for row in new.rows]
    return replace(plan, rows=(*plan.rows, *rows), entries=(*plan.entries, *entries))
