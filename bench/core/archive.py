"""The archive: the records on disk.

::

    results/records/<first two digits of the key>/<key>.json   one record a cell
    results/records/<first two digits of the key>/<key>.npz    its scores
    results/records/tests/<truth>.npz                          labels and images of each test set, once
    results/records/plans/<suite>.json                         the cells of each suite that was run

Every file is written under a temporary name, fsynced and renamed, the record after its scores and labels: a
record that exists is complete. Archives merge by copying.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.core import checks
from bench.core.cell import Record
from bench.core.errors import ArchiveError, did_you_mean
from bench.core.files import absolute, write_atomically
from bench.core.plan import Plan
from bench.core.scorefile import pack_scores, unpack_scores
from bench.core.truth import Truth, Truths

log = logging.getLogger(__name__)


class Archive:
    """Records and scores under ``<results>/records``.

    Parameters
    ----------
    results : Path
        The results folder; created by the first write.
    root : Path, optional
        The folder of records, where it is another than ``<results>/records``.
    """

    def __init__(self, results: Path, root: Path | None = None) -> None:
        # Once and for all: a method may change the working directory.
        self.results = absolute(results)
        self.root = self.results / "records" if root is None else absolute(root)
        #: The keys of the records that were written through this object.
        self.written: set[str] = set()
        #: Messages about files that could not be read; each is also logged as a warning.
        self.unreadable: list[str] = []
        self._truths = Truths(self.root / "tests")

    def _path(self, key: str, ending: str) -> Path:
        return self.root / key[:2] / f"{key}.{ending}"

    def check_writable(self) -> None:
        """Make sure that records can be written.

        Raises
        ------
        ArchiveError
            They cannot.
        """
        probe = self.root / ".probe"
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)

    def has(self, key: str) -> bool:
        """Return whether a key has a record file, readable or not."""
        return self._path(key, "json").exists()

    def load(self, key: str) -> Record | None:
        """Return the record of a key; None if it is missing, or cannot be read, which is reported."""
        path = self._path(key, "json")
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._report(path, str(error))
            return None
        try:
            record = Record.from_json(text)
        except ArchiveError as error:
            self._report(path, str(error))
            return None
        if record.cell.key != key:
            self._report(path, f"it is the record of another cell, {record.cell.key}")
            return None
        return record

    def load_all(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the readable records among `keys`."""
        there = self.keys()
        found = ((key, self.load(key)) for key in dict.fromkeys(keys) if key in there)
        return {key: record for key, record in found if record is not None}

    def keys(self) -> set[str]:
        """Return the keys that have a record file, readable or not."""
        return {path.name.removesuffix(".json") for path in self._files("json")}

    def _files(self, ending: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.root) as entries:
                folders = [entry.path for entry in entries if len(entry.name) == 2 and entry.is_dir()]
            for folder in folders:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(f".{ending}") and not entry.name.startswith("."):
                            yield entry
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArchiveError(
                f"{error.filename or self.root} cannot be read ({error.strerror}); "
                "choose another folder with --results, or mend it"
            ) from None

    def stamp(self, record: Record) -> str:
        """Return a text that is another once a record's files are written again; empty if one is missing."""
        key, found = record.cell.key, [record.truth]
        try:
            for ending in ("json", "npz"):
                about = self._path(key, ending).stat()
                found += [f"{about.st_ino}.{about.st_size}.{about.st_mtime_ns}.{about.st_ctime_ns}"]
        except OSError:
            return ""
        return "/".join(found)

    def _report(self, path: Path, reason: str) -> None:
        self.report(f"{path} cannot be read and is skipped: {reason}")

    def report(self, message: str) -> None:
        """Note what a user should know of a file, once; it is logged as a warning, too."""
        if message not in self.unreadable:
            self.unreadable.append(message)
            log.warning("%s", message)

    def write(
        self,
        record: Record,
        scores: NDArray[Any] | None,
        truth: Truth | None = None,
        beside: Mapping[str, NDArray[Any]] | None = None,
    ) -> Record:
        """Write a record, its scores and, once, the truth about its test set; return the record as written.

        What is `beside` the scores has names of `bench.core.scorefile.BESIDE`.

        An unreadable file of that name is renamed to ``<key>.json.unreadable``.

        Raises
        ------
        ArchiveError
            The folder cannot be written or the disk is full.
        """
        return self._write(record, b"" if scores is None else pack_scores(scores, beside or {}), truth)

    def adopt(self, record: Record, packed: bytes, truth: Truth | None) -> Record:
        """Write a record of another archive with its `packed_scores`, byte for byte."""
        return self._write(record, packed, truth)

    def _write(self, record: Record, packed: bytes, truth: Truth | None) -> Record:
        key = record.cell.key
        path, beside = self._path(key, "json"), self._path(key, "npz")
        digest = hashlib.sha256(packed).hexdigest() if packed else ""
        try:
            self._make_way(key, digest)
            if truth is not None:
                self._truths.keep(truth)
            if packed:
                write_atomically(beside, packed)
            record = replace(record, scores_sha256=digest)
            write_atomically(path, record.to_json().encode())
            self.written.add(key)
            if not packed:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be written ({error.strerror or error})") from None
        return record

    def _make_way(self, key: str, digest: str) -> None:
        """Rename an unreadable record, and remove one whose scores are about to change.

        Otherwise a process killed between scores and record would leave a record with the scores of another.
        """
        path = self._path(key, "json")
        if not path.exists():
            return
        old = self.load(key)
        if old is None:
            aside = path.with_name(f"{key}.json.unreadable")
            at = 1
            while aside.exists():
                at += 1
                aside = path.with_name(f"{key}.json.unreadable{at}")
            path.replace(aside)
        elif digest and old.scores_sha256 != digest:
            path.unlink()

    def scores(self, record: Record) -> NDArray[Any]:
        """Return the scores of a record, shape (n_test,), in the order of the task's test images.

        Raises
        ------
        ArchiveError
            The cell failed and has none, or they are missing, unreadable, or do not match the record.
        """
        return self._arrays(record)["scores"]

    def beside(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return what was kept beside a record's scores (`bench.core.scorefile.BESIDE`).

        Raises
        ------
        ArchiveError
            As for `scores`.
        """
        return {name: values for name, values in self._arrays(record).items() if name != "scores"}

    def _arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        packed = self.packed_scores(record)
        try:
            return unpack_scores(packed)
        except ArchiveError as error:
            path = self._path(record.cell.key, "npz")
            raise ArchiveError(f"{path}: {error}; run the cell again") from None

    def packed_scores(self, record: Record) -> bytes:
        """Return the bytes of a record's scores file.

        Raises
        ------
        ArchiveError
            As for `scores`.
        """
        if not record.scores_sha256:
            raise ArchiveError(f"{record.cell} has no scores: it failed")
        path = self._path(record.cell.key, "npz")
        try:
            packed = path.read_bytes()
        except OSError as error:
            raise ArchiveError(
                f"{path}: scores cannot be read ({error.strerror}); run the cell again"
            ) from None
        if hashlib.sha256(packed).hexdigest() != record.scores_sha256:
            raise ArchiveError(f"{path}: scores do not match the record (checksum); run the cell again")
        return packed

    def truth(self, record: Record) -> Truth:
        """Return the labels and images of the test set of a record's scores.

        Raises
        ------
        ArchiveError
            There are none (the record is old, or its cell failed), or they cannot be read or do not match the
            record.
        """
        if not record.truth:
            raise ArchiveError(f"{record.cell}: no labels were kept; run the cell again with --fresh")
        return self._truths.read(record.truth)

    def write_plan(self, plan: Plan) -> None:
        write_atomically(self.root / "plans" / f"{plan.suite}.json", plan.to_json().encode())

    def plan(self, suite: str) -> Plan:
        """Return the plan of the suite's last run.

        Raises
        ------
        ArchiveError
            The suite was never run into this archive, or its plan cannot be read.
        """
        path = self.root / "plans" / f"{suite}.json"
        try:
            checks.file_name(suite)
        except (ValueError, TypeError) as error:
            raise ArchiveError(str(error)) from None
        try:
            plan = Plan.from_json(path.read_text(encoding="utf-8"))
            if plan.suite != suite:
                raise ArchiveError(f"it is the plan of {plan.suite!r}")
            return plan
        except FileNotFoundError:
            raise ArchiveError(
                f"{self.results} has no run of the suite {suite!r}{did_you_mean(suite, self.suites())}; "
                f"run it first: anobench run {suite} --results {self.results}"
            ) from None
        except (OSError, UnicodeDecodeError, ArchiveError) as error:
            raise ArchiveError(f"{path} cannot be read ({error}); run the suite again") from None

    def suites(self) -> list[str]:
        """Return the names of the suites that were run into this archive."""
        return sorted(path.stem for path in (self.root / "plans").glob("*.json"))
