"""Bases of the data set adapters: `Dataset`, and `OneVsRest` for image classification sets."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.data.images import Images
from bench.data.source import Source
from bench.data.task import Task

if TYPE_CHECKING:
    from bench.data.copies import Copy, Hub
    from bench.data.layouts import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An official archive.

    Attributes
    ----------
    url : str
        The data set's own address, https.
    sha256 : str
        Of the archive, hex.
    folder : str
        Name of the folder under a folder of ``ANOBENCH_DATA`` that its content becomes.
    gigabytes : float
        Approximate size of the archive, rounded up; a download of more than twice that is aborted.
    conditions : bool
        True if the licence sets conditions that a user must accept first.
    """

    url: str
    sha256: str
    folder: str
    gigabytes: float
    conditions: bool = True


class Dataset(ABC):
    """A data set adapter: names its tasks, opens them, and has a fingerprint of its content.

    The parameters of ``__init__`` are the data set's parameters (``textures[size=96]``); they are read from
    the source text, so their defaults must be literals and their annotations of `bench.core.params`' kinds.
    Opening an adapter or a task decodes no image.
    """

    title: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    home: ClassVar[str] = ""
    #: Layout expected under a folder of ``ANOBENCH_DATA``, for messages; empty for embedded data.
    layout: ClassVar[str] = ""
    #: Official number of images of each split or task, for `differences`.
    expected: ClassVar[Mapping[str, int | tuple[int, ...]]] = {}
    #: What `expected` counts, where it is not the images that methods get.
    counted: ClassVar[str] = "images"
    #: What is known of the data set officially, and how well: (fact, source, what it was held against).
    #: The last is empty for what was not held against an official list or file.
    facts: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    #: Names (without ending) of test images whose official mask is empty though they are anomalous.
    known_empty_masks: ClassVar[tuple[str, ...]] = ()
    #: True for a user's own images: with one that is in train and in test they are refused. In a published
    #: set, which nobody may mend, it is noted.
    own_images: ClassVar[bool] = False
    #: True for generated images: said wherever the data set shows.
    synthetic: ClassVar[bool] = False
    #: True if the train split holds images that are labelled anomalous for a task (one-vs-rest).
    has_anomaly_pool: ClassVar[bool] = False
    #: Contamination rates of official noisy train splits, opened by `noisy_task`; empty if there are none.
    official_rates: ClassVar[tuple[float, ...]] = ()
    #: What ``anobench data get`` may bring: the official archive, or the name of a class of
    #: ``torchvision.datasets`` that downloads the set; see `bench.data.get.download`.
    download: ClassVar[Download | None] = None
    torchvision: ClassVar[str] = ""

    @abstractmethod
    def tasks(self) -> list[str]:
        """Return the names of the tasks, in the order of the leaderboard's columns.

        Raises
        ------
        DataError
            The data is missing, incomplete or damaged.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 (hex) over the content of all sources; changing one image changes it."""

    @abstractmethod
    def task(self, name: str) -> Task:
        """Open one task by name.

        Raises
        ------
        DataError
            There is no such task (the nearest is named), or its data is missing, incomplete or damaged.
        """

    def own_task(self, name: str) -> Task:
        """Open a task with its own train images alone, where `task` has those of all; raises as `task`."""
        return self.task(name)

    def noisy_task(self, name: str, rate: float) -> Task:
        """Open one task with the official noisy train split of this rate; it has `train_labels`.

        Raises
        ------
        DataError
            There is no such task or rate.
        """
        rates = ", ".join(f"{each:g}" for each in self.official_rates) or "none"
        raise DataError(
            f"{self.title}/{name} has no official split with {rate:g} contamination; it has: {rates}"
        )

    def place(self) -> Path | None:
        """Return the folder that holds the data, None for data that is embedded or made; downloads nothing.

        Raises
        ------
        MissingData
            There is no copy; the message says what is expected and where to get it.
        """
        return None

    def same_images(self) -> list[str]:
        """Return which image files are by content in train and in test, or have two labels: see `own_images`.

        Opening decodes no image for it: ``anobench data check`` compares pixels.
        """
        return []

    def passed_over(self) -> list[str]:
        """Return what was passed over in the data set's folders, and why, one sentence each."""
        from bench.data.walk import passed_over

        place = self.place()
        return passed_over(place) if place is not None else []

    def differences(self) -> list[str]:
        """Return how this copy differs from the official set (other counts, …), one sentence each.

        These are notes, not errors: people run slices of data sets.
        """
        return []

    def _known(self, name: str, allowed: Sequence[str]) -> str:
        """Return `name` if it is one of the tasks, else raise the error that names the nearest."""
        if name not in allowed:
            what = self.title or type(self).__name__
            raise DataError(f"{what} has no task {name!r}{self.hint(name, allowed)}")
        return name

    def hint(self, name: str, allowed: Sequence[str]) -> str:
        """Return the end of a message about an unknown task: the nearest allowed name, and all of them."""
        return did_you_mean(name, allowed)


