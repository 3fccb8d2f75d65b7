"""A look at a data set: damage, duplicates, masks, and fingerprints against the official ones."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.get import check as datacheck
from bench.data.get.check import check
from bench.data.official import CLASSES, CONTENT, Known, content, published_md5
from bench.suite.registry import Registry
from tests.datasets.test_classification import as_folders, as_parquet
from tests.datasets.test_more_classification import as_cifar100, as_idx, as_mat
from tests.datasets.trees import picture, write_mask, write_mvtec, write_picture

STOCK = Registry().datasets


def adapter(which: str, /, **params: Any) -> Any:
    return STOCK[which].load()(**params)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", str(folder))
    return folder


def fingerprints(facts: tuple[str, ...]) -> list[str]:
    return [word for fact in facts for word in fact.replace(";", "").split() if len(word) == 64]


# --- damage, duplicates, masks ------------------------------------------------------------------------------


def test_a_whole_set_has_nothing_to_note() -> None:
    found = check(adapter("textures", size=32, train=4, good=3, per_defect=2), "textures")
    assert found.notes == ()
    assert not found.official
    assert len(found.facts) == 2 * len(adapter("textures").tasks())
    assert all("no official fingerprint is known for this copy; its fingerprint is" in f for f in found.facts)


def test_a_check_names_damage_duplicates_and_masks(data: Path) -> None:
    root = write_mvtec(data / "mine", train=5, good=3, hole=4)
    write_picture(root / "test" / "good" / "002.png", picture(3))  # the train set's 003.png
    write_mask(root / "ground_truth" / "hole" / "001_mask.png", value=0)
    write_mask(root / "ground_truth" / "hole" / "002_mask.png", size=(9, 9))
    broken = root / "train" / "good" / "004.png"
    content = bytearray(broken.read_bytes())
    content[40:60] = b"x" * 20
    broken.write_bytes(content)
    found = check(adapter("folder", path=str(root)), "folder")
    notes = "\n".join(found.notes)
    assert "train/good/004.png: this image cannot be decoded" in notes
    assert "train/good/003.png and" in notes
    assert "test/good/002.png are the same image" in notes
    assert "002_mask.png: this mask has 9 x 9 pixels" in notes
    assert "mine: 1 anomalies have an empty mask" in notes
    assert len(found.notes) == 4
    assert all("no fingerprint, since not everything in it can be read" in fact for fact in found.facts)


def test_many_notes_are_counted(data: Path) -> None:
    root = write_mvtec(data / "mine", train=12, good=9, hole=1)
    for i in range(9):
        write_picture(root / "test" / "good" / f"{i:03d}.png", picture(i))
    assert (
        check(adapter("folder", path=str(root))).notes[-1]
        == "… and 4 more images are in folder/mine/train and in folder/mine/test"
    )


# --- content ------------------------------------------------------------------------------------------------

ROWS = [(bytes([i]) * 32, label, b"") for i, label in enumerate(("cat", "dog", "cat"))]


def test_content_does_not_know_the_order_but_everything_else() -> None:
    assert content(ROWS) == content(ROWS[::-1])
    others = [
        content(ROWS[:2]),
        content([*ROWS, ROWS[0]]),
        content([(ROWS[0][0], "dog", b""), *ROWS[1:]]),
        content([(b"x" * 32, "cat", b""), *ROWS[1:]]),
        content([(ROWS[0][0], "cat", b"mask"), *ROWS[1:]]),
        content([(ROWS[0][0], "dog", b""), (ROWS[1][0], "cat", b""), ROWS[2]]),
    ]
    assert len({content(ROWS), *others}) == 7


def test_the_container_does_not_count(data: Path) -> None:
    """Class folders of PNG files and parquet in another order hold the same content."""
    as_folders(data)
    folders = check(adapter("cifar10"), "cifar10")
    shutil.rmtree(data / "cifar10")
    as_parquet(data)
    parquet = check(adapter("cifar10"), "cifar10")
    assert fingerprints(folders.facts) == fingerprints(parquet.facts)
    assert len(set(fingerprints(folders.facts))) == 2


def test_a_mask_counts(data: Path) -> None:
    root = write_mvtec(data / "mine")
    before = fingerprints(check(adapter("folder", path=str(root))).facts)
    write_mask(root / "ground_truth" / "hole" / "001_mask.png", at=5)
    after = fingerprints(check(adapter("folder", path=str(root))).facts)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_known_content_is_compared(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folders(data)
    train, test = fingerprints(check(adapter("cifar10"), "cifar10").facts)
    monkeypatch.setitem(
        CONTENT, "cifar10", {"train": Known(train, "by hand"), "test": Known("f" * 64, "by hand")}
    )
    found = check(adapter("cifar10"), "cifar10")
    assert found.facts == (f"cifar10/train: its fingerprint is {train}, as expected (by hand)",)
    (note,) = [note for note in found.notes if "differ from the official ones" in note]
    for words in ("cifar10/test", test, "f" * 64, "by hand"):
        assert words in note
    assert not found.official


def test_digits_are_what_they_were() -> None:
    found = check(adapter("digits"), "digits")
    assert (found.notes, found.official) == ((), True)
    assert all("as expected (established on the copy in scikit-learn" in fact for fact in found.facts)


def test_counts_are_said_of_each_split(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mvtec(data / "mvtec" / "bottle")
    write_mvtec(data / "mvtec" / "screw")
    dataset = adapter("mvtec")
    monkeypatch.setattr(type(dataset), "expected", {"bottle": (5, 3, 5), "screw": (1, 1, 1)})
    facts = {fact.split(":")[0]: fact for fact in check(dataset, "mvtec").facts}
    assert facts["mvtec/bottle/train"].endswith("; counts agree")
    assert facts["mvtec/bottle/test"].endswith("; counts agree")
    assert facts["mvtec/screw/train"].endswith("; counts differ")
    root = write_mvtec(data / "mine")
    assert check(adapter("folder", path=str(root))).facts[0].endswith("no official counts are known either")


# --- official files -----------------------------------------------------------------------------------------


def publishes(monkeypatch: pytest.MonkeyPatch, name: str, **places: Any) -> None:
    """Let torchvision's class publish these."""
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, name, type(name, (), places))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_torchvision_publishes_what_is_read_from_it() -> None:
    """The names that the layouts read; a torchvision that moves them would be seen here."""
    expected = {
        "cifar10": {*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"},
        "cifar100": {"train", "test", "meta"},
        "svhn": {"train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"},
    }
    idx = {f"{s}-{k}-ubyte.gz" for s in ("train", "t10k") for k in ("images-idx3", "labels-idx1")}
    for name, class_name in CLASSES.items():
        found = published_md5(class_name)
        assert set(found) == expected.get(name, idx)
        assert all(len(bytes.fromhex(digest)) == 16 for digest in found.values())
    assert {"imagelabels.mat", "setid.mat"} <= set(published_md5("Flowers102"))
    assert published_md5("NoSuchClass") == {}


def cifar100(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = as_cifar100(data / "cifar-100-python")
    publishes(
        monkeypatch,
        "CIFAR100",
        train_list=[["train", md5(root / "train")]],
        test_list=[["test", md5(root / "test")]],
        meta={"filename": "meta", "key": "names", "md5": "0" * 32},
    )
    return root


def svhn(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = as_mat(data / "svhn")
    lists = {
        split: [f"https://example.org/{split}_32x32.mat", f"{split}_32x32.mat", md5(path)]
        for split in ("train", "test")
        for path in [root / f"{split}_32x32.mat"]
    }
    publishes(monkeypatch, "SVHN", split_list=lists)
    return root


def mnist(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = as_idx(data / "MNIST" / "raw", packed=True)
    publishes(monkeypatch, "MNIST", resources=[(path.name, md5(path)) for path in sorted(root.glob("*.gz"))])
    return root


@pytest.mark.parametrize(
    ("make", "changed"), [(cifar100, "test"), (svhn, "test_32x32.mat"), (mnist, "t10k-labels-idx1-ubyte.gz")]
)
def test_official_files_are_compared_by_md5(
    data: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path], changed: str
) -> None:
    root = make(data, monkeypatch)
    name = make.__name__
    found = check(adapter(name), name)
    assert f"{root}: official files by the MD5 that torchvision publishes: " in found.facts[0]
    assert changed in found.facts[0].split(": ")[-1].split(", ")
    assert all("official files; their fingerprint is" in fact for fact in found.facts[1:])
    assert found.official

    was = md5(root / changed)
    with (root / changed).open("ab") as file:
        file.write(gzip.compress(b"") if changed.endswith(".gz") else b"\0" * 8)
    found = check(adapter(name), name)
    (note,) = [note for note in found.notes if "its MD5 is" in note]
    for words in (str(root / changed), was, md5(root / changed), "get it again"):
        assert words in note
    assert changed not in found.facts[0].split(": ")[-1].split(", ")
    assert not found.official


def test_unpacked_files_are_compared_with_the_official_packed_ones(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = mnist(data, monkeypatch)
    for path in root.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert check(adapter("mnist"), "mnist").official
    labels = root / "train-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    labels.write_bytes(content)
    found = check(adapter("mnist"), "mnist")
    assert f"{labels}: differs from what the official {labels.name}.gz beside it holds" in found.notes


def test_unpacked_files_alone_cannot_be_compared(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = mnist(data, monkeypatch)
    for path in root.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    found = check(adapter("mnist"), "mnist")
    assert len([fact for fact in found.facts if "not compared; only the MD5 of the official" in fact]) == 4
    assert all("no official fingerprint is known" in fact for fact in found.facts[-2:])
    assert not found.official


def test_files_that_cannot_be_read_are_noted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(data, monkeypatch)
    monkeypatch.setattr("bench.data.official._md5", lambda path: _raise(path))
    assert "mended: no" in check(adapter("mnist"), "mnist").notes


def _raise(path: Path) -> str:
    from bench import DataError

    assert path.exists()
    raise DataError("mended: no")


def test_the_first_of_equal_images_is_named() -> None:
    class Row:
        name = "s"

        def where(self, row: int) -> str:
            return str(row)

    a, b = b"a" * 32, b"b" * 32
    assert datacheck._in_both(Row(), Row(), [b, a, a, None], [None, a, a]) == ["1 and 1 are the same image"]


def test_a_digest_knows_the_shape() -> None:
    one = np.zeros((2, 3, 3), np.uint8)
    assert datacheck._digest(one) != datacheck._digest(one.reshape(3, 2, 3))


@pytest.mark.data
def test_real_fashion_mnist_is_what_is_expected(real_data: Path) -> None:
    if not (real_data / "fashion_mnist").is_dir():
        pytest.skip(f"{real_data} holds no fashion_mnist")
    found = check(adapter("fashion_mnist"), "fashion_mnist")
    assert (found.notes, found.official) == ((), True)
