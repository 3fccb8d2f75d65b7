"""Listings: which images of a category are for training and which for testing, and where their masks are."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import DataError, did_you_mean
from bench.core.files import is_file
from bench.data.folders import list_images
from bench.data.task import NORMAL_TYPE

#: Words that split files use for a normal image and for an anomaly without a type; any other label is the
#: defect's type.
NORMAL_WORDS = frozenset({"good", "normal", "ok", "0", "false"})
ANOMALY_WORDS = frozenset({"anomaly", "anomalous", "bad", "ng", "1", "true"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One test image.

    Attributes
    ----------
    file : str
        Posix path relative to the listing's root.
    type : str
        Its defect type, or ``"good"``.
    masks : tuple of str
        Mask files; the defect is where any of them is not 0.
    """

    file: str
    type: str
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """One category: root folder, train images (all normal), test samples.

    Attributes
    ----------
    has_masks : bool
        False where the data set gives no masks at all; else every anomaly has at least one.
    more : tuple of str
        Other files that decide what is in the listing (a split file): part of the fingerprint.
    """

    root: Path
    train: Sequence[str]
    test: Sequence[Sample]
    has_masks: bool = True
    more: tuple[str, ...] = field(default=())

    def checked(self, what: str) -> Listing:
        """Return the listing if it can be a task.

        Raises
        ------
        DataError
            No train image, no normal or no anomalous test image, an anomaly without a mask, or an
            image that is in train and in test.
        """
        good = [sample for sample in self.test if sample.type == NORMAL_TYPE]
        for found, expected in (
            (self.train, "normal train images"),
            (good, "normal test images"),
            (len(self.test) - len(good), "anomalous test images"),
        ):
            if not found:
                raise DataError(
                    f"{what}: {self.root} has no {expected}; this copy of the data set is incomplete"
                )
        if self.has_masks:
            for sample in self.test:
                if sample.type != NORMAL_TYPE and not sample.masks:
                    raise DataError(
                        f"{self.root / sample.file}: this anomaly has no mask; get the ground truth too"
                    )
        if both := sorted(set(self.train) & {sample.file for sample in self.test}):
            raise DataError(f"{self.root / both[0]}: this image is in the train split and in the test split")
        return self


def mvtec_listing(
    root: Path,
    *,
    train: str = "train/good",
    test: str = "test",
    good: str = "test/good",
    truth: str = "ground_truth",
    suffix: str = "_mask",
) -> Listing:
    """List a category in MVTec AD's layout.

    ::

        <root>/train/good/000.png
        <root>/test/good/000.png, <root>/test/<defect>/000.png
        <root>/ground_truth/<defect>/000_mask.png     (or .../000.png, or a folder .../000/ of several)

    Parameters
    ----------
    root : Path
    train, test, good, truth : str
        Folders of the train images, of the test images by type, of the normal test images, and of the masks,
        which may be inside `test`.
    suffix : str
        What follows the image's name in a mask's name.

    Raises
    ------
    DataError
        A folder is missing, a mask belongs to no image, or an image has no mask.
    """
    _check_folders(root, train, test)
    masks = _masks_by_image(root, truth, suffix)
    normal = [Sample(file, NORMAL_TYPE) for file in list_images(root / good, root)]
    samples = []
    types = sorted(
        path.name
        for path in (root / test).iterdir()
        if path.is_dir() and path != root / truth and not path.name.startswith(".")
    )
    good_name = Path(good).name
    for kind in types:
        for file in list_images(root / test / kind, root):
            stem = file.rpartition("/")[2].rpartition(".")[0]
            if kind == good_name:
                masks.pop(f"{kind}/{stem}", None)
            else:
                samples.append(Sample(file, kind, masks.pop(f"{kind}/{stem}", ())))
    if masks:
        raise DataError(
            f"{root / next(iter(masks.values()))[0]}: this mask belongs to no image in {root / test}"
        )
    with_masks = (root / truth).is_dir()
    return Listing(root, list_images(root / train, root), [*normal, *samples], with_masks).checked(root.name)


def _check_folders(root: Path, train: str, test: str) -> None:
    """Raise if a folder is missing, or if there is another one beside the train images."""
    for folder in (train, test):
        if not (root / folder).is_dir():
            found = ", ".join(sorted(path.name for path in root.iterdir())) if root.is_dir() else "nothing"
            raise DataError(f"{root}: expected the folder {folder}, found {found or 'an empty folder'}")
    beside = [p.name for p in (root / train).parent.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if "/" in train and beside != [Path(train).name]:
        raise DataError(
            f"{root / train}: expected no other folder beside it, found {', '.join(sorted(beside))}"
        )


def _masks_by_image(root: Path, truth: str, suffix: str) -> dict[str, tuple[str, ...]]:
    """Return mask files by ``<defect>/<stem of the image>``."""
    found: dict[str, tuple[str, ...]] = {}
    for file in list_images(root / truth, root):
        kind, *rest = file.removeprefix(f"{truth}/").split("/")
        stem = Path(rest[0]).stem.removesuffix(suffix) if len(rest) == 1 else rest[0] if rest else kind
        key = f"{kind}/{stem}"
        found[key] = (*found.get(key, ()), file)
    return found


def read_rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file that must have the given columns; each row has all columns, and its line as ``#``.

    Raises
    ------
    DataError
        It is missing, not a CSV file or empty, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [
                {"#": str(line), **{name: (value or "").strip() for name, value in row.items() if name}}
                for line, row in enumerate(reader, 2)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None
    for column in columns:
        if column not in header:
            raise DataError(f"{path}: there is no column {column!r}{did_you_mean(column, header)}")
    if not rows:
        raise DataError(f"{path}: there are no rows below the header")
    return rows


def _type_of(label: str) -> str:
    word = label.lower()
    return NORMAL_TYPE if word in NORMAL_WORDS else "anomaly" if word in ANOMALY_WORDS else label


def csv_listing(
    root: Path,
    table: Path,
    rows: Sequence[dict[str, str]],
    *,
    image_column: str,
    what: str,
    masked: bool = True,
) -> Listing:
    """Make a listing of rows with the columns `image_column`, ``split``, ``label`` and, if any, ``mask``.

    Raises
    ------
    DataError
        A split that is neither train nor test, an anomaly in the train split, or a file that is missing; the
        message names the table's line.
    """
    train, test = [], []
    for row in rows:
        kind = _type_of(row["label"])
        mask = row.get("mask", "") if kind != NORMAL_TYPE else ""
        if not kind or not row[image_column]:
            raise DataError(f"{table}, line {row['#']}: expected an image and a label, found {row}")
        for file in filter(None, (row[image_column], mask)):
            if not is_file(root / file):
                raise DataError(f"{table}, line {row['#']}: {root / file} does not exist")
        if row["split"] == "test":
            test.append(Sample(row[image_column], kind, (mask,) if mask else ()))
        elif row["split"] != "train":
            raise DataError(
                f"{table}, line {row['#']}: expected the split train or test, found {row['split']!r}"
            )
        elif kind != NORMAL_TYPE:
            raise DataError(
                f"{table}, line {row['#']}: an anomaly ({kind}) in the train split; "
                "expected normal images only: contaminate with a suite's contamination instead"
            )
        else:
            train.append(row[image_column])
    with_masks = masked and any(sample.masks for sample in test)
    return Listing(root, train, test, with_masks, (table.relative_to(root).as_posix(),)).checked(what)
