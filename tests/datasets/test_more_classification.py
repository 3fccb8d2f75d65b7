"""The other image classification sets, in their official layouts."""

from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bench import DataError, MissingData, OneVsRest

from .test_classification import shades
from .trees import picture, png, write_parquet, write_picture

#: Label of each image; its shade is its number.
TRAIN, TEST = [i % 10 for i in range(30)], [(3 * i) % 10 for i in range(20)]
SPLITS = {"train": TRAIN, "test": TEST}


def as_idx(root: Path, *, packed: bool = False) -> Path:
    root.mkdir(parents=True)
    for stem, labels in (("train", TRAIN), ("t10k", TEST)):
        pixels = np.stack([np.full((28, 28), i, np.uint8) for i in range(len(labels))])
        images = b"\0\0\x08\x03" + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes()
        numbers = b"\0\0\x08\x01" + np.array([len(labels)], ">u4").tobytes() + bytes(labels)
        for name, content in ((f"{stem}-images-idx3-ubyte", images), (f"{stem}-labels-idx1-ubyte", numbers)):
            if packed:
                (root / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (root / name).write_bytes(content)
    return root


def as_mat(root: Path) -> Path:
    root.mkdir(parents=True)
    for split, labels in SPLITS.items():
        pixels = np.stack([picture(i, (32, 32)) for i in range(len(labels))], -1)
        digits = np.array([[label or 10] for label in labels], np.uint8)
        savemat(root / f"{split}_32x32.mat", {"X": pixels, "y": digits}, do_compression=True)
    return root


def as_parquet(root: Path, **columns: str) -> Path:
    for split, labels in SPLITS.items():
        pictures = [png(picture(i)) for i in range(len(labels))]
        write_parquet(root / f"{split}-00000-of-00001.parquet", pictures, labels, **columns)
    return root


def as_cifar100(root: Path) -> Path:
    root.mkdir(parents=True)
    for split, labels in SPLITS.items():
        pixels = np.stack([picture(i, (32, 32)).transpose(2, 0, 1).ravel() for i in range(len(labels))])
        batch = {b"data": pixels, b"coarse_labels": labels, b"fine_labels": [label + 90 for label in labels]}
        (root / split).write_bytes(pickle.dumps(batch, protocol=2))
    return root


MADE: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "fashion_mnist, torchvision": ("fashion_mnist", lambda data: as_idx(data / "FashionMNIST" / "raw")),
    "fashion_mnist, gzipped": ("fashion_mnist", lambda data: as_idx(data / "fashion_mnist", packed=True)),
    "fashion_mnist, hub": (
        "fashion_mnist",
        lambda data: as_parquet(data / "fashion_mnist" / "fashion_mnist"),
    ),
    "mnist, torchvision": ("mnist", lambda data: as_idx(data / "MNIST" / "raw")),
    "mnist, hub": ("mnist", lambda data: as_parquet(data / "mnist" / "mnist")),
    "svhn, matlab": ("svhn", lambda data: as_mat(data / "svhn")),
    "svhn, hub": ("svhn", lambda data: as_parquet(data / "svhn" / "cropped_digits")),
    "cifar100, python": ("cifar100", lambda data: as_cifar100(data / "cifar-100-python")),
    "cifar100, hub": (
        "cifar100",
        lambda data: as_parquet(data / "cifar100" / "cifar100", image="img", label="coarse_label"),
    ),
}


@pytest.fixture(params=MADE.values(), ids=MADE.keys())
def made(request: pytest.FixtureRequest, adapter: Any, data: Path) -> OneVsRest:
    name, make = request.param
    make(data)
    return adapter(name)


def test_images_and_labels_belong_together(made: OneVsRest) -> None:
    for split, labels in SPLITS.items():
        assert shades(made, split) == list(enumerate(labels))
        assert made.split(split).source.read(np.array([0, 1])).shape[-1] == 3


def test_tasks(made: OneVsRest) -> None:
    task = made.task(made.classes[4])
    assert (len(task.train), len(task.anomaly_pool), len(task.test)) == (3, 27, 20)
    assert [kind != made.classes[4] for kind in task.test_types] == task.test_labels.tolist()
    assert len(made.differences()) == 2


