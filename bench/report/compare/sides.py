"""The two sides of a comparison: results folders with their records, or tidy CSVs, also of a git commit.

What can be named is a results folder, a pack, a CSV of ``anobench export``, or ``REV:PATH`` with a folder or
a CSV at a commit (``HEAD~1:results``, ``v1.0:results/quickstart.csv``); ``REV`` alone means its ``results``.
A folder with records and a pack give scores too; a folder without, and every commit, gives the values of its
CSVs.
"""

from __future__ import annotations

import csv
import io
import math
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError, did_you_mean
from bench.core.pack import is_pack, open_archive
from bench.report.csv import read_text
from bench.report.export import HEADER, place_fields
from bench.report.verify import UNCHECKED, load_verified

#: What a commit alone stands for.
DEFAULT_FOLDER = "results"


class ResultKey(NamedTuple):
    """What is compared: the cells of one method on one task at one rate, whatever their seeds."""

    suite: str
    dataset: str
    task: str
    method: str
    params: str
    backbone: str
    contamination: str

    @property
    def of_method(self) -> ResultKey:
        """The same without data set and task: a method's mean over its tasks at one rate."""
        return self._replace(dataset="", task="")


@dataclass(slots=True)
class Measured:
    """One cell on one side.

    Attributes
    ----------
    status : str
        ``ok``, ``failed`` or ``missing``.
    metrics : dict of str to float
    record : Record or None
        None where the side is a CSV.
    random : bool
        The seed is the method's own, not only that of a draw of anomalies.
    """

    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    record: Record | None = None
    random: bool = False

    @property
    def unchecked(self) -> bool:
        """Whether its numbers are only what the record's text says: no scores that can be read fit them."""
        flags = () if self.record is None else self.record.flags
        return any(flag.startswith(UNCHECKED) for flag in flags)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What was measured, by place and seed.

    Attributes
    ----------
    name : str
        As it was given.
    cells : dict of ResultKey to (dict of str to Measured)
        The seed is a text, empty where nothing depends on one.
    archive : Archive or None
        Where the scores are.
    """

    name: str
    cells: dict[ResultKey, dict[str, Measured]]
    archive: Archive | None = None

    @property
    def suites(self) -> set[str]:
        return {place.suite for place in self.cells}

    def without_suite(self) -> Side:
        """Return the side with its one suite's name taken out, so that suites of two names compare."""
        return Side(
            self.name, {place._replace(suite=""): held for place, held in self.cells.items()}, self.archive
        )


def read_side(given: str, suite: str | None = None) -> Side:
    """Read one side.

    Parameters
    ----------
    given : str
        A results folder, a pack, a CSV, ``REV:PATH`` or ``REV``.
    suite : str, optional
        Only this one.

    Raises
    ------
    ArchiveError
        There is no such thing, or nothing in it that can be compared.
    """
    path = Path(given)
    if given and (is_pack(path) or Archive(path).suites() or (path / "plans").is_dir()):
        side = side_of_archive(given, open_archive(path), suite)
    elif given and path.is_dir():
        side = side_of_texts(given, _files(path))
    elif given and path.is_file():
        side = side_of_texts(given, [(given, _read(path))])
    else:
        side = side_of_texts(given, _committed(given))
    if suite is not None:
        kept = {place: held for place, held in side.cells.items() if place.suite == suite}
        side = Side(side.name, kept, side.archive)
    if not side.cells:
        what = f" of the suite {suite!r}" if suite else ""
        raise ArchiveError(f"{given} holds no results{what}; expected records, or CSVs of anobench export")
    return side


def read_baseline(given: str, suite: str) -> Side:
    """Return a suite's results in a pack, a results folder or a folder of records.

    Where there is one suite alone, it is that, whatever its name.

    Raises
    ------
    ArchiveError
        There is no archive, or it has several suites and none of this name.
    """
    archive = open_archive(Path(given))
    names = archive.suites()
    if suite not in names and len(names) != 1:
        raise ArchiveError(f"{given} holds no results of {suite!r}{did_you_mean(suite, names)}")
    return side_of_archive(given, archive, suite if suite in names else names[0])


