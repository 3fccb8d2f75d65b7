"""InspectionSet: base of industrial inspection data sets, one task per category, with masks."""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Sequence, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean, nearest
from bench.core.files import data_folders
from bench.data.copies import MissingData, find_roots, holds_something
from bench.data.dataset import Dataset
from bench.data.doubles import Doubles
from bench.data.fingerprint import files_fingerprint
from bench.data.folders import FileSource, neutral_order
from bench.data.images import Images
from bench.data.layouts import spelled
from bench.data.listing import Listing, Sample, mvtec_listing
from bench.data.masks import read_mask
from bench.data.task import NORMAL_TYPE, LazyMasks, Mask, Task
from bench.data.walk import passed_over


class _Category(NamedTuple):
    listing: Listing
    #: The test samples in the order of `test_source`.
    test: list[Sample]
    train_source: FileSource
    test_source: FileSource


class InspectionSet(Dataset):
    """Normal images to train on; good and defective ones, with masks, to test on.

    A subclass names its `folders` and `categories` and, unless it has MVTec AD's layout, overrides `listing`.
    Categories missing from the local copy are not tasks; `differences` names them. They may lie in several
    folders of ``ANOBENCH_DATA``; of a category that several hold, the first counts.
    """

    #: Accepted names of the data set's folder under a folder of ``ANOBENCH_DATA``, and of one that holds a
    #: copy converted to MVTec AD's layout.
    folders: ClassVar[tuple[str, ...]] = ()
    converted: ClassVar[tuple[str, ...]] = ()
    categories: ClassVar[tuple[str, ...]] = ()
    #: (train, good test, anomalous test) images by category.
    expected: ClassVar[Any] = {}
    #: One model for all categories: each trains on the images of all, and is tested on its own. A subclass
    #: offers it by a parameter ``unified`` (`bench.core.cell.Cell.train_name`).
    unified: bool = False
    #: A mask's pixels above this value are defective: 0, or 127 where masks were smoothed.
    mask_above: ClassVar[int] = 0

    @cached_property
    def root(self) -> Path:
        """The first of the folders that hold categories.

        Raises
        ------
        DataError
            There is none in the data folders.
        """
        return self.roots[0]

    @cached_property
    def roots(self) -> list[Path]:
        """All folders that hold categories."""
        if type(self).root is not InspectionSet.root:
            return [self.root]
        return find_roots(
            (*self.folders, *self.converted),
            title=self.title,
            layout=self.layout,
            home=self.home,
            holds=self._is_root,
        )

    def _is_root(self, folder: Path) -> bool:
        kind = type(self)
        if kind.tasks is not InspectionSet.tasks and kind.holds is InspectionSet.holds:
            return holds_something(folder)  # an adapter that finds its tasks by itself
        return any(self.holds(folder, name) for name in self.categories)

    def holds(self, root: Path, category: str) -> bool:
        """Return whether a folder holds a category."""
        return holds_something(root / category)

    def at(self, category: str) -> Self:
        """Return this data set with the root that holds a category: itself, if there is one root."""
        root = next((root for root in self.roots if self.holds(root, category)), self.root)
        if root == self.root:
            return self
        kind = type(self)
        other = kind.__new__(kind)
        cached = {name for name in dir(kind) if isinstance(getattr(kind, name), cached_property)}
        vars(other).update({name: value for name, value in vars(self).items() if name not in cached})
        vars(other).update(root=root, roots=[root])
        return other

    def place(self) -> Path | None:
        return self.root

    def passed_over(self) -> list[str]:
        return [sentence for root in self.roots for sentence in passed_over(root)]

    def _how(self) -> str:
        return f"expected {self.layout} under a folder of ANOBENCH_DATA; get it from {self.home}"

    def tasks(self) -> list[str]:
        there = [name for name in self.categories if any(self.holds(root, name) for root in self.roots)]
        if not there:
            names = sorted(path.name for path in self.root.iterdir())
            found = f"holds {', '.join(names[:6])}{', …' if len(names) > 6 else ''}" if names else "is empty"
            near = did_you_mean(names[0], self.categories) if names else ""
            raise MissingData(f"{self.root} {found}{near}; {self._how()}")
        return there

    def hint(self, name: str, allowed: Sequence[str]) -> str:
        near = nearest(name, self.categories)
        if not near or nearest(name, allowed):
            return did_you_mean(name, allowed)
        asked = f"; did you mean {near!r}? This copy" if near != name else "; this copy"
        here = ", ".join(sorted(allowed))
        return f"{asked} ({self.root}) lacks it: get it from {self.home}. Available: {here}"

    def listing(self, category: str) -> Listing:
        """Return which images of a category are for what."""
        return mvtec_listing(self.root / category)

    @cached_property
    def _opened(self) -> dict[str, _Category]:
        return {}

    def _category(self, name: str) -> _Category:
        """Open a category, once: only here are its files listed and, where new, hashed."""
        if name not in self._opened:
            self._opened[name] = self._open(name, self._listing(self._known(name, self.tasks())))
        return self._opened[name]

    def _listing(self, category: str) -> Listing:
        here = self.at(category)
        converted = any(here.root in spelled(folder, self.converted) for folder in data_folders())
        return mvtec_listing(here.root / category) if converted else here.listing(category)

    def _doubles(self, opened: _Category) -> Doubles:
        types = [sample.type for sample in opened.test]
        return Doubles(opened.train_source, opened.test_source, types)

    def _open(self, name: str, listing: Listing, what: str = "") -> _Category:
        by_file = {sample.file: sample for sample in listing.test}
        # In an order that does not show which are good.
        test = [by_file[file] for file in neutral_order(by_file)]
        stem = f"{self.folders[0] if self.folders else 'folder'}/{name}{what}"
        return _Category(
            listing,
            test,
            FileSource(f"{stem}/train", listing.root, neutral_order(listing.train)),
            FileSource(f"{stem}/test", listing.root, [sample.file for sample in test]),
        )

    def fingerprint(self) -> str:
        lines = []
        for name in self.tasks():
            opened = self._category(name)
            masks = [mask for sample in opened.test for mask in sample.masks]
            rest = files_fingerprint(opened.listing.root, [*masks, *opened.listing.more])
            lines.append(f"{name}={opened.train_source.fingerprint}/{opened.test_source.fingerprint}/{rest}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def task(self, name: str) -> Task:
        task = self.own_task(name)
        if not self.unified:
            return task
        every = [self._category(each) for each in self.tasks()]
        train = functools.reduce(operator.add, [Images.of(each.train_source) for each in every])
        return replace(task, train=train, sources=(*task.sources, *(each.train_source for each in every)))

    def own_task(self, name: str) -> Task:
        return self._task(name, self._category(name))

    def noisy_of(self, name: str, listing: Listing, anomalous: Set[str], *, what: str) -> Task:
        """Return the task of a listing whose train images are partly anomalous.

        Parameters
        ----------
        anomalous : set of str
            Those of the train images that are.
        what : str
            Tells the sources from the clean ones', for messages.
        """
        labels = [file in anomalous for file in neutral_order(listing.train)]
        return self._task(name, self._open(name, listing, what), np.array(labels, np.uint8))

    def _task(self, name: str, opened: _Category, train_labels: NDArray[np.uint8] | None = None) -> Task:
        listing, test, *sources = opened

        def mask(row: int) -> Mask:
            return read_mask(listing.root, test[row].file, test[row].masks, self.mask_above)

        return Task(
            name=name,
            train=Images.of(sources[0]),
            test=Images.of(sources[1]),
            test_labels=np.array([sample.type != NORMAL_TYPE for sample in test], np.uint8),
            test_types=tuple(sample.type for sample in test),
            masks=LazyMasks(mask, range(len(test))) if listing.has_masks else None,
            sources=tuple(sources),
            train_labels=train_labels,
        )

    def mask_files(self, category: str) -> list[Path]:
        """Return the files of a category's masks."""
        opened = self._category(category)
        return [opened.listing.root / mask for sample in opened.test for mask in sample.masks]

    def same_images(self) -> list[str]:
        return [note for name in self.tasks() for note in self._doubles(self._category(name)).wrong()]

    def differences(self) -> list[str]:
        there = self.tasks()
        notes = []
        if missing := [name for name in self.categories if name not in there]:
            where = " and ".join(map(str, self.roots))
            notes.append(f"{where} lacks {len(missing)} of {len(self.categories)}: {', '.join(missing)}")
        for name in there:
            try:
                opened = self._category(name)
            except DataError as error:
                notes.append(str(error))
                continue
            listing = opened.listing
            if self.own_images:
                notes += self._doubles(opened).copies()
            bad = sum(sample.type != NORMAL_TYPE for sample in listing.test)
            found = (len(listing.train), len(listing.test) - bad, bad)
            if name in self.expected and found != tuple(self.expected[name]):
                notes.append(
                    f"{listing.root}: {name} has {found[0]} train, {found[1]} good and {found[2]} anomalous "
                    "test images, officially {}, {} and {}".format(*self.expected[name])
                )
        return notes
