"""Are a record's numbers those of its scores? Reports and merges ask before they show or copy one.

A record is a text file, and what it says of AUROC is what anybody wrote there. Its metrics are computed
again from its scores and labels, once for each state of the files: what was found right is noted in
the cache, with the files' sizes, inodes and times of change, which no editor sets back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.files import cache_folder, write_atomically
from bench.metrics.image import IMAGE_METRICS, image_metrics

#: Metrics that older records do not have.
SINCE = ("f1max",)
#: Sums may be rounded differently on another machine.
TOLERANCE = 1e-9
#: How the flag of a record begins whose scores cannot be read or do not fit its labels.
UNCHECKED = "its numbers cannot be checked"


def load_verified(archive: Archive, keys: Iterable[str]) -> dict[str, Record]:
    """Return the readable records among `keys`, each with the metrics of its scores."""
    return verified(archive, archive.load_all(keys))


def verified(archive: Archive, records: Mapping[str, Record]) -> dict[str, Record]:
    """Return records with the metrics that their scores give; say in ``archive.unreadable`` which differ.

    Records that this archive object has written itself are not asked.
    """
    found = dict(records)
    asked = {
        key: record for key, record in found.items() if key not in archive.written and record.status == "ok"
    }
    if not asked:
        return found
    seen = _Seen(archive.root)
    for key, record in asked.items():
        stamp = archive.stamp(record)
        if stamp and seen.known.get(key) == stamp:
            continue
        found[key] = _verified(archive, record)
        if found[key] is record and stamp:
            seen.add(key, stamp)
    seen.keep()
    return found


def check(archive: Archive, record: Record) -> Record:
    """Return one record with the metrics of its scores, for `bench.core.merge`."""
    return _verified(archive, record) if record.status == "ok" else record


def _verified(archive: Archive, record: Record) -> Record:
    if not record.truth and record.scores_sha256:
        return record  # an old one: labels were not kept then
    try:
        metrics = image_metrics(archive.truth(record).labels, archive.scores(record))
    except (ArchiveError, ValueError) as error:
        archive.report(f"{record.cell}: {UNCHECKED}: {error}")
        return replace(record, flags=(*record.flags, f"{UNCHECKED}: no scores that fit"))
    different = [name for name in IMAGE_METRICS if not _same(record.metrics.get(name), metrics.get(name))]
    if set(different) <= set(SINCE) and not set(different).intersection(record.metrics):
        # An older record.
        return replace(record, metrics={**record.metrics, **metrics}) if different else record
    told = ", ".join(
        f"{name} {_shown(record.metrics.get(name))} where its scores give {_shown(metrics.get(name))}"
        for name in different
    )
    archive.report(f"{record.cell}: its record was changed: it says {told}; shown is what its scores give")
    others = {name: value for name, value in record.metrics.items() if name not in IMAGE_METRICS}
    flag = f"its record was changed: it said {told}"
    return replace(record, metrics={**others, **metrics}, flags=(*record.flags, flag))


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0.0, abs_tol=TOLERANCE)


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"


class _Seen:
    """Which states of an archive's files were found right before; in the user's cache."""

    def __init__(self, root: Path) -> None:
        where = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
        self._path, self._more = cache_folder() / "verified" / f"{where}.json", False
        self.known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(data, dict):
                self.known = data

    def add(self, key: str, stamp: str) -> None:
        self.known[key], self._more = stamp, True

    def keep(self) -> None:
        """Write down what was added; a cache that cannot be written costs time only."""
        if self._more:
            with contextlib.suppress(ArchiveError):
                write_atomically(self._path, json.dumps(self.known).encode(), durable=False)