def test_cifar100_has_coarse_and_fine_classes(adapter: Any, data: Path) -> None:
    as_cifar100(data / "cifar-100-python")
    coarse, fine = adapter("cifar100"), adapter("cifar100", labels="fine")
    assert (len(coarse.tasks()), len(fine.tasks())) == (20, 100)
    assert coarse.tasks()[:2] == ["aquatic_mammals", "fish"]
    assert fine.tasks()[99] == "worm"
    assert fine.split("train").labels.tolist() == [label + 90 for label in TRAIN]
    assert fine.split("train").source.fingerprint == coarse.split("train").source.fingerprint


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("train-images-idx3-ubyte", lambda c: c[:-1], "ubyte: expected 23520 bytes for the shape"),
        ("train-labels-idx1-ubyte", lambda c: c[:-1], "expected 30 bytes"),
        ("train-labels-idx1-ubyte", lambda c: b"PK" + c, "expected an IDX file of bytes with 1 dimensions"),
        ("train-labels-idx1-ubyte", lambda c: c[:-1] + b"\x0a", "expected labels from 0 to 9, found 0 to 10"),
        ("train-labels-idx1-ubyte", lambda c: c[:4] + b"\0\0\0\x02\1\2", "expected 2 images, one a label"),
    ],
)  # fmt: skip
def test_damaged_idx_files_are_named(
    adapter: Any, data: Path, file: str, change: Callable[[bytes], bytes], match: str
) -> None:
    path = as_idx(data / "mnist") / file
    path.write_bytes(change(path.read_bytes()))

    def use() -> None:
        adapter("mnist").task("1").sources[0].read(np.array([0]))

    with pytest.raises(DataError, match=match):
        use()


def test_truncated_gzip_and_half_a_split_are_named(adapter: Any, data: Path) -> None:
    root = as_idx(data / "mnist", packed=True)
    path = root / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: cannot be read"):
        adapter("mnist").task("1")
    path.unlink()
    with pytest.raises(DataError, match=r"expected .*labels.*, found only train-images-idx3-ubyte\.gz"):
        adapter("mnist").task("1")


def test_damaged_matlab_files_are_named(adapter: Any, data: Path) -> None:
    path = as_mat(data / "svhn") / "train_32x32.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[:90])
    with pytest.raises(DataError, match=r"train_32x32\.mat: cannot be read as a MATLAB file"):
        adapter("svhn").task("1")
    savemat(path, {"X": np.zeros(3)})
    with pytest.raises(DataError, match="expected the variable 'y'"):
        adapter("svhn").task("1")


# --- white blood cells --------------------------------------------------------------------------------------


def as_wbc(data: Path) -> Path:
    root, lines, number = data / "wbc", ["image ID,class label"], 0
    for label, count in ((1, 10), (2, 6), (3, 5), (4, 5), (5, 1)):
        for _ in range(count):
            number += 1
            path = root / "Dataset 1" / f"{number:03d}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number)).save(path)
            write_picture(path.with_suffix(".png"), picture(0))  # the cell's outline, not an image of the set
            lines.append(f"{number},{label}")
    (root / "Class Labels of Dataset 1.csv").write_text("\n".join(lines))
    return root


def test_wbc_splits_each_class_four_to_one(adapter: Any, data: Path) -> None:
    as_wbc(data)
    wbc = adapter("wbc")
    assert wbc.tasks() == ["neutrophil", "lymphocyte", "monocyte", "eosinophil"]
    train, test = shades(wbc, "train"), shades(wbc, "test")
    assert np.bincount([label for _, label in train]).tolist() == [8, 4, 4, 4]
    assert np.bincount([label for _, label in test]).tolist() == [2, 2, 1, 1]
    numbers = [number for number, _ in train + test]
    assert sorted(numbers) == list(range(1, 27))
    for number, label in train + test:
        assert label == (number > 10) + (number > 16) + (number > 21)
    assert shades(adapter("wbc"), "train") == train
    assert shades(adapter("wbc", split=1), "train") != train


def test_what_is_wrong_with_a_wbc_copy_is_named(adapter: Any, data: Path) -> None:
    with pytest.raises(DataError, match=rf"no folder wbc or .* in {data}; expected .*segmentation_WBC"):
        adapter("wbc").task("monocyte")
    root = as_wbc(data)
    table = root / "Class Labels of Dataset 1.csv"
    text = table.read_text()
    table.write_text(text.replace("\n3,1", "\n3,one"))
    with pytest.raises(DataError, match=r"line 4: expected two numbers"):
        adapter("wbc").task("monocyte")
    table.write_text(text)
    (root / "Dataset 1" / "003.bmp").unlink()
    with pytest.raises(DataError, match=r"line 4: .*003\.bmp does not exist"):
        adapter("wbc").task("monocyte")


# --- PANDA's larger photographs ----------------------------------------------------------------------------


