"""CIFAR's python batches as a layout: pickles, read by an unpickler that knows nothing but arrays of bytes.

A pickle is a program that may import and call anything. Here each name that it gives is looked up in a list
of four, which stand for the numpy objects of the official batches and do nothing but hold what they are
given; every other name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.data.folders import FileReader
from bench.data.layouts import Files, FixedFiles
from bench.data.source import Pixels, Source

#: CIFAR's largest batch (CIFAR-100's train file) has 155 MB.
LIMIT_BYTES = 1 << 30
#: An unpickler allocates up to the largest number that an object is remembered by.
_LIMIT_MEMO = 10**7


class _Dtype:
    """Stands for ``numpy.dtype``: bytes alone are allowed."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"expected an array of bytes (u1), found {code!r}")

    def __setstate__(self, _: object) -> None:
        """Byte order and alignment mean nothing for bytes."""


class _Array:
    """Stands for ``numpy.ndarray`` and for the function that makes one; the array is `values`, read-only."""

    values: NDArray[np.uint8]

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_column, content = state
        if not (isinstance(dtype, _Dtype) and isinstance(content, bytes)):
            raise pickle.UnpicklingError("expected an array of bytes")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


class _Bytes:
    """Stands for the two ways in which Python 3 writes bytes in an old protocol."""

    def __new__(cls, text: str = "", encoding: str = "latin1") -> bytes:  # type: ignore[misc]
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"expected bytes in latin1, found {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError("expected bytes without a state")


_ALLOWED: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return _ALLOWED[module, name]


def read_batch(path: Path) -> dict[str, Any]:
    """Read a file that holds one pickled dict of lists, numbers, texts and arrays of bytes.

    Keys come as ``str``, also those of Python 2; arrays as read-only views of what was read.

    Raises
    ------
    DataError
        The file cannot be read, is truncated, or holds or names anything else; nothing that it names is ever
        imported or called.
    """
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise DataError(f"{path}: larger than {LIMIT_BYTES >> 20} MiB; expected a python batch of CIFAR")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        for opcode, argument, at in pickletools.genops(content):
            # Extensions may come from a cache that knows no `find_class`.
            if "EXT" in opcode.name or ("PUT" in opcode.name and (argument or 0) > _LIMIT_MEMO):
                raise pickle.UnpicklingError(f"refused at byte {at}: {opcode.name} {argument}")
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(found, dict):
            raise pickle.UnpicklingError(f"expected a dict, found a {type(found).__name__}")
        keys = [key.decode("latin1") if isinstance(key, bytes) else str(key) for key in found]
        values = [value.values if isinstance(value, _Array) else value for value in found.values()]
        return dict(zip(keys, values, strict=True))
    except Exception as error:  # what is damaged or hostile can fail in any way
        raise DataError(
            f"{path}: cannot be read as a python batch of CIFAR ({error or type(error).__name__}): it is "
            "truncated, or another file; get it again from the data set's official place"
        ) from None


@dataclass(frozen=True)
class PythonBatches(FixedFiles):
    """CIFAR's python batches, as torchvision unpacks them."""

    folders: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    label: str = "labels"

    @property
    def shape(self) -> str:  # type: ignore[override]
        return f"{self.folders[0]}/{{{','.join([*self.train, *self.test])}}}"

    def names(self) -> Files:
        return {"train": self.train, "test": self.test}

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        reader = FileReader(root, files)
        labels = np.concatenate([self._labels(root / file, len(classes)) for file in files])
        load = partial(self._pixels, [root / file for file in files], len(labels))
        return reader.source(name, len(labels), load), labels

    def _read(self, path: Path, key: str) -> object:
        batch = read_batch(path)
        if key not in batch:
            raise DataError(f"{path}: expected the key {key!r}{did_you_mean(key, batch)}")
        return batch[key]

    def _labels(self, path: Path, n_classes: int) -> NDArray[np.int64]:
        given = self._read(path, self.label)
        if not isinstance(given, list) or not all(isinstance(v, int) and 0 <= v < n_classes for v in given):
            raise DataError(
                f"{path}: expected {self.label!r} to be a list of numbers from 0 to {n_classes - 1}"
            )
        return np.array(given, np.int64)

    def _pixels(self, paths: Sequence[Path], n: int) -> Pixels:
        pixels, at = np.empty((n, 32, 32, 3), np.uint8), 0
        for path in paths:
            data = self._read(path, "data")
            try:
                if not isinstance(data, np.ndarray):
                    raise ValueError("expected an array of n x 3072 bytes")
                rows = data.reshape(-1, 3, 32, 32)
                pixels[at : at + len(rows)] = rows.transpose(0, 2, 3, 1)
            except ValueError as error:
                raise DataError(f"{path}: its images cannot be read ({error}); get it again") from None
            at += len(rows)
        return pixels
