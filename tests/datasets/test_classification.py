"""Image classification sets: CIFAR-10 in every layout that is accepted, and what is wrong with a copy."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import DataError, OneVsRest
from bench.data import hub

from .trees import picture, png, write_parquet, write_picture

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: Label of each image; its shade is its number.
TRAIN, TEST = [i % 10 for i in range(30)], [(3 * i) % 10 for i in range(20)]


def as_parquet(data: Path) -> Path:
    root = data / "cifar10"
    for split, labels in (("train", TRAIN), ("test", TEST)):
        pictures = [png(picture(i)) for i in range(len(labels))]
        path = root / "plain_text" / f"{split}-00000-of-00001.parquet"
        write_parquet(path, pictures, labels, image="img")
    return root


def as_batches(data: Path, protocol: int = 2) -> Path:
    root = data / "cifar10" / "cifar-10-batches-py"
    root.mkdir(parents=True)

    def write(name: str, first: int, labels: list[int]) -> None:
        pixels = np.stack(
            [picture(first + i, (32, 32)).transpose(2, 0, 1).ravel() for i in range(len(labels))]
        )
        (root / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=protocol))

    for i in range(5):
        write(f"data_batch_{i + 1}", i * 6, TRAIN[i * 6 : i * 6 + 6])
    write("test_batch", 0, TEST)
    return root


def as_folders(data: Path) -> Path:
    root = data / "cifar10"
    for split, labels in (("train", TRAIN), ("test", TEST)):
        for i, label in enumerate(labels):
            write_picture(root / split / CLASSES[label] / f"{i:04d}.png", picture(i))
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "parquet": as_parquet,
    "batches": as_batches,
    "folders": as_folders,
}


def shades(dataset: OneVsRest, split: str) -> list[tuple[int, int]]:
    """Return (number of the image, label) of each row."""
    opened = dataset.split(split)
    pixels = opened.source.read(np.arange(len(opened.labels)))
    return [(int(p[1, 1, 0]), int(label)) for p, label in zip(pixels, opened.labels, strict=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_with_the_same_labels(
    adapter: Any, data: Path, layout: str
) -> None:
    LAYOUTS[layout](data)
    cifar = adapter("cifar10")
    assert sorted(shades(cifar, "train")) == list(enumerate(TRAIN))
    assert sorted(shades(cifar, "test")) == list(enumerate(TEST))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("protocol", ["one_vs_rest", "leave_one_out"])
def test_tasks_follow_the_protocol(adapter: Any, data: Path, layout: str, protocol: str) -> None:
    LAYOUTS[layout](data)
    cifar = adapter("cifar10", protocol=protocol)
    assert cifar.tasks() == list(CLASSES)
    task = cifar.task("cat")
    one = protocol == "one_vs_rest"
    assert len(task.train) == (3 if one else 27)
    assert len(task.anomaly_pool) == 30 - len(task.train)
    assert len(task.test) == 20
    assert set(task.anomaly_pool_types) == (set(CLASSES) - {"cat"} if one else {"cat"})
    for kind, label in zip(task.test_types, task.test_labels, strict=True):
        assert label == ((kind != "cat") if one else (kind == "cat"))
    assert cifar.task("dog").sources[0] is task.sources[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opening_decodes_nothing(
    adapter: Any, data: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    LAYOUTS[layout](data)
    monkeypatch.setattr("bench.data.source.decode", lambda *_: pytest.fail("decoded an image"))
    monkeypatch.setattr("bench.data.cifar.PythonBatches._pixels", lambda *_: pytest.fail("read pixels"))
    cifar = adapter("cifar10")
    cifar.fingerprint()
    for name in cifar.tasks():
        cifar.task(name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fingerprints_are_the_same_elsewhere_and_change_with_a_image(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    LAYOUTS[layout](data)
    first = adapter("cifar10").fingerprint()
    shutil.copytree(data, tmp_path / "moved")
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "moved"))
    assert adapter("cifar10").fingerprint() == first
    (largest,) = sorted((p for p in (tmp_path / "moved").rglob("*") if p.is_file()), key=lambda p: p.name)[:1]
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    assert adapter("cifar10").fingerprint() != first


def test_a_folder_of_data_is_found_in_the_second_data_folder_too(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    as_parquet(data)
    monkeypatch.setenv("ANOBENCH_DATA", f"{tmp_path / 'first'}:{data}")
    assert len(adapter("cifar10").split("train").labels) == 30


def test_other_counts_are_noted_not_refused(adapter: Any, data: Path) -> None:
    as_parquet(data)
    assert adapter("cifar10").differences() == [
        "cifar10: the train split has 30 images, officially 50,000 (a slice?)",
        "cifar10: the test split has 20 images, officially 10,000 (a slice?)",
    ]


# --- what is wrong with a copy ------------------------------------------------------------------------------


def refused(adapter: Any, match: str, *, read: bool = False) -> None:
    def use() -> None:
        task = adapter("cifar10").task("cat")
        if read:
            task.sources[0].read(np.arange(30))

    with pytest.raises(DataError, match=match):
        use()


def test_an_empty_folder_is_named_with_what_is_accepted(adapter: Any, data: Path) -> None:
    (data / "cifar10").mkdir()
    refused(adapter, r"cifar10 is empty; accepted .*parquet.*cifar-10-batches-py.*<class>.*uoft-cs/cifar10")


def test_a_folder_of_something_else_is_named(adapter: Any, data: Path) -> None:
    (data / "cifar10").mkdir()
    (data / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"not unpacked")
    refused(adapter, r"cifar10 holds only cifar-10-python\.tar\.gz; accepted")


def test_without_any_copy_the_message_says_where_was_looked(
    adapter: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bench.data.hub._check_network", lambda _: (_ for _ in ()).throw(DataError("no network"))
    )
    refused(adapter, rf"no local copy in {data}; accepted .*; and no network")
    monkeypatch.delenv("ANOBENCH_DATA")
    refused(adapter, r"no local copy \(ANOBENCH_DATA is not set\)")


def test_the_hub_is_asked_where_there_is_no_copy(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data.is_dir()
    repository, asked = as_parquet(tmp_path / "hub"), []

    def redirected(name: str, config: str | None) -> Path:
        asked.append((name, config))
        return original(str(repository), config)

    original = hub.download
    monkeypatch.setattr(hub, "download", redirected)
    assert sorted(shades(adapter("cifar10"), "train")) == list(enumerate(TRAIN))
    assert asked == [("uoft-cs/cifar10", None)]


def test_what_the_hub_says_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(*_: object) -> None:
        raise OSError("\nthis set is gated\nask for access first")

    monkeypatch.setattr(hub, "_check_network", lambda _: None)
    monkeypatch.setattr(hub, "_parquet_of", gated)
    with pytest.raises(DataError, match=r"does not give an/owner \(OSError: this set is gated\); check"):
        hub.download("an/owner", None)


@pytest.mark.parametrize(
    ("layout", "remove"),
    [("parquet", "plain_text/test-00000-of-00001.parquet"), ("folders", "test"), ("batches", "test_batch")],
)
def test_a_missing_split_is_named(adapter: Any, data: Path, layout: str, remove: str) -> None:
    path = LAYOUTS[layout](data) / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(adapter, "has no test split; expected .* found only train")


def test_missing_parts_are_named(adapter: Any, data: Path) -> None:
    root = as_parquet(data) / "plain_text"
    (root / "train-00000-of-00001.parquet").rename(root / "train-00000-of-00002.parquet")
    refused(adapter, r"expected 2 parts of this split, found 1")
    shutil.rmtree(data / "cifar10")
    (as_batches(data) / "data_batch_3").unlink()
    refused(adapter, "expected data_batch_3, which is missing")


def test_two_configurations_side_by_side_are_refused(adapter: Any, data: Path) -> None:
    root = as_parquet(data)
    shutil.copytree(root / "plain_text", root / "other")
    refused(adapter, "holds several configurations")


def test_an_unknown_class_folder_is_named_with_the_nearest(adapter: Any, data: Path) -> None:
    root = as_folders(data)
    (root / "train" / "truck").rename(root / "train" / "trucks")
    refused(adapter, r"train/trucks: unknown class folder; did you mean 'truck'")
    shutil.rmtree(root / "train" / "trucks")
    write_picture(root / "train" / "stray.png", picture(1))
    refused(adapter, r"stray\.png: no class folder")


def test_a_truncated_image_is_named(adapter: Any, data: Path) -> None:
    path = as_folders(data) / "train" / "cat" / "0013.png"
    path.write_bytes(path.read_bytes()[:-20])
    refused(adapter, r"train/cat/0013\.png: this PNG image is truncated")


def test_a_truncated_image_in_parquet_is_named(adapter: Any, data: Path) -> None:
    root = as_parquet(data)
    pictures = [png(picture(i)) for i in range(30)]
    pictures[7] = pictures[7][:40]
    write_parquet(root / "plain_text" / "train-00000-of-00001.parquet", pictures, TRAIN, image="img")
    refused(adapter, r"train-00000-of-00001\.parquet, row 7: this image cannot be decoded", read=True)


def test_labels_out_of_range_are_refused(adapter: Any, data: Path) -> None:
    root = as_parquet(data)
    path = root / "plain_text" / "train-00000-of-00001.parquet"
    write_parquet(path, [png(picture(0))], [10], image="img")
    refused(adapter, "expected labels from 0 to 9 in 'label', found 10 to 10")
    write_parquet(path, [png(picture(0))], [0])
    refused(adapter, "there is no column 'img'")


def test_batches_with_other_content_are_refused(adapter: Any, data: Path) -> None:
    root = as_batches(data)
    good = (root / "data_batch_1").read_bytes()
    for content, match in (
        ({"data": 1}, "data_batch_1: expected the key 'labels'"),
        ({"labels": [11], "data": 1}, "numbers from 0 to 9"),
        ({"labels": [1, 2], "data": np.zeros((2, 5), np.uint8)}, "data_batch_1: its images cannot be read"),
        ({"labels": [1], "data": np.zeros((1, 3072))}, r"data_batch_1: .*expected an array of bytes"),
        ({"labels": [1], "data": [0] * 3072}, "data_batch_1: its images cannot be read"),
    ):
        (root / "data_batch_1").write_bytes(pickle.dumps(content))
        refused(adapter, match, read=True)
    (root / "data_batch_1").write_bytes(good[: len(good) // 2])
    refused(adapter, "data_batch_1: .*truncated")


def test_an_unknown_task_is_named_with_the_nearest(adapter: Any, data: Path) -> None:
    as_parquet(data)
    with pytest.raises(DataError, match="has no task 'brid'; did you mean 'bird'"):
        adapter("cifar10").task("brid")


def test_a_class_without_train_images_is_an_error_of_its_task_alone(adapter: Any, data: Path) -> None:
    root = as_folders(data)
    shutil.rmtree(root / "train" / "cat")
    refused(adapter, "no image that is normal for the task 'cat'")
    assert len(adapter("cifar10").task("dog").train) == 3


# --- the real thing -----------------------------------------------------------------------------------------


@pytest.mark.data
def test_the_real_set_is_whole(adapter: Any, real_data: Path) -> None:
    if not (real_data / "cifar10").is_dir():
        pytest.skip(f"{real_data} holds no cifar10")
    cifar = adapter("cifar10")
    assert cifar.differences() == []
    for name in CLASSES:
        task = cifar.task(name)
        assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (5000, 10_000, 9000)
    assert task.sources[1].read(np.arange(3)).shape == (3, 32, 32, 3)
