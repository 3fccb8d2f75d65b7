"""Listings: which images of a category are for training and which for testing, and where their masks are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import DataError
from bench.data.rows import ListedImage, image_rows
from bench.data.task import NORMAL_TYPE
from bench.data.walk import composed, list_images, subfolders


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
    types = [path.name for path in subfolders(root / test) if path != root / truth]
    good_name = Path(good).name
    for kind in types:
        for file in list_images(root / test / kind, root):
            key = composed(f"{kind}/{file.rpartition('/')[2].rpartition('.')[0]}")
            if kind == good_name:
                masks.pop(key, None)
            else:
                samples.append(Sample(file, composed(kind), masks.pop(key, ())))
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
    beside = [path.name for path in subfolders((root / train).parent)]
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
        key = composed(f"{kind}/{stem}")
        found[key] = (*found.get(key, ()), file)
    return found


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

    Images that lie outside `root` are listed from the nearest folder that holds it and them.

    Raises
    ------
    DataError
        A split that is neither train nor test, an anomaly in the train split, an image in several rows, or a
        file that is missing; the message names the table's lines.
    """
    found = image_rows(root, table, rows, image_column)
    for row in found:
        if row.split == "train" and row.type != NORMAL_TYPE:
            raise DataError(
                f"{table}, line {row.line}: an anomaly ({row.type}) in the train split; "
                "expected normal images only: contaminate with a suite's contamination instead"
            )
    base = _common_root(root, found)

    def inside(file: str) -> str:
        return file if base == root else Path(os.path.relpath(root / file, base)).as_posix()

    train = [inside(row.file) for row in found if row.split == "train"]
    test = [
        Sample(inside(row.file), row.type, tuple(inside(mask) for mask in filter(None, (row.mask,))))
        for row in found
        if row.split == "test"
    ]
    with_masks = masked and any(sample.masks for sample in test)
    return Listing(base, train, test, with_masks, (table.relative_to(base).as_posix(),)).checked(what)


def _common_root(root: Path, rows: Sequence[ListedImage]) -> Path:
    """Return the table's folder, or where files lie outside it the nearest one that holds all of them."""
    files = [file for row in rows for file in (row.file, row.mask)]
    if not any(file.startswith(("/", "..")) or ":" in file[:3] for file in files):
        return root
    full = {os.path.dirname(os.path.abspath(root / file)) for file in files if file}  # noqa: PTH100, PTH120
    return Path(os.path.commonpath([os.path.abspath(root), *full]))  # noqa: PTH100
