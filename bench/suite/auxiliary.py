"""Auxiliary images, which a method gets in addition to its training images: outliers, textures.

`Method.auxiliary_images` names the parameters for them; the value is a data set's selector (all images of its
train split; with ``task=`` the normal ones of these tasks) or a folder of images (absolute, beside the suite,
in the working directory or in a folder of ``ANOBENCH_DATA``). Their content is part of the cell's key; the
runner makes sure that none of them is a test image.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bench.core.errors import AnobenchError, DataError, did_you_mean
from bench.core.files import data_folders, expanded
from bench.core.selector import Selector, format_selector, parse
from bench.data.folders import FileSource
from bench.data.images import Images
from bench.data.origins import origins, pixel_digests
from bench.data.source import Source
from bench.data.task import Task
from bench.data.walk import list_images
from bench.suite.adapter import Adapter
from bench.suite.registry import Registry


@dataclass(frozen=True, eq=False)
class AuxiliaryImages:
    """Images by name.

    Attributes
    ----------
    name : str
        As the parameter gives it.
    images : Images
    fingerprint : str
        sha256 (hex) of the content.
    sources : tuple of Source
        Keeps the images in memory.
    classes : tuple of str, length n
        Of each image: the task whose normal image it is, or the subfolder that it lies in; "" for none.
    """

    name: str
    images: Images
    fingerprint: str
    sources: tuple[Source, ...]
    classes: tuple[str, ...]

    @cached_property
    def digests(self) -> frozenset[bytes]:
        return frozenset(pixel_digests(self.images))

    def refuse_overlap(self, task: Task, where: str) -> None:
        """Make sure that no image is one of the task's test images or normal training images.

        Images are compared by their decoded pixels, whatever their files are called.

        Raises
        ------
        DataError
            Some are; says how many.
        """
        train = task.train if task.train_labels is None else task.train[task.train_labels == 0]
        for what, images in (("test", task.test), ("normal train", train)):
            shared = sum(digest in self.digests for digest in pixel_digests(images))
            if shared:
                raise DataError(
                    f"{where}={self.name}: {shared} of the {len(images)} {what} images of {task.name!r} are "
                    f"among these {len(self.images)} images; take images from elsewhere, or leave these "
                    "out (of a data set: NAME[task=...] takes the normal images of some tasks)"
                )


def auxiliary_images(
    adapter: Adapter, params: Mapping[str, object], registry: Registry
) -> dict[str, AuxiliaryImages]:
    """Open the auxiliary images that a method's parameters name, by parameter.

    Raises
    ------
    DataError
        There is no such data set or folder, or it contains no image.
    """
    declared: Mapping[str, Mapping[str, str]] = adapter.attributes.get("auxiliary_images", {})
    found = {}
    for parameter, words in declared.items():
        text = str(params.get(parameter) or "")
        named = words.get(text, text)
        if not named:
            continue
        try:
            found[parameter] = open_auxiliary(named, registry)
        except DataError as error:
            if text not in words:  # a word means "if present"
                raise DataError(f"{adapter.name}, parameter {parameter}: {error}") from None
    return found


def auxiliary_fingerprint(adapter: Adapter, params: Mapping[str, object], registry: Registry) -> str:
    """Return a sha256 (hex) over all auxiliary images of a method; empty if it has none."""
    found = auxiliary_images(adapter, params, registry)
    parts = [f"{parameter}={found[parameter].fingerprint}" for parameter in sorted(found)]
    return hashlib.sha256("/".join(parts).encode("utf-8", "surrogateescape")).hexdigest() if parts else ""


def open_auxiliary(text: str, registry: Registry) -> AuxiliaryImages:
    """Open a data set's selector or a folder as auxiliary images.

    Raises
    ------
    DataError
        There is none of this name, or it contains no image.
    """
    try:
        selector = parse(text)
    except AnobenchError:
        selector = Selector("")
    if selector.name in registry.datasets:
        return _of_dataset(text, selector, registry)
    given = expanded(text)
    places = () if given.is_absolute() else (*registry.path_folders, *data_folders())
    candidates = [folder / given for folder in places] or [given]
    for folder in candidates:
        if folder.is_dir() and (files := list_images(folder, folder)):
            source = FileSource(f"extra/{folder.name}", folder, files)
            classes = tuple(file.rpartition("/")[0].partition("/")[0] for file in files)
            return AuxiliaryImages(text, Images.of(source), source.fingerprint, (source,), classes)
    looked = ", ".join(map(str, candidates))
    raise DataError(
        f"{text!r} is neither a data set nor a folder of images (looked in {looked})"
        f"{did_you_mean(selector.name or text, registry.datasets)}"
    )


def _of_dataset(text: str, selector: Selector, registry: Registry) -> AuxiliaryImages:
    adapter = registry.datasets[selector.name]
    given = dict(selector.params)
    wanted = given.pop("task", "")
    dataset = registry.open_dataset(format_selector(selector.name, given))
    names = dataset.tasks()
    if wanted:
        patterns = wanted.split("|")
        names = [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in patterns)]
        if not names:
            raise DataError(f"{text}: no task {wanted!r}{did_you_mean(wanted, dataset.tasks())}")
    views: list[Images] = []
    sources: list[Source] = []
    class_of: dict[tuple[str, int], str] = {}
    for name in names:
        task = dataset.task(name)
        class_of |= dict.fromkeys(_keys(task.train), name)
        views += [task.train] + ([task.anomaly_pool] if task.anomaly_pool is not None and not wanted else [])
        sources += task.sources
    images = views[0]
    for view in views[1:]:
        images += view
    described = f"{adapter.code}/{dataset.fingerprint()}/{'|'.join(names)}"
    fingerprint = hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()
    images = images.distinct()
    classes = tuple(class_of.get(key, "") for key in _keys(images))
    return AuxiliaryImages(text, images, fingerprint, tuple(sources), classes)


def _keys(images: Images) -> list[tuple[str, int]]:
    """Return source and row of each image."""
    names, which, rows = origins(images)
    return [(names[at], row) for at, row in zip(which.tolist(), rows.tolist(), strict=True)]