def side_of_archive(name: str, archive: Archive, suite: str | None) -> Side:
    """Return what an archive holds, of one suite or of all."""
    cells: dict[ResultKey, dict[str, Measured]] = {}
    for each in archive.suites() if suite is None else [suite]:
        plan = archive.plan(each)
        records = load_verified(archive, (entry.cell.key for entry in plan.entries))
        for entry in plan.entries:
            *place, seed = place_fields(plan, entry)
            record = records.get(entry.cell.key)
            random = entry.cell.seed is not None
            measured = Measured("missing", random=random)
            if record is not None:
                measured = Measured(record.status, dict(record.metrics), record, random)
            cells.setdefault(ResultKey(*place), {})[seed] = measured
    return Side(name, cells, archive)


def side_of_texts(name: str, texts: Iterable[tuple[str, str]]) -> Side:
    """Return the side that exports say, each given by its file's name and its text; in their order.

    Raises
    ------
    ArchiveError
        A text is no export; the message names its file and line.
    """
    cells: dict[ResultKey, dict[str, Measured]] = {}
    for file, text in texts:
        for place, seed, metric, value, status in _lines(file, text):
            measured = cells.setdefault(place, {}).setdefault(seed, Measured(status, random=bool(seed)))
            if not math.isnan(value):
                measured.metrics[metric] = value
    # A method without a seed on any task is deterministic: its other seeds are those of draws.
    steady = {_method(place) for place, held in cells.items() if "" in held}
    for place, held in cells.items():
        for measured in held.values():
            measured.random &= _method(place) not in steady
    return Side(name, cells)


def _method(place: ResultKey) -> tuple[str, ...]:
    return place.suite, place.method, place.params, place.backbone


def _lines(file: str, text: str) -> Iterator[tuple[ResultKey, str, str, float, str]]:
    """Yield place, seed, metric, value (NaN where there is none) and status of each line."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if tuple(header) != HEADER:
        raise ArchiveError(f"{file} is no CSV of anobench export: its first line must be {','.join(HEADER)}")
    for fields in reader:
        try:
            *place, seed, metric, value, status = map(read_text, fields)
            yield ResultKey(*place), seed, metric, float(value) if value else math.nan, status
        except (ValueError, TypeError):
            raise ArchiveError(
                f"{file}, line {reader.line_num}: not a line of anobench export; write the file again"
            ) from None


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return name and text of the CSVs in a folder that are exports; others, as published.csv, are not."""
    texts = ((str(path), _read(path)) for path in sorted(folder.glob("*.csv")))
    return [(name, text) for name, text in texts if is_export(text)]


def is_export(text: str) -> bool:
    """Return whether a text begins as a CSV of ``anobench export`` does."""
    return text.partition("\n")[0].rstrip("\r") == ",".join(HEADER)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path} cannot be read ({error})") from None


def _committed(given: str) -> list[tuple[str, str]]:
    """Return name and text of a file at a git commit, or of the exports in a folder there."""
    rev, colon, path = given.partition(":")
    path = path if colon else DEFAULT_FOLDER
    try:
        if given.startswith("-"):
            raise ArchiveError("a commit's name begins with no dash")
        if _git("cat-file", "-t", f"{rev}:{path}").strip() == "blob":
            return [(given, _git("show", f"{rev}:{path}"))]
        names = _git("ls-tree", "--name-only", "-z", f"{rev}:{path}").split("\0")
        folder = f"{path.rstrip('/')}/" if path else ""
        inside = sorted(f"{rev}:{folder}{name}" for name in names if name.endswith(".csv"))
        texts = [(name, _git("show", name)) for name in inside]
    except ArchiveError as error:
        raise ArchiveError(
            f"there is no {given}: expected a results folder, a pack, a CSV of anobench export, or REV:PATH "
            f"for a folder or a CSV at a git commit, such as HEAD~1:results ({error})"
        ) from None
    return [(name, text) for name, text in texts if is_export(text)]


def _git(*words: str) -> str:
    """Run git in the working directory and return what it says.

    Raises
    ------
    ArchiveError
        It cannot be run, or does not know what was asked for.
    """
    try:
        ended = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ArchiveError(f"git cannot be run ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ArchiveError("it is no text") from None
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["nothing"]
        raise ArchiveError(f"git says: {said[-1].removeprefix('fatal: ')}")
    return ended.stdout
