"""Images in files: the files themselves, or boxes in them, as a source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.data.fingerprint import combined, entries_of, file_sha256, stamp_of
from bench.data.source import ArraySource, EncodedSource, Pixels


class FileReader:
    """Reads files of one root, and makes sure that each still is what the fingerprint was taken of.

    Parameters
    ----------
    root : Path
    files : sequence of str
        Posix paths relative to `root`.

    Attributes
    ----------
    fingerprint : str
        As of `bench.data.fingerprint.files_fingerprint`.
    known : dict
        Stamp, sha256 and damage of each file.
    """

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self._prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118
        entries = entries_of(Path(os.path.realpath(root)), files)
        self.fingerprint = combined(root, files, entries)
        self.known = dict(zip(files, entries, strict=True))

    def read(self, file: str) -> bytes:
        """Return a file's content.

        Raises
        ------
        DataError
            It cannot be read, or its content has changed.
        """
        path, (stamp, sha256, _) = self._prefix + file, self.known[file]
        try:
            with open(path, "rb") as opened:  # noqa: PTH123
                now, content = stamp_of(os.fstat(opened.fileno())), opened.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        if now != stamp and hashlib.sha256(content).hexdigest() != sha256:
            raise _changed(path)
        return content

    def source(self, name: str, n: int, load: Callable[[], Pixels]) -> ArraySource:
        """Return the images of files that hold arrays; `load` reads all of them.

        Raises
        ------
        DataError
            Labels that were read of the files since this reader was made may be of others: see `check`.
        """

        def checked() -> Pixels:
            pixels = load()
            self.check()
            return pixels

        self.check()
        return ArraySource(name, self.fingerprint, n, checked)

    def check(self) -> None:
        """Make sure that what was read of the files by other ways was read of those that are known.

        Raises
        ------
        DataError
            A file cannot be read, or its content has changed.
        """
        for file, (stamp, sha256, _) in self.known.items():
            path = Path(self._prefix + file)
            try:
                if stamp_of(path.stat()) == stamp or file_sha256(path) == sha256:
                    continue
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
            raise _changed(path)


def _changed(path: object) -> DataError:
    return DataError(
        f"{path}: this file has changed since the data set was opened; run the same command again"
    )


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
        reader = FileReader(root, files)
        # The order counts too: a fingerprint and a row must always name the same image.
        in_order = hashlib.sha256("\0".join([reader.fingerprint, *files]).encode(errors="replace"))
        #: sha256 of each file's content, in the order of the rows.
        self.hashes = [reader.known[file][1] for file in files]
        super().__init__(
            name,
            in_order.hexdigest(),
            len(files),
            lambda row: reader.read(files[row]),
            lambda row: str(root / files[row]),
        )
        self._sha256 = [reader.known[file][1] for file in files]

    def contents(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the first eight bytes of each file's sha256: the same file anywhere is the same image."""
        return np.array([int(self._sha256[row][:16], 16) for row in rows], np.uint64)


def neutral_order(files: Iterable[str]) -> list[str]:
    """Return files in an order that says nothing about their class or defect: by the sha256 of their names.

    A method must not be able to read a label off an image's position.
    """
    return sorted(files, key=lambda file: hashlib.sha256(file.encode(errors="replace")).digest())


def held_out(files: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Split files 80 % (rounded down) to 20 % into train and test, for data sets without an official split.

    The sha256 of ``<seed>/<file>`` decides, so that the split is the same on every platform.

    Examples
    --------
    >>> train, test = bench.held_out([f"{number}.png" for number in range(10)], seed=0)
    >>> len(train), len(test), set(train) & set(test)
    (8, 2, set())
    """
    ordered = sorted(
        files, key=lambda file: hashlib.sha256(f"{seed}/{file}".encode(errors="replace")).digest()
    )
    n_train = len(ordered) * 4 // 5
    return ordered[:n_train], ordered[n_train:]


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
        within = sorted({crop.file for crop in crops})
        reader = FileReader(root, within)
        described = "\n".join([reader.fingerprint, repr(sizes), *(repr(tuple(crop)) for crop in crops)])

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
            lambda row: reader.read(crops[row].file),
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
