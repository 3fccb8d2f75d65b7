"""InspectionSet: base of industrial inspection data sets, one task per category, with masks."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import AnobenchError, DataError, did_you_mean, nearest
from bench.core.files import cache_folder
from bench.data.copies import MissingData, find_root
from bench.data.dataset import Dataset
from bench.data.fingerprint import file_hashes, files_fingerprint
from bench.data.folders import FileSource, neutral_order
from bench.data.images import Images
from bench.data.listing import Listing, Sample, mvtec_listing
from bench.data.task import NORMAL_TYPE, LazyMasks, Mask, Task

log = logging.getLogger(__name__)


class _Category(NamedTuple):
    listing: Listing
    #: The test samples in the order of `test_source`.
    test: list[Sample]
    train_source: FileSource
    test_source: FileSource


class InspectionSet(Dataset):
    """Normal images to train on; good and defective ones, with masks, to test on.

    A subclass names its `folders` and `categories` and, unless it has MVTec AD's layout, overrides `listing`.
    Categories missing from the local copy are not tasks; `differences` names them.
    """

    #: Accepted names of the data set's folder under a folder of ``ANOBENCH_DATA``.
    folders: ClassVar[tuple[str, ...]] = ()
    categories: ClassVar[tuple[str, ...]] = ()
    #: (train, good test, anomalous test) images by category.
    expected: ClassVar[Any] = {}

    @cached_property
    def root(self) -> Path:
        """The folder that holds the categories.

        Raises
        ------
        DataError
            There is none in the data folders, or it holds no category.
        """
        return find_root(self.folders, title=self.title, layout=self.layout, home=self.home)

    def place(self) -> Path | None:
        return self.root

    def _how(self) -> str:
        return f"expected {self.layout} under a folder of ANOBENCH_DATA; get it from {self.home}"

    def tasks(self) -> list[str]:
        there = [name for name in self.categories if (self.root / name).is_dir()]
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
            self._opened[name] = self._open(name, self.listing(self._known(name, self.tasks())))
        return self._opened[name]

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
            return read_mask(listing.root, test[row].file, test[row].masks)

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

    def differences(self) -> list[str]:
        there = self.tasks()
        notes = []
        if missing := [name for name in self.categories if name not in there]:
            notes.append(f"{self.root} lacks {len(missing)} of {len(self.categories)}: {', '.join(missing)}")
        for name in there:
            try:
                listing = self._category(name).listing
            except DataError as error:
                notes.append(str(error))
                continue
            bad = sum(sample.type != NORMAL_TYPE for sample in listing.test)
            found = (len(listing.train), len(listing.test) - bad, bad)
            if name in self.expected and found != tuple(self.expected[name]):
                notes.append(
                    f"{listing.root}: {name} has {found[0]} train, {found[1]} good and {found[2]} anomalous "
                    "test images, officially {}, {} and {}".format(*self.expected[name])
                )
        return notes


def read_mask(root: Path, image: str, masks: tuple[str, ...]) -> Mask:
    """Return where any of the mask files is not 0, shape (h, w) of the image; all False without masks.

    Raises
    ------
    DataError
        A mask cannot be read, or has another size than its image; the message names both.
    """
    size = _size(root / image)
    found = np.zeros(size[::-1], np.bool_)
    for mask in masks:
        if (other := _size(root / mask)) != size:
            raise DataError(
                f"{root / mask}: this mask has {other[0]} x {other[1]} pixels, its image {root / image} "
                f"has {size[0]} x {size[1]}; they must be equal"
            )
        found |= _not_zero(root / mask)
    return found


def empty_masks(root: Path, files: Sequence[str]) -> list[bool]:
    """Return whether each mask is empty, for data sets in which only the masks show which images are good.

    Each distinct file is decoded once, and the answer is kept by its sha256 under ``<cache>/masks``.

    Raises
    ------
    DataError
        A mask cannot be read.
    """
    from bench.core.files import write_atomically

    where = cache_folder() / "masks" / "empty.json"
    try:
        kept: dict[str, bool] = dict(json.loads(where.read_bytes()))
    except (OSError, ValueError, TypeError):
        kept = {}
    hashes = file_hashes(root, files)
    unknown = {digest: file for digest, file in zip(hashes, files, strict=True) if digest not in kept}
    if unknown:
        kept |= {digest: not bool(_not_zero(root / file).any()) for digest, file in unknown.items()}
        try:
            write_atomically(where, json.dumps(kept).encode(), durable=False)
        except AnobenchError as error:
            log.info("which masks are empty is not kept: %s", error)
    return [bool(kept[digest]) for digest in hashes]


def _size(path: Path) -> tuple[int, int]:
    """Return (width, height) from an image's header."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from None


def _not_zero(path: Path) -> Mask:
    from PIL import Image

    try:
        with Image.open(path) as image:
            # Indices of a palette and channels are taken as they are: small numbers mean "defect" too.
            values = np.asarray(image)
    except OSError as error:
        raise DataError(f"{path}: this mask cannot be decoded ({error}); it may be truncated") from None
    if image.mode in ("LA", "RGBA"):
        values = values[..., :-1]
    found: Mask = (values != 0).any(-1) if values.ndim == 3 else values != 0
    return found