def as_cats_vs_dogs(data: Path) -> Path:
    root = data / "cats_vs_dogs"
    for shade, number in enumerate((0, 1, 9_999, 10_000, 12_499)):
        for offset, kind in ((0, "cat"), (100, "dog")):
            write_picture(root / "train" / f"{kind}.{number}.png", picture(shade + offset))
            (root / "train" / f"{kind}.{number}.png").rename(root / "train" / f"{kind}.{number}.jpg")
    return root


def test_cats_and_dogs_split_by_number(adapter: Any, data: Path) -> None:
    root = as_cats_vs_dogs(data)
    dataset = adapter("cats_vs_dogs")
    assert sorted(shades(dataset, "train")) == [(0, 0), (1, 0), (2, 0), (100, 1), (101, 1), (102, 1)]
    assert sorted(shades(dataset, "test")) == [(3, 0), (4, 0), (103, 1), (104, 1)]
    write_picture(root / "train" / "cow.1.png", picture(1))
    with pytest.raises(DataError, match=r"cow\.1\.png: expected pictures named cat\.<number>\.jpg"):
        adapter("cats_vs_dogs").task("cat")
    shutil.rmtree(root / "train")
    with pytest.raises(DataError, match="found 0 and 0 pictures"):
        adapter("cats_vs_dogs").task("cat")


def as_birds(data: Path) -> Path:
    root, names = data / "CUB_200_2011", ["001.Albatross", "002.Auklet", "003.Bunting"]
    lines: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    for i in range(12):
        file = f"{names[i % 3]}/Bird_{i:04d}.png"
        write_picture(root / "images" / file, picture(i, (8 + i, 9)))
        lines["images"].append(f"{i + 1} {file}")
        lines["image_class_labels"].append(f"{i + 1} {i % 3 + 1}")
        lines["train_test_split"].append(f"{i + 1} {int(i < 7)}")
    lines["classes"] = [f"{i + 1} {name}" for i, name in enumerate(names)]
    for name, content in lines.items():
        (root / f"{name}.txt").write_text("\n".join(content) + "\n")
    return root


def test_birds_follow_the_official_text_files(adapter: Any, data: Path) -> None:
    root = as_birds(data)
    birds = adapter("birds200", first=2)
    assert birds.tasks() == ["001.Albatross", "002.Auklet"]
    assert sorted(shades(birds, "train")) == [(i, i % 3) for i in range(7)]
    assert sorted(shades(birds, "test")) == [(i, i % 3) for i in range(7, 12)]
    task = birds.task("002.Auklet")
    assert (len(task.train), len(task.test)) == (2, 5)
    labels = root / "image_class_labels.txt"
    labels.write_text(labels.read_text().replace("\n4 1", ""))
    with pytest.raises(
        DataError, match=r"image 4 \(001\.Albatross/Bird_0003\.png\) has no split or no class"
    ):
        adapter("birds200").task("002.Auklet")
    labels.write_text("one 1")
    with pytest.raises(DataError, match=r"image_class_labels\.txt, line 1: expected a number and a value"):
        adapter("birds200").task("002.Auklet")
    labels.unlink()
    with pytest.raises(DataError, match=r"image_class_labels\.txt: cannot be read"):
        adapter("birds200").task("002.Auklet")


def as_flowers(data: Path) -> Path:
    root = data / "flowers102"
    for number in range(1, 13):
        path = write_picture(root / "jpg" / f"image_{number:05d}.png", picture(number))
        path.rename(path.with_suffix(".jpg"))
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2, 3, 102] * 3], np.uint8)})
    splits = {"trnid": [[1, 2, 3, 4]], "valid": [[5, 6, 7, 8]], "tstid": [[9, 10, 11, 12]]}
    savemat(root / "setid.mat", {name: np.array(numbers, np.uint16) for name, numbers in splits.items()})
    return root


def test_flowers_test_on_the_validation_and_test_splits(adapter: Any, data: Path) -> None:
    root = as_flowers(data)
    flowers = adapter("flowers102")
    assert flowers.tasks()[0] == "001"
    assert len(flowers.tasks()) == 20
    assert sorted(shades(flowers, "train")) == [(1, 0), (2, 1), (3, 2), (4, 101)]
    assert sorted(number for number, _ in shades(flowers, "test")) == list(range(5, 13))
    (root / "jpg" / "image_00007.jpg").unlink()
    with pytest.raises(DataError, match=r"image_00007\.jpg: cannot be read"):
        adapter("flowers102").task("001")
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2]], np.uint8)})
    with pytest.raises(DataError, match=r"setid\.mat: image 4 has no label"):
        adapter("flowers102").task("001")


# --- any hub data set ---------------------------------------------------------------------------------------


