"""Published numbers: what papers and repositories print, each with its source.

The stock file is ``results/published.csv`` beside the leaderboards; a bench folder of one's own may hold
another one, whose rows are added. `bench.report.published.row` says what its columns mean.
"""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import PublishedError, did_you_mean
from bench.report.published.row import COLUMNS, REQUIRED, Published, published_row

__all__ = ["Published", "load_published", "named", "read_published"]

#: Where a bench folder keeps its published numbers.
FILE = Path("results", "published.csv")


def load_published(folders: Iterable[Path]) -> tuple[Published, ...]:
    """Return the published numbers of all bench folders, each once, in the order of folders and lines.

    Parameters
    ----------
    folders : iterable of Path
        Bench folders; those without the file are passed over.

    Raises
    ------
    PublishedError
        A file cannot be used, or two rows say different values for the same thing.
    """
    files = dict.fromkeys((folder / FILE).resolve() for folder in folders if (folder / FILE).is_file())
    found: dict[tuple[Any, ...], Published] = {}
    for path in files:
        for row in read_published(path):
            other = found.setdefault(row.identity, row)
            if other.value != row.value:
                raise PublishedError(
                    f"{row.where}: {row.source}: {row.name} on {row.dataset}/{row.task} has {row.metric} "
                    f"{row.printed}, but {other.where} says {other.printed}; correct one of the two rows, or "
                    "tell them apart by source or variant"
                )
    return tuple(found.values())


def read_published(path: Path) -> list[Published]:
    """Read one file.

    Raises
    ------
    PublishedError
        It cannot be read, misses a column, has an unknown one, or a row is not valid: names file, line,
        column and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PublishedError(f"{path} cannot be read ({error}); it must be a CSV file in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        _check_header(path, list(reader.fieldnames or ()))
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if None in fields or None in fields.values():
                raise PublishedError(
                    f"{where}: expected as many fields as the header has, {len(reader.fieldnames or ())}; "
                    "put fields that hold commas into double quotes"
                )
            rows.append(published_row({key: value.strip() for key, value in fields.items()}, where))
    except csv.Error as error:
        where = f"{path}, line {reader.line_num + 1}"
        raise PublishedError(f"{where}: not CSV ({error}); mend the quotes") from None
    return rows


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise PublishedError(
                f"{path}, line 1: unknown column {name!r}{did_you_mean(name or '', COLUMNS)}"
            )
        if header.count(name) > 1:
            raise PublishedError(f"{path}, line 1: the column {name!r} is there twice; leave one out")
    if lacking := [name for name in REQUIRED if name not in header]:
        raise PublishedError(
            f"{path}, line 1: the column {lacking[0]!r} is missing; columns: {', '.join(COLUMNS)}"
        )


def named(rows: Iterable[Published], method: str, *, dataset: str = "*", task: str = "*") -> list[Published]:
    """Return the rows of a method, by the adapter's name or as printed, whatever the case.

    Parameters
    ----------
    method, dataset, task : str
        Globs; a data set goes by its name without parameters too.

    Raises
    ------
    PublishedError
        There is no such method, or none of its rows is on that data set or task.
    """
    every = list(rows)
    found = [row for row in every if _any(method, (row.method, row.label, row.name))]
    if not found:
        known = {name for row in every for name in (row.method, row.label) if name}
        raise PublishedError(f"no published number of {method!r}{did_you_mean(method, known)}")
    at = [row for row in found if _any(dataset, (row.dataset, row.dataset.partition("[")[0]))]
    if not at:
        there = {row.dataset for row in found}
        raise PublishedError(
            f"no published number of {method!r} on the data set {dataset!r}{did_you_mean(dataset, there)}"
        )
    chosen = [row for row in at if _any(task, (row.task,))]
    if not chosen:
        there = {row.task for row in at}
        raise PublishedError(
            f"no published number of {method!r} on the task {task!r}{did_you_mean(task, there)}"
        )
    return chosen


def _any(pattern: str, names: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for name in names)