class Split(NamedTuple):
    """A source and the class number of each of its rows, shape (n,), int64."""

    source: Source
    labels: NDArray[np.int64]

    @classmethod
    def of_files(cls, name: str, root: Path, labels: Mapping[str, int]) -> Split:
        """Make a split of image files under `root`, given the class number of each.

        The rows lie in an order that does not follow the classes.

        Raises
        ------
        DataError
            A file cannot be read or is truncated.
        """
        from bench.data.folders import FileSource, neutral_order

        files = neutral_order(labels)
        return cls(FileSource(name, root, files), np.array([labels[file] for file in files], np.int64))


class OneVsRest(Dataset):
    """Base of image classification sets: one task a class.

    For class c the train images are all train-split images with label c, the test set is the entire test
    split, and an image is anomalous if its class is not c. With ``protocol="leave_one_out"`` it is the other
    way round: all classes but c are normal and c is anomalous. Train-split images of the anomalous classes
    are the anomaly pool that contamination draws from.
    """

    classes: ClassVar[tuple[str, ...]] = ()
    #: Accepted layouts of a local copy, and where the hub has it (`bench.data.layouts`, `bench.data.copies`).
    folder: ClassVar[str] = ""
    layouts: ClassVar[tuple[Layout, ...]] = ()
    hub: ClassVar[Hub | None] = None
    has_anomaly_pool = True
    protocol: str = "one_vs_rest"

    @cached_property
    def copy(self) -> Copy:
        """The local copy, or the hub's, which is downloaded where nobody must accept conditions first."""
        from bench.data.copies import find_copy

        free = self.hub is None or not self.hub.conditions
        return find_copy(self.folder, self.layouts, self.hub, may_download=free)

    def place(self) -> Path | None:
        from bench.data.copies import find_copy

        if isinstance(own := getattr(self, "root", None), Path):
            return own
        if not self.layouts:
            return None
        return find_copy(self.folder, self.layouts, self.hub, may_download=False).root

    @cached_property
    def _splits(self) -> dict[str, Split]:
        return {}

    def split(self, name: str) -> Split:
        """Return the split ``"train"`` or ``"test"``; the tasks of this data set share its source.

        Raises
        ------
        DataError
            The data is missing, incomplete or damaged.
        """
        if name not in self._splits:
            files = self.copy.split_files(name)
            opened = self.copy.layout.open(f"{self.folder}/{name}", self.copy.root, files, self.classes)
            self._splits[name] = Split(*opened)
        return self._splits[name]

    def fingerprint(self) -> str:
        parts = [self.split(name).source.fingerprint for name in ("train", "test")]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()

    def same_images(self) -> list[str]:
        from bench.data.doubles import Doubles

        return Doubles(self.split("train").source, self.split("test").source).wrong()

    def differences(self) -> list[str]:
        return [
            f"{type(self).__name__.lower()}: the {name} split has {len(self.split(name).labels):,} images, "
            f"officially {n:,} (a slice?)"
            for name, n in self.expected.items()
            if len(self.split(name).labels) != n
        ]

    def tasks(self) -> list[str]:
        return list(self.classes)

    def task(self, name: str) -> Task:
        self._known(name, self.classes)
        one_vs_rest = self.protocol == "one_vs_rest"
        return self.task_of(name, [other for other in self.classes if (other == name) == one_vs_rest])

    def task_of(self, name: str, normal: Sequence[str]) -> Task:
        """Return the task in which the classes `normal` are normal and all others anomalous."""
        train, test = self.split("train"), self.split("test")
        numbers = [self.classes.index(each) for each in normal]
        train_normal = np.isin(train.labels, numbers)
        if not train_normal.any():
            raise DataError(
                f"{train.source.name} holds no image that is normal for the task {name!r} ({self.protocol}); "
                "expected at least one: this copy of the data set is incomplete"
            )
        return Task(
            name=name,
            train=Images.of(train.source, train_normal),
            test=Images.of(test.source),
            test_labels=(~np.isin(test.labels, numbers)).astype(np.uint8),
            test_types=tuple(self.classes[label] for label in test.labels),
            anomaly_pool=Images.of(train.source, ~train_normal),
            anomaly_pool_types=tuple(self.classes[label] for label in train.labels[~train_normal]),
            sources=(train.source, test.source),
        )
