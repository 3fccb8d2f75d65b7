"""Layouts with one array per split: IDX files (MNIST and its relatives) and MATLAB files (SVHN)."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.data.folders import FileReader
from bench.data.layouts import Files, FixedFiles
from bench.data.source import Pixels, Source


@dataclass(frozen=True)
class Idx(FixedFiles):
    """MNIST's files ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, ``t10k-…``, or gzipped."""

    folders: tuple[str, ...]
    endings = ("", ".gz")

    @property
    def shape(self) -> str:  # type: ignore[override]
        return f"{self.folders[0]}/{{train,t10k}}-{{images-idx3,labels-idx1}}-ubyte[.gz]"

    def names(self) -> Files:
        stems = {"train": "train", "test": "t10k"}
        kinds = ("images-idx3", "labels-idx1")
        return {split: [f"{stem}-{kind}-ubyte" for kind in kinds] for split, stem in stems.items()}

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        images, labels_file = root / files[0], root / files[1]
        reader = FileReader(root, files)
        labels = read_idx(labels_file, ndim=1).astype(np.int64)
        check_labels(labels, labels_file, len(classes))
        return reader.source(name, len(labels), partial(_grey_pixels, images, len(labels))), labels


def read_idx(path: Path, *, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes.

    Raises
    ------
    DataError
        It cannot be read, is truncated, or is of another kind.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); it may be truncated: get it again") from None
    start = 4 + 4 * ndim
    if len(content) < start or content[:4] != bytes([0, 0, 8, ndim]):
        raise DataError(f"{path}: expected an IDX file of bytes with {ndim} dimensions, found something else")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", ndim, 4))
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: expected {math.prod(shape)} bytes for the shape {shape}, found {len(content) - start}; "
            "it may be truncated: get it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _grey_pixels(path: Path, n: int) -> Pixels:
    grey = read_idx(path, ndim=3)
    if len(grey) != n:
        raise DataError(f"{path}: expected {n} images, one a label, found {len(grey)}")
    return np.repeat(grey[..., None], 3, axis=3)


@dataclass(frozen=True)
class Mat(FixedFiles):
    """SVHN's cropped digits: ``train_32x32.mat``, ``test_32x32.mat`` with X (32, 32, 3, n) and y (n, 1).

    The digit 0 has the label 10 there.
    """

    folders: tuple[str, ...]

    @property
    def shape(self) -> str:  # type: ignore[override]
        return f"{self.folders[0]}/{{train,test}}_32x32.mat"

    def names(self) -> Files:
        return {split: [f"{split}_32x32.mat"] for split in ("train", "test")}

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        path = root / files[0]
        reader = FileReader(root, files)
        labels = read_mat(path, "y").ravel().astype(np.int64) % 10
        check_labels(labels, path, len(classes))
        return reader.source(name, len(labels), partial(self._pixels, path)), labels

    def _pixels(self, path: Path) -> Pixels:
        pixels = read_mat(path, "X")
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise DataError(f"{path}: expected X to be bytes of shape (32, 32, 3, n), found {pixels.shape}")
        return np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))


def read_mat(path: Path, name: str) -> NDArray[Any]:
    """Read one variable of a MATLAB file (version 7 or older).

    Raises
    ------
    DataError
        It cannot be read, or does not have the variable.
    """
    from scipy.io import loadmat

    try:
        found: NDArray[Any] = np.asarray(loadmat(path, variable_names=[name])[name])
    except KeyError:
        raise DataError(f"{path}: expected the variable {name!r}, which is missing") from None
    except Exception as error:  # scipy raises many kinds on a damaged file
        raise DataError(f"{path}: cannot be read as a MATLAB file ({error}); get it again") from None
    return found


def check_labels(labels: NDArray[np.int64], path: Path, n_classes: int) -> None:
    """Raise `DataError` if a label is outside 0 … n_classes - 1."""
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        raise DataError(
            f"{path}: expected labels from 0 to {n_classes - 1}, found {labels.min()} to {labels.max()}"
        )