def test_a_hub_set_is_found_by_name_or_path(adapter: Any, data: Path) -> None:
    as_parquet(data / "flowers" / "data", image="picture", label="kind")
    columns = {"image": "picture", "label": "kind"}
    for name in ("owner/flowers", "flowers", str(data / "flowers")):
        flowers = adapter("hub", name=name, **columns)
        assert flowers.tasks() == list("0123456789")
        assert shades(flowers, "train") == list(enumerate(TRAIN))
    with pytest.raises(DataError, match="there is no column 'image'"):
        adapter("hub", name="flowers").tasks()


def test_a_hub_set_with_chosen_normal_classes_is_one_task(adapter: Any, data: Path) -> None:
    as_parquet(data / "flowers")
    task = adapter("hub", name="flowers", normal="3|5").task("3+5")
    assert (len(task.train), len(task.anomaly_pool)) == (6, 24)
    assert [kind not in "35" for kind in task.test_types] == task.test_labels.tolist()
    with pytest.raises(DataError, match="has no class '11'"):
        adapter("hub", name="flowers", normal="11").tasks()


def test_a_hub_sets_splits_may_have_other_names(adapter: Any, data: Path) -> None:
    root = as_parquet(data / "flowers")
    (root / "test-00000-of-00001.parquet").rename(root / "validation-00000-of-00001.parquet")
    with pytest.raises(DataError, match="has no test split"):
        adapter("hub", name="flowers").task("1")
    assert len(adapter("hub", name="flowers", test="validation").task("1").test) == 20


def test_class_names_of_the_hub_become_names_of_tasks(adapter: Any, data: Path) -> None:
    import pyarrow.parquet as pq

    root = as_parquet(data / "clothes")
    names = ["T - shirt / top", *"abcdefghi"]
    metadata = {"huggingface": str({"info": {"features": {"label": {"names": names}}}}).replace("'", '"')}
    for path in root.glob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    assert adapter("hub", name="clothes").tasks()[0] == "T_-_shirt_top"


@pytest.mark.parametrize("encoded", [False, True])
def test_a_hub_sets_labels_may_be_names(adapter: Any, data: Path, encoded: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rename(split: str, names: list[str]) -> None:
        path = root / f"{split}-00000-of-00001.parquet"
        table = pq.read_table(path)
        column = pa.array([names[label] for label in table["label"].to_pylist()])
        if encoded:
            column = column.dictionary_encode()
        pq.write_table(table.set_column(1, "label", column), path)

    root = as_parquet(data / "animals")
    for split in SPLITS:
        # Not in the order of the alphabet: the ninth is first.
        rename(split, [f"kind {9 - i}" for i in range(9)] + ["a/b"])
    animals = adapter("hub", name="animals")
    assert animals.tasks() == ["a_b", *(f"kind_{i}" for i in range(1, 10))]
    assert shades(animals, "train") == [(i, 0 if label == 9 else 9 - label) for i, label in enumerate(TRAIN)]
    assert len(adapter("hub", name="animals", normal="kind_3|a_b").task("kind_3+a_b").train) == 6
    shutil.rmtree(root)
    as_parquet(data / "animals")
    for split in SPLITS:
        rename(split, ["a b", "a_b", *"cdefghij"])
    with pytest.raises(DataError, match="two classes would have one name among a b, a_b"):
        adapter("hub", name="animals").tasks()


def test_names_that_are_no_class_are_refused(adapter: Any, data: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = as_parquet(data / "fashion_mnist" / "fashion_mnist")
    path = root / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "label", pa.array(["sandals"] * len(table))), path)
    with pytest.raises(DataError, match="the label 'sandals' is no class; did you mean 'sandal'"):
        adapter("fashion_mnist").task("bag")


def test_where_a_hub_set_lies(adapter: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.hub.download", lambda *_: pytest.fail("a download"))
    root = as_parquet(data / "flowers")
    assert adapter("hub", name="owner/flowers").place() == root
    assert adapter("hub", name=str(root)).place() == root
    with pytest.raises(MissingData, match="hf download owner/other"):
        adapter("hub", name="owner/other").place()


def test_a_folder_without_parquet_files_is_refused(adapter: Any, data: Path) -> None:
    with pytest.raises(DataError, match="no parquet files there"):
        adapter("hub", name=str(data)).tasks()
    shutil.rmtree(data)


# --- the real things ----------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["fashion_mnist", "wbc"])
def test_real_sets_have_the_official_counts(adapter: Any, real_data: Path, name: str) -> None:
    if not (real_data / name).is_dir():
        pytest.skip(f"{real_data} holds no {name}")
    dataset = adapter(name)
    assert dataset.differences() == []
    for task_name in dataset.tasks():
        task = dataset.task(task_name)
        assert task.test_labels.any()
        assert not task.test_labels.all()
