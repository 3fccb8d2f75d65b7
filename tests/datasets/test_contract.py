"""What every data set adapter keeps, whichever it is: run over all of them, on small trees."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import DataError, Dataset, Task
from bench.core.contamination import Contamination
from bench.data.contaminate import contaminate
from bench.data.get.check import check
from bench.suite.registry import Registry, stock_folder

from . import official, test_classification, test_inspection, test_more_classification
from .test_labels_out_of_reach import reachable, tells
from .trees import picture, write_mask, write_mvtec, write_picture


def as_btad(data: Path) -> None:
    root = data / "btad" / "01"
    for split, kind, first, count in (("train", "ok", 0, 5), ("test", "ok", 5, 3), ("test", "ko", 8, 4)):
        for i in range(count):
            write_picture(root / split / kind / f"{i:04d}.bmp", picture(first + i))
            if kind == "ko":
                write_mask(root / "ground_truth" / kind / f"{i:04d}.png")


#: Parameters and the tree on which an adapter is tried; an adapter without an entry fails.
TREES: dict[str, tuple[dict[str, Any], Callable[[Path], Any]]] = {
    "birds200": ({}, test_more_classification.as_birds),
    "btad": ({}, as_btad),
    "cats_vs_dogs": ({}, test_more_classification.as_cats_vs_dogs),
    "cifar10": ({}, test_classification.as_folders),
    "cifar100": ({}, lambda data: test_more_classification.as_cifar100(data / "cifar-100-python")),
    "digits": ({}, lambda data: data),
    "dior": ({"larger_than": 10, "more_than": 3}, official.as_dior),
    "fashion_mnist": ({}, lambda data: test_more_classification.as_idx(data / "fashion_mnist")),
    "flowers102": ({}, test_more_classification.as_flowers),
    "folder": ({"path": "{data}/mine"}, test_inspection.as_folder),
    "hub": ({"name": "flowers"}, lambda data: test_more_classification.as_parquet(data / "flowers")),
    "magnetic_tile": ({}, official.as_magnetic_tile),
    "kolektor": ({}, official.as_kolektor),
    "mnist": ({}, lambda data: test_more_classification.as_idx(data / "mnist")),
    "mpdd": ({}, lambda data: write_mvtec(data / "mpdd" / "tubes")),
    "mvtec": ({}, test_inspection.as_mvtec),
    "mvtec_ad2": ({}, official.as_ad2),
    "mvtec_loco": ({}, test_inspection.as_loco),
    "spark": ({"size": 8}, official.as_spark),
    "real_iad": ({"size": "256"}, official.as_real_iad),
    "svhn": ({}, lambda data: test_more_classification.as_mat(data / "svhn")),
    "textures": ({"size": 32, "train": 6, "good": 4, "per_defect": 2}, lambda data: data),
    "visa": ({}, test_inspection.as_visa),
    "wbc": ({}, test_more_classification.as_wbc),
}
EMBEDDED = ("digits", "textures")
#: Data sets that are tried on real data too, where it is at hand, with the parameters of such a copy.
REAL: dict[str, dict[str, Any]] = {
    "cifar10": {},
    "fashion_mnist": {},
    "mvtec": {},
    "mvtec_loco": {"good": "validation"},
    "wbc": {},
}
STOCK = Registry().datasets
NAMES = sorted(STOCK)


def test_every_adapter_is_tried_here() -> None:
    assert set(NAMES) <= set(TREES), "give the new adapter a small tree in its official layout"


def open_small(name: str, data: Path) -> Dataset:
    """Open a data set on the small tree that lies in `data`."""
    filled = {k: v.format(data=data) if isinstance(v, str) else v for k, v in TREES[name][0].items()}
    return STOCK[name].load()(**filled)


@pytest.fixture(
    params=[*NAMES, *(pytest.param(f"{name}/real", marks=pytest.mark.data) for name in sorted(REAL))]
)
def made(request: pytest.FixtureRequest) -> tuple[str, Callable[[], Any]]:
    """Return a name and a function that opens the data set anew, on a small tree or on real data."""
    name, _, real = request.param.partition("/")
    if not real:
        data = request.getfixturevalue("data")
        TREES[name][1](data)
        return name, lambda: open_small(name, data)
    folder = request.getfixturevalue("real_data") / name
    if not folder.is_dir():
        pytest.skip(f"{folder.parent} holds no {name}")
    return name, lambda: STOCK[name].load()(**REAL[name])


def rows(images: Any) -> list[tuple[int, int]]:
    return list(zip(images._which.tolist(), images._rows.tolist(), strict=True))


def test_an_adapter_says_what_it_is(made: tuple[str, Callable[[], Dataset]]) -> None:
    name, make = made
    cls = type(make())
    assert cls.title
    assert len((inspect.getmodule(cls).__doc__ or "").split("\n")[0]) > 20
    if name not in ("folder", "hub"):
        assert cls.licence
        assert cls.citation
        assert name in EMBEDDED or (cls.home.startswith("http") and cls.layout and cls.expected)
    assert cls.synthetic == (name == "textures")
    if cls.download is not None:
        assert cls.download.url.startswith("https://")
        assert len(bytes.fromhex(cls.download.sha256)) == 32
        assert cls.download.folder in cls.folders
    assert not cls.torchvision or hasattr(importlib.import_module("torchvision.datasets"), cls.torchvision)


def test_tasks_keep_their_shape(made: tuple[str, Callable[[], Dataset]]) -> None:
    _, make = made
    dataset = make()
    names = dataset.tasks()
    assert names
    assert len(set(names)) == len(names)
    usable = 0
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+")
        try:
            task = dataset.task(name)
        except DataError:  # a class without images in the small tree
            continue
        usable += 1
        assert task.name == name
        assert len(task.train) > 0
        assert task.test_labels.dtype == np.uint8
        assert set(task.test_labels.tolist()) <= {0, 1}
        assert task.train_labels is None
        assert (task.anomaly_pool is not None) == dataset.has_anomaly_pool
        if task.anomaly_pool is not None:
            assert not set(rows(task.train)) & set(rows(task.anomaly_pool))
        for images, source in ((task.train, task.sources[0]), (task.test, task.sources[1])):
            assert images._source(0) is source
            assert len(set(rows(images))) == len(images)
            assert len(source.fingerprint) == 64
    assert usable


def test_opening_twice_gives_the_same(made: tuple[str, Callable[[], Dataset]]) -> None:
    _, make = made
    one, other = make(), make()
    assert one.fingerprint() == other.fingerprint()
    assert len(one.fingerprint()) == 64
    a, b = first_task(one), first_task(other)
    assert [s.fingerprint for s in a.sources] == [s.fingerprint for s in b.sources]
    assert rows(a.train) == rows(b.train)
    assert a.test_types == b.test_types
    assert (a.test_labels == b.test_labels).all()


def first_task(dataset: Dataset) -> Task:
    for name in dataset.tasks():
        try:
            return dataset.task(name)
        except DataError:
            continue
    raise AssertionError("no task can be opened")


def test_opening_decodes_nothing(
    made: tuple[str, Callable[[], Dataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make = made
    if name == "kolektor":  # whose labels are in the masks, which are looked into once
        make().fingerprint()
    for what in (
        *("PIL.Image.open", "bench.data.source.decode", "bench.data.cifar.PythonBatches._pixels"),
        *(
            "bench.data.arrays._grey_pixels",
            "bench.data.source.ArraySource.read",
            "bench.data.source.EncodedSource.read",
        ),
    ):
        monkeypatch.setattr(what, lambda *_: pytest.fail("read an image"))
    dataset = make()
    dataset.fingerprint()
    dataset.differences()
    first_task(dataset)


@pytest.mark.parametrize("name", sorted(set(TREES) - set(EMBEDDED)))
def test_fingerprints_do_not_depend_on_place_or_order(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    TREES[name][1](data)
    first = open_small(name, data)
    moved = tmp_path / "moved"
    for path in sorted(data.rglob("*"), reverse=True):  # in another order on the disk, and with other times
        if path.is_file():
            target = moved / path.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.setenv("ANOBENCH_DATA", str(moved))
    again = open_small(name, moved)
    assert again.fingerprint() == first.fingerprint()
    one, other = first_task(first), first_task(again)
    assert [source.fingerprint for source in one.sources] == [source.fingerprint for source in other.sources]


def test_no_image_is_in_train_and_in_test(made: tuple[str, Callable[[], Dataset]]) -> None:
    _, make = made
    task = first_task(make())
    train, test = ({source.where(row) for row in range(len(source))} for source in task.sources)
    assert len(train) == len(task.sources[0])
    assert len(test) == len(task.sources[1])
    assert not train & test


def test_images_are_rgb_bytes_and_masks_fit_them(made: tuple[str, Callable[[], Dataset]]) -> None:
    _, make = made
    task = first_task(make())
    for source in task.sources:
        for pixels in source.read(np.arange(min(4, len(source)))):
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
    if task.masks is not None:
        assert len(task.masks) == len(task.test)
        for mask, label, pixels in zip(
            task.masks, task.test_labels, task.sources[1].read(np.arange(len(task.test))), strict=True
        ):
            assert mask.dtype == np.bool_
            assert mask.shape == pixels.shape[:2]
            assert mask.any() == bool(label)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_no_label_is_reached_from_the_images(made: tuple[str, Callable[[], Dataset]], rate: float) -> None:
    _, make = made
    dataset = make()
    task = first_task(dataset)
    source = "holdout" if dataset.has_anomaly_pool else "test"
    changed, _ = contaminate(task, "d", Contamination(rate=rate, source=source, shortage="cap"))
    kinds = {kind for kind in {*task.test_types, *task.anomaly_pool_types} if len(kind) > 3}
    place = {str(dataset.place())} if dataset.place() else set()
    assert tells(reachable(changed.train, changed.test), changed, kinds | place) == []


def test_unknown_tasks_are_refused_by_name(made: tuple[str, Callable[[], Dataset]]) -> None:
    _, make = made
    with pytest.raises(DataError, match="has no task 'no such task'"):
        make().task("no such task")


def test_an_adapter_imports_only_bench_the_standard_library_and_packages(
    made: tuple[str, Callable[[], Dataset]],
) -> None:
    name, _ = made
    tree = ast.parse((stock_folder() / "datasets" / f"{name}.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {module for module in modules if module and module.split(".")[0] in ("datasets", "methods")}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not {module for module in modules if module and module.startswith("bench.")}, (
        "export it from bench"
    )


@pytest.mark.data
@pytest.mark.parametrize(("name", "shared"), [("mvtec", 0), ("mvtec_loco", 0), ("wbc", 0)])
def test_real_images_and_masks_are_whole(adapter: Any, real_data: Path, name: str, shared: int) -> None:
    """All can be read, and none is in train and in test, not even WBC's 112.bmp, which is 139.bmp too."""
    if not (real_data / name).is_dir():
        pytest.skip(f"{real_data} holds no {name}")
    notes = check(adapter(name, **REAL[name])).notes
    assert not [note for note in notes if "cannot be" in note or "this mask" in note]
    assert len([note for note in notes if "are the same image" in note]) == shared
