"""Which records of an archive were submitted by others, and how many of them were run again here.

It is kept in the receiver's archive, ``records/submitted/<sha256 of the pack>.json``, never in what a sender
wrote. A record that was replaced since, say by a run of one's own, is submitted no longer.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.core import checks
from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.files import write_atomically
from bench.core.plan import Plan

log = logging.getLogger(__name__)

#: Schema of the file.
SUBMITTED_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A pack that was verified and merged.

    Attributes
    ----------
    pack : str
        Its sha256.
    suite : str
    nonce : str
        Of the verifier; with the pack's sha256 it gives the draw again.
    records : dict of str to str
        By key, `record_digest` of the submitted record.
    rerun : tuple of str
        Keys of those that were run again and found the same.
    created : str
        UTC, ISO 8601.
    """

    pack: str
    suite: str
    nonce: str
    records: Mapping[str, str]
    rerun: tuple[str, ...]
    created: str = ""


def record_digest(record: Record) -> str:
    """Return a sha256 of all that a record says."""
    return hashlib.sha256(record.to_json().encode()).hexdigest()


def note_submission(archive: Archive, submission: Submission) -> None:
    """Write down that records of an archive were submitted.

    Raises
    ------
    ArchiveError
        It cannot be written.
    """
    data = {"schema": SUBMITTED_VERSION} | asdict(submission)
    path = archive.root / "submitted" / f"{submission.pack}.json"
    write_atomically(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())


def submissions(archive: Archive) -> list[Submission]:
    """Return the submissions of an archive; one that cannot be read is named in a warning."""
    found = []
    for path in sorted((archive.root / "submitted").glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("schema") != SUBMITTED_VERSION:
                raise ValueError(f"its schema is not {SUBMITTED_VERSION}")
            found.append(_checked(data))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("%s cannot be read (%s): its rows are not marked as submitted", path, error)
    return found


def _checked(data: dict[str, Any]) -> Submission:
    found = Submission(**data | {"rerun": tuple(data["rerun"])})
    checks.digest(found.pack, "pack", 64)
    checks.table(found.records, "records", lambda value, what: checks.digest(value, what, 64), checks.MOST)
    checks.members(found.rerun, "rerun", lambda value, what: checks.digest(value, what, 32))
    for name in ("suite", "nonce", "created"):
        checks.text(getattr(found, name), name)
    return found


def marked(plan: Plan, archive: Archive, records: Mapping[str, Record]) -> Plan:
    """Return a plan whose rows say which of their records were submitted, ``"submitted, 6 % rerun"``."""
    known = submissions(archive)
    if not known:
        return plan
    rerun = {key for each in known for key in each.rerun}
    told = {key: digest for each in known for key, digest in each.records.items()}
    rows = list(plan.rows)
    for at, row in enumerate(rows):
        keys = {entry.cell.key for entry in plan.entries if entry.row == at}
        held = [records[key] for key in keys if key in told and key in records]
        theirs = {each.cell.key for each in held if record_digest(each) == told[each.cell.key]}
        if theirs:
            share = f"submitted, {100 * len(theirs & rerun) / len(theirs):.3g} % rerun"
            part = f"{len(theirs)} of {len(keys)} cells " if len(theirs) < len(keys) else ""
            rows[at] = replace(row, mark=part + share)
    return replace(plan, rows=tuple(rows))


def carried(sources: list[Archive], into: Archive) -> None:
    """Note in an archive what others say was submitted, of the records that were merged into it.

    Raises
    ------
    ArchiveError
        It cannot be written.
    """
    for source in sources:
        for each in submissions(source):
            held = into.load_all(each.records)
            same = {key: told for key, told in each.records.items() if _same(held.get(key), told)}
            if same and not (into.root / "submitted" / f"{each.pack}.json").exists():
                rerun = tuple(key for key in each.rerun if key in same)
                note_submission(into, replace(each, records=same, rerun=rerun))


def _same(record: Record | None, digest: str) -> bool:
    return record is not None and record_digest(record) == digest
