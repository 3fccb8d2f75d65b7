"""Rows of a CSV file that says which images are for what: read as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.core.errors import DataError, did_you_mean
from bench.core.files import is_file
from bench.data.task import NORMAL_TYPE
from bench.data.walk import OnDisk, composed

#: Words that split files use for a normal image and for an anomaly without a type; any other label is the
#: defect's type.
NORMAL_WORDS = frozenset({"good", "normal", "ok", "0", "false"})
ANOMALY_WORDS = frozenset({"anomaly", "anomalous", "bad", "ng", "1", "true"})


class ListedImage(NamedTuple):
    """One image of a table: its line, its file as the disk has it, split, type and mask (empty if none)."""

    line: str
    file: str
    split: str
    type: str
    mask: str


def read_rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file that must have the given columns; each row has all columns, and its line as ``#``.

    Commas separate the columns, or semicolons or tabs where the header has no comma.

    Raises
    ------
    DataError
        It is missing, not a CSV file or empty, a column is missing or there twice, or a row has too many.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            separator = next((each for each in ",;\t" if each in first), ",")
            reader = csv.DictReader(file, delimiter=separator)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [{"#": str(reader.line_num), **_cells(path, reader.line_num, row)} for row in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); save it in UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None
    for column in columns:
        if column not in header:
            raise DataError(f"{path}: there is no column {column!r}{did_you_mean(column, header)}")
        if header.count(column) > 1:
            raise DataError(f"{path}: the column {column!r} is there {header.count(column)} times")
    if not rows:
        raise DataError(f"{path}: there are no rows below the header")
    return rows


def _cells(path: Path, line: int, row: dict[str | None, str | list[str] | None]) -> dict[str, str]:
    if more := row.pop(None, None):
        raise DataError(
            f"{path}, line {line}: {len(more)} values more than the header has columns; "
            "put a value that holds the separator into quotes"
        )
    return {name: str(value or "").strip() for name, value in row.items() if name}


def image_rows(
    root: Path, table: Path, rows: Sequence[dict[str, str]], image_column: str
) -> list[ListedImage]:
    """Read rows with the columns `image_column`, ``split``, ``label`` and, if any, ``mask``.

    A path is taken in any spelling: with ``./``, backslashes, or letters composed otherwise than on the disk.

    Raises
    ------
    DataError
        A value is missing or not known, a file does not exist, or an image is in several rows, be it under
        several names.
    """
    disk, found = OnDisk(root), []
    seen: dict[str, ListedImage] = {}
    folders: dict[str, str] = {}
    for given in rows:
        row = _row(table, given, image_column)
        file, mask = (_on_disk(disk, root, table, row, name) for name in (row.file, row.mask))
        row = row._replace(file=file, mask=mask)
        identity = _identity(os.path.join(root, file), folders)  # noqa: PTH118
        if (first := seen.setdefault(identity, row)) is not row:
            raise DataError(_twice(root, table, first, row))
        if mask and identity == _identity(os.path.join(root, mask), folders):  # noqa: PTH118
            raise DataError(f"{table}, line {row.line}: {root / file} cannot be its own mask")
        found.append(row)
    return found


def _row(table: Path, given: dict[str, str], image_column: str) -> ListedImage:
    kind, split = _type_of(given["label"]), given["split"].lower()
    mask = given.get("mask", "") if kind != NORMAL_TYPE else ""
    if not kind or not given[image_column]:
        raise DataError(f"{table}, line {given['#']}: expected an image and a label, found {given}")
    if split not in ("train", "test"):
        raise DataError(
            f"{table}, line {given['#']}: expected the split train or test, found {given['split']!r}"
        )
    return ListedImage(given["#"], given[image_column], split, kind, mask)


def _type_of(label: str) -> str:
    word = label.lower()
    if word.replace(".", "", 1).isdecimal() and float(word) in (0, 1):
        word = str(int(float(word)))  # pandas writes 1 as 1.0 where a row has none
    if word in NORMAL_WORDS:
        return NORMAL_TYPE
    return "anomaly" if word in ANOMALY_WORDS else composed(label)


def _on_disk(disk: OnDisk, root: Path, table: Path, row: ListedImage, name: str) -> str:
    if not name:
        return ""
    found = disk.find(name)
    if found is None or not is_file(root / found):
        raise DataError(f"{table}, line {row.line}: {root / name} does not exist")
    # Without ./ and the like, so that one file has one name.
    return os.path.normpath(found).replace(os.sep, "/") if _folded(found) else found


def _folded(name: str) -> bool:
    return any(part in ("", ".", "..") for part in name.split("/")[1:]) or name.startswith("./")


def _identity(path: str, folders: dict[str, str]) -> str:
    """Return a file's real path; the folders' are kept, since many files share one."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    real = os.path.join(folders[folder], name)  # noqa: PTH118
    return os.path.realpath(real) if stat.S_ISLNK(os.lstat(real).st_mode) else real


def _twice(root: Path, table: Path, first: ListedImage, again: ListedImage) -> str:
    where = f"{table}, lines {first.line} and {again.line}: {root / again.file}"
    if first.split != again.split:
        return f"{where}: this image is in the train split and in the test split; remove one of the lines"
    if first.type != again.type:
        return f"{where} is labelled {first.type} and {again.type}; remove the wrong line"
    return f"{where} is listed twice; remove one of the lines"
