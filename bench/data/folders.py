"""Folders of images: listing them, and reading them, or boxes in them, as a source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.data.fingerprint import file_hashes, files_fingerprint
from bench.data.source import EncodedSource, Pixels

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class FileSource(EncodedSource):
    """Image files under one root, a row each, in the order given.

    Parameters
    ----------
    root : Path
    files : sequence of str
        Posix paths relative to `root`.

    Raises
    ------
    DataError
        A file cannot be read or is truncated; the message names it.
    """

    def __init__(self, name: str, root: Path, files: Sequence[str]) -> None:
        files = tuple(files)
        # The order counts too: a fingerprint and a row must always name the same image.
        in_order = hashlib.sha256(
            "\0".join([files_fingerprint(root, files), *files]).encode(errors="replace")
        )
        super().__init__(
            name,
            in_order.hexdigest(),
            len(files),
            lambda row: (root / files[row]).read_bytes(),
            lambda row: str(root / files[row]),
        )
        self._root, self._files = root, files

    def contents(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the first eight bytes of each file's sha256: the same file anywhere is the same image."""
        hashes = file_hashes(self._root, [self._files[row] for row in rows])
        return np.array([int(digest[:16], 16) for digest in hashes], np.uint64)


def neutral_order(files: Iterable[str]) -> list[str]:
    """Return files in an order that says nothing about their class or defect: by the sha256 of their names.

    A method must not be able to read a label off an image's position.
    """
    return sorted(files, key=lambda file: hashlib.sha256(file.encode(errors="replace")).digest())


def held_out(files: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Split files 80 % (rounded down) to 20 % into train and test, for data sets without an official split.

    The sha256 of ``<seed>/<file>`` decides, so that the split is the same on every platform.
    """
    ordered = sorted(
        files, key=lambda file: hashlib.sha256(f"{seed}/{file}".encode(errors="replace")).digest()
    )
    n_train = len(ordered) * 4 // 5
    return ordered[:n_train], ordered[n_train:]


def list_images(folder: Path, root: Path) -> list[str]:
    """Return the image files anywhere under a folder, sorted, as posix paths relative to `root`.

    Hidden files and folders, and other files, are skipped.
    """
    found: list[str] = []
    start = len(os.path.join(os.fspath(root), ""))  # noqa: PTH118
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = path[start:].replace(os.sep, "/")
        inside = f"{inside}/" if inside else ""
        found += [
            inside + name
            for name in names
            if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")
        ]
    return sorted(found)


class Crop(NamedTuple):
    """A box in an image: pixel rows ``top:bottom`` and columns ``left:right``, half-open.

    `file` is a posix path relative to the source's root.
    """

    file: str
    top: int
    left: int
    bottom: int
    right: int

    def checked(self, where: str) -> Crop:
        """Return the crop if its box has pixels, else raise a `DataError` that names `where`."""
        if min(self.top, self.left) < 0 or self.bottom <= self.top or self.right <= self.left:
            raise DataError(
                f"{where}: expected a box with 0 <= first < last in rows and columns, "
                f"found rows {self.top} to {self.bottom} and columns {self.left} to {self.right}"
            )
        return self


def neutral_crops(crops: Iterable[Crop]) -> list[Crop]:
    """Return crops in an order that says nothing about their class: by the sha256 of file and box."""
    return sorted(crops, key=lambda crop: hashlib.sha256(repr(tuple(crop)).encode()).digest())


class CropSource(EncodedSource):
    """Crops of image files under one root, a row each, in the order given.

    Parameters
    ----------
    root : Path
    crops : sequence of Crop
        A box is clipped to its image.
    sizes : sequence of int
        Each crop is resized (bilinear with antialiasing, 8 bit) to these square sizes in turn; empty leaves
        it as it is.

    Raises
    ------
    DataError
        A file cannot be read or is truncated; the message names it.
    """

    def __init__(self, name: str, root: Path, crops: Sequence[Crop], *, sizes: Sequence[int] = ()) -> None:
        crops, sizes = tuple(crops), tuple(sizes)
        files = files_fingerprint(root, sorted({crop.file for crop in crops}))
        described = "\n".join([files, repr(sizes), *(repr(tuple(crop)) for crop in crops)])

        def where(row: int) -> str:
            file, *box = crops[row]
            return f"{root / file}, rows {box[0]} to {box[2]}, columns {box[1]} to {box[3]}"

        def cut(row: int, pixels: Pixels) -> Pixels:
            _, top, left, bottom, right = crops[row]
            inside = pixels[top:bottom, left:right]
            if not inside.size:
                height, width = pixels.shape[:2]
                raise DataError(f"{where(row)}: this box lies outside its image of {width} x {height} pixels")
            return resized_in_turn(inside, sizes)

        super().__init__(
            name,
            hashlib.sha256(described.encode(errors="replace")).hexdigest(),
            len(crops),
            lambda row: (root / crops[row].file).read_bytes(),
            where,
        )
        self._cut = cut

    def _decode(self, row: int) -> Pixels:
        return self._cut(row, super()._decode(row))


def resized_in_turn(pixels: Pixels, sizes: Sequence[int]) -> Pixels:
    """Return an image (h, w, 3) resized to each square size in turn, rounded to 8 bit each time."""
    if not sizes:
        return np.ascontiguousarray(pixels)
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    for size in sizes:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
