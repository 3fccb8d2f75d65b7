"""CIFAR's python batches as a layout; they are pickles, and are read without unpickling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.data.fingerprint import files_fingerprint
from bench.data.layouts import Files, Layout
from bench.data.picklefree import PickledArray, read_pickled_dict
from bench.data.source import ArraySource, Pixels, Source


@dataclass(frozen=True)
class PythonBatches(Layout):
    """CIFAR's python batches, as torchvision unpacks them; read without unpickling."""

    folders: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    label: str = "labels"

    @property
    def shape(self) -> str:  # type: ignore[override]
        return f"{self.folders[0]}/{{{','.join([*self.train, *self.test])}}}"

    def find(self, folder: Path) -> tuple[Path, Files] | None:
        for name in self.folders:
            root = folder / name
            wanted = {"train": self.train, "test": self.test}
            there = {split: [n for n in names if (root / n).is_file()] for split, names in wanted.items()}
            if any(there.values()):
                missing = [
                    n
                    for split, names in wanted.items()
                    if there[split]
                    for n in names
                    if n not in there[split]
                ]
                if missing:
                    raise DataError(
                        f"{root}: expected {missing[0]}, which is missing; unpack the archive again"
                    )
                return root, {split: names for split, names in there.items() if names}
        return None

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        fingerprint = files_fingerprint(root, files)
        labels = np.concatenate([self._labels(root / file, len(classes)) for file in files])
        load = partial(self._pixels, [root / file for file in files], len(labels))
        return ArraySource(name, fingerprint, len(labels), load), labels

    def _read(self, path: Path, key: str) -> object:
        batch = read_pickled_dict(path)
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
                rows = data.numpy().reshape(-1, 3, 32, 32) if isinstance(data, PickledArray) else None
                if rows is None or rows.dtype != np.uint8:
                    raise ValueError("expected an array of n x 3072 bytes")
                pixels[at : at + len(rows)] = rows.transpose(0, 2, 3, 1)
            except ValueError as error:
                raise DataError(f"{path}: its images cannot be read ({error}); get it again") from None
            at += len(rows)
        return pixels
