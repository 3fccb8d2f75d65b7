"""Layouts: how the splits of an image classification set may be stored on disk, and how each is read.

A layout looks into one folder and says which files hold which split (`find`), then opens a split of them
(`open`) without decoding an image. `bench.data.copies` goes through the layouts that a data set accepts.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.data.folders import FileSource, neutral_order
from bench.data.parquet import ParquetTable
from bench.data.source import Source
from bench.data.walk import list_images

#: Files of each split, relative to the folder that a layout looked into.
Files = Mapping[str, Sequence[str]]


def spelled(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the folders of given names in a folder, those that are spelled so first.

    Case, hyphens, underscores and blanks do not matter: ``MVTec-AD`` is ``mvtec_ad``. A name may have parts,
    ``cifar10/plain_text``.
    """
    names = tuple(names)
    exact = [folder / name for name in names if (folder / name).is_dir()]
    found = dict.fromkeys(path for name in names for path in _alike(folder, name.split("/")))
    return [*exact, *(path for path in found if path not in exact)]


def _alike(folder: Path, parts: Sequence[str]) -> list[Path]:
    if not parts:
        return [folder]
    alike = [path for path in _folders(folder) if _plain(path.name) == _plain(parts[0])]
    return [path for inside in alike for path in _alike(inside, parts[1:])]


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


class Layout(ABC):
    """One accepted layout.

    Attributes
    ----------
    shape : str
        How it looks under a data folder, for messages.
    """

    shape: str

    @abstractmethod
    def find(self, folder: Path) -> tuple[Path, Files] | None:
        """Return the root and the files of each split under a folder of ``ANOBENCH_DATA``, None if none."""

    @abstractmethod
    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        """Open one split: its images, and the class number of each row as the files give it."""


class FixedFiles(Layout):
    """Files of fixed names in one of several folders.

    Attributes
    ----------
    folders : tuple of str
        Under a data folder; the first that holds a split counts.
    endings : tuple of str
        What each name may end in, ``".gz"`` say.
    """

    folders: tuple[str, ...]
    endings: ClassVar[tuple[str, ...]] = ("",)

    @abstractmethod
    def names(self) -> Files:
        """Return the names of each split's files."""

    def find(self, folder: Path) -> tuple[Path, Files] | None:
        problem: DataError | None = None
        for root in spelled(folder, self.folders):
            found = {}
            for split, names in self.names().items():
                candidates = [[name + ending for ending in self.endings] for name in names]
                there = [next((file for file in each if (root / file).is_file()), "") for each in candidates]
                if all(there):
                    found[split] = there
                elif any(there):
                    found.clear()
                    problem = problem or DataError(
                        f"{root}: expected {names[there.index('')]}, which is missing, found only "
                        f"{', '.join(filter(None, there))}; get it too, or unpack the archive again"
                    )
                    break
            if found:
                return root, found
        if problem:
            raise problem
        return None


@dataclass(frozen=True)
class Parquet(Layout):
    """Parquet files of the hub: ``<dataset>/<config>/train-00000-of-00001.parquet`` (or without config)."""

    dataset: str
    image: str = "image"
    label: str = "label"
    config: str = "*"
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("test", "test"))

    @property
    def shape(self) -> str:  # type: ignore[override]
        inside = f"{self.config}/" if self.config not in ("", "*") else "[<config>/]"
        return f"{self.dataset}/{inside}{{train,test}}-*.parquet (columns {self.image}, {self.label})"

    def find(self, folder: Path) -> tuple[Path, Files] | None:
        for root in spelled(folder, [self.dataset]):
            for inside in (f"{self.config}/", "") if self.config else ("",):
                files = {
                    split: sorted(
                        path.relative_to(root).as_posix() for path in root.glob(f"{inside}{stem}-*.parquet")
                    )
                    for split, stem in self.splits
                }
                if any(files.values()):
                    for names in files.values():
                        _all_shards(root, names)
                    return root, {split: names for split, names in files.items() if names}
        return None

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        table = ParquetTable(name, [root / file for file in files], image=self.image, label=self.label)
        labels = table.labels(classes)
        if labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
            raise DataError(
                f"{table.files[0]}: expected labels from 0 to {len(classes) - 1} in {self.label!r}, "
                f"found {labels.min()} to {labels.max()}"
            )
        return table.source(), labels


def _all_shards(root: Path, names: Sequence[str]) -> None:
    """Raise if a numbered shard is missing, or if there are several configurations."""
    if len({os.path.dirname(name) for name in names}) > 1:  # noqa: PTH120
        raise DataError(
            f"{root} holds several configurations ({', '.join(names)}); keep the one that is meant"
        )
    for name in names:
        numbered = re.search(r"-(\d+)-of-(\d+)\.parquet$", name)
        if numbered and int(numbered[2]) != len(names):
            raise DataError(
                f"{root / name}: expected {int(numbered[2])} parts of this split, found {len(names)}; get all"
            )


@dataclass(frozen=True)
class ClassFolders(Layout):
    """A folder a class: ``<dataset>/train/<class>/*``, ``<dataset>/test/<class>/*``."""

    dataset: str
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("test", "test"))

    @property
    def shape(self) -> str:  # type: ignore[override]
        return f"{self.dataset}/{{{','.join(folder for _, folder in self.splits)}}}/<class>/*.png"

    def find(self, folder: Path) -> tuple[Path, Files] | None:
        for root in spelled(folder, [self.dataset]):
            listed = {split: list_images(root / name, root) for split, name in self.splits}
            if files := {split: names for split, names in listed.items() if names}:
                return root, files
        return None

    def open(
        self, name: str, root: Path, files: Sequence[str], classes: Sequence[str]
    ) -> tuple[Source, NDArray[np.int64]]:
        numbers = {class_name: i for i, class_name in enumerate(classes)}
        files, labels = neutral_order(files), []
        for file in files:
            parts = file.split("/")
            if len(parts) < 3 or parts[1] not in numbers:
                found = parts[1] if len(parts) > 2 else ""
                what = (
                    f"{root / parts[0] / found}: unknown class folder"
                    if found
                    else f"{root / file}: no class folder"
                )
                raise DataError(f"{what}{did_you_mean(found, classes)}")
            labels.append(numbers[parts[1]])
        return FileSource(name, root, files), np.array(labels, np.int64)
