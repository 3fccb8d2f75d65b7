"""Inspection sets: MVTec AD's layout and its relatives, split files, and what is wrong with a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import DataError, Task
from bench.core.contamination import Contamination
from bench.data.contaminate import contaminate

from .test_labels_out_of_reach import reachable, tells
from .trees import picture, write_mask, write_mvtec, write_picture


def shades(task: Task, which: int) -> list[int]:
    return [int(p[1, 1, 0]) for p in task.sources[which].read(np.arange(len(task.sources[which])))]


def as_mvtec(data: Path) -> tuple[str, dict[str, Any], str]:
    write_mvtec(data / "mvtec" / "bottle")
    return "mvtec", {}, "bottle"


def as_loco(data: Path) -> tuple[str, dict[str, Any], str]:
    root = data / "mvtec_loco" / "pushpins"
    write_mvtec(root, suffix="", hole=2, scratch=3)
    for kind, count in (("hole", 2), ("scratch", 3)):
        for i in range(count):
            flat = root / "ground_truth" / kind / f"{i:03d}.png"
            (flat.parent / f"{i:03d}").mkdir()
            flat.rename(flat.parent / f"{i:03d}" / "000.png")
    write_picture(root / "validation" / "good" / "000.png", picture(200))
    return "mvtec_loco", {}, "pushpins"


def as_visa(data: Path) -> tuple[str, dict[str, Any], str]:
    root, shade = data / "visa", iter(range(256))
    lines = ["object,split,label,image,mask"]
    for split, label, count in (("train", "normal", 5), ("test", "normal", 3), ("test", "anomaly", 5)):
        for i in range(count):
            name = f"{split}{i:03d}"
            image = f"candle/Data/Images/{'Normal' if label == 'normal' else 'Anomaly'}/{name}.JPG"
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), next(shade), np.uint8)).save(root / image, quality=100)
            mask = f"candle/Data/Masks/Anomaly/{name}.png" if label == "anomaly" else ""
            if mask:
                write_mask(root / mask, value=1 + i, at=i)  # small numbers, one a kind of defect
            lines.append(f"candle,{split},{label},{image},{mask}")
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(lines) + "\n")
    return "visa", {}, "candle"


def as_folder(data: Path) -> tuple[str, dict[str, Any], str]:
    return "folder", {"path": str(write_mvtec(data / "mine"))}, "mine"


def as_csv(data: Path) -> tuple[str, dict[str, Any], str]:
    root = write_mvtec(data / "listed")
    lines = ["path,split,label,mask"]
    for file in sorted(root.glob("t*/*/*.png")):
        split, kind, name = file.relative_to(root).parts
        mask = f"ground_truth/{kind}/{Path(name).stem}_mask.png" if kind != "good" else ""
        lines.append(f"{split}/{kind}/{name},{split},{kind},{mask}")
    (root / "mine.csv").write_text("\n".join(lines))
    return "folder", {"path": str(root / "mine.csv")}, "mine"


KINDS = {"mvtec": as_mvtec, "mvtec_loco": as_loco, "visa": as_visa, "folder": as_folder, "csv": as_csv}
Make = Callable[[Path], tuple[str, dict[str, Any], str]]


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def made(request: pytest.FixtureRequest, adapter: Any, data: Path) -> tuple[Any, str]:
    """Return a data set and the name of its one task: 5 train, 3 good, 5 anomalous images."""
    name, params, category = request.param(data)
    return adapter(name, **params), category


def test_counts_labels_types_and_masks(made: tuple[Any, str]) -> None:
    dataset, category = made
    assert dataset.tasks() == [category]
    task = dataset.task(category)
    assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (5, 8, 5)
    assert task.anomaly_pool is None
    assert not dataset.has_anomaly_pool
    kinds = {"anomaly"} if type(dataset).__name__ == "VisA" else {"hole", "scratch"}
    assert set(task.test_types) == {"good"} | kinds
    for kind, label, mask in zip(task.test_types, task.test_labels, task.masks, strict=True):
        assert label == (kind != "good")
        assert mask.shape == (8, 8)
        assert mask.dtype == np.bool_
        assert mask.sum() == (8 if label else 0)


def test_images_masks_and_labels_belong_together(made: tuple[Any, str]) -> None:
    """Shades run on from train to good to the anomalies; an anomaly's mask is its number's column."""
    dataset, category = made
    task = dataset.task(category)
    assert sorted(shades(task, 0)) == [0, 1, 2, 3, 4]
    for shade, label, mask in zip(shades(task, 1), task.test_labels, task.masks, strict=True):
        assert label == (shade >= 8)
        if label:
            number = shade - 8
            if type(dataset).__name__ != "VisA":
                number -= 2 * (number >= 2)
            assert mask[:, number].all()


def test_fingerprints_do_not_depend_on_the_place(
    made: tuple[Any, str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, category = made
    first = dataset.fingerprint()
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    monkeypatch.setenv("ANOBENCH_DATA", str(moved))

    def again() -> Any:
        if hasattr(dataset, "path"):
            return type(dataset)(str(moved / dataset.path.relative_to(data)))
        return type(dataset)()

    assert again().fingerprint() == first
    assert again().task(category).sources[0].fingerprint == dataset.task(category).sources[0].fingerprint
    victim = next(
        file for file in sorted(moved.rglob("*")) if "ground_truth" in str(file) or "Masks" in str(file)
    )
    victim = next(file for file in sorted(victim.rglob("*")) if file.is_file()) if victim.is_dir() else victim
    write_mask(victim, at=7)
    assert again().fingerprint() != first


def test_no_label_is_reached_from_the_images(made: tuple[Any, str], data: Path) -> None:
    dataset, category = made
    task = dataset.task(category)
    names = {"scratch", "hole", "good", "anomaly", "Anomaly", str(data)}
    assert tells(reachable(task.train, task.test), task, names) == []
    how = Contamination(rate=0.4, source="test")
    changed, _ = contaminate(task, "d", how)
    assert tells(reachable(changed.train, changed.test), changed, names) == []


def test_rows_do_not_follow_the_labels(adapter: Any, data: Path) -> None:
    write_mvtec(data / "mvtec" / "bottle", good=20, hole=10, scratch=10)
    labels = adapter("mvtec").task("bottle").test_labels.astype(int)
    assert np.abs(np.diff(labels)).sum() > 8


# --- what is wrong with a copy ------------------------------------------------------------------------------


@pytest.fixture
def bottle(data: Path) -> Path:
    return write_mvtec(data / "mvtec" / "bottle")


@pytest.fixture
def refused(adapter: Any) -> Callable[[str], None]:
    """Return a function that opens mvtec/bottle, all its masks too, and expects an error."""

    def check(match: str) -> None:
        def use() -> None:
            adapter("mvtec").fingerprint()
            list(adapter("mvtec").task("bottle").masks)

        with pytest.raises(DataError, match=match):
            use()

    return check


@pytest.mark.parametrize(
    ("remove", "match"),
    [
        ("train", r"bottle: expected the folder train/good, found ground_truth, test"),
        ("test", r"bottle: expected the folder test, found ground_truth, train"),
        ("test/good", "no normal test images"),
        ("ground_truth/hole/001_mask.png", r"test/hole/001\.png: this anomaly has no mask"),
        ("test/scratch/002.png", r"ground_truth/scratch/002_mask\.png: this mask belongs to no image"),
    ],
)
def test_what_is_missing_is_named(bottle: Path, refused: Any, remove: str, match: str) -> None:
    path = bottle / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(match)


def test_without_anomalies_or_train_images_it_is_incomplete(bottle: Path, refused: Any) -> None:
    for kind in ("hole", "scratch"):
        shutil.rmtree(bottle / "test" / kind)
        shutil.rmtree(bottle / "ground_truth" / kind)
    refused("no anomalous test images")
    for file in (bottle / "train" / "good").iterdir():
        file.unlink()
    refused("no normal train images")


def test_another_train_folder_is_refused(bottle: Path, refused: Any) -> None:
    write_picture(bottle / "train" / "scratch" / "000.png", picture(1))
    refused("expected no other folder beside it, found good, scratch")


def test_a_mask_of_another_size_is_named_with_its_image(bottle: Path, refused: Any) -> None:
    write_mask(bottle / "ground_truth" / "hole" / "000_mask.png", size=(8, 9))
    refused(r"000_mask\.png: this mask has 9 x 8 pixels, its image .*hole/000\.png has 8 x 8")


def test_a_truncated_image_or_mask_is_named(bottle: Path, refused: Any) -> None:
    for name in ("train/good/003.png", "ground_truth/hole/000_mask.png"):
        whole = (bottle / name).read_bytes()
        (bottle / name).write_bytes(whole[:-15])
        refused(rf"{name}: this PNG image is truncated")
        (bottle / name).write_bytes(whole)


def test_masks_may_be_missing_as_a_whole(bottle: Path, adapter: Any) -> None:
    shutil.rmtree(bottle / "ground_truth")
    assert adapter("mvtec").task("bottle").masks is None


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_any_mode_mean_not_zero(bottle: Path, adapter: Any, mode: str) -> None:
    path = bottle / "ground_truth" / "hole" / "000_mask.png"
    pixels = np.zeros((8, 8), np.uint8)
    pixels[1, 2:5] = 1
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.copy()
        image.putpalette([0, 0, 0, 0, 0, 0])  # both indices are black: the index counts, not its colour
    elif mode == "1":
        image = Image.fromarray(pixels > 0)
    elif mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(path)
    task = adapter("mvtec").task("bottle")
    (mask,) = (m for m, k in zip(task.masks, task.test_types, strict=True) if k == "hole" and m.sum() == 3)
    assert mask[1, 2:5].all()


def test_a_missing_empty_or_foreign_root_is_named(adapter: Any, data: Path) -> None:
    with pytest.raises(DataError, match=rf"MVTec AD: no folder mvtec or .* in {data}; expected .*mvtec\.com"):
        adapter("mvtec").tasks()
    (data / "mvtec").mkdir()
    with pytest.raises(DataError, match=r"mvtec is empty; expected mvtec/<category>/"):
        adapter("mvtec").tasks()
    (data / "mvtec" / "botle").mkdir()
    with pytest.raises(DataError, match=r"mvtec holds botle; did you mean 'bottle'"):
        adapter("mvtec").tasks()


def test_an_unknown_category_is_named_with_the_nearest(bottle: Path, adapter: Any) -> None:
    assert bottle.is_dir()
    with pytest.raises(DataError, match="MVTec AD has no task 'botle'; did you mean 'bottle'"):
        adapter("mvtec").task("botle")


def test_differences_are_noted(bottle: Path, adapter: Any) -> None:
    assert bottle.is_dir()
    notes = adapter("mvtec").differences()
    assert "lacks 14 of 15: cable, capsule" in notes[0]
    assert "bottle has 5 train, 3 good and 5 anomalous test images, officially 209, 20 and 63" in notes[1]


# --- the relatives ------------------------------------------------------------------------------------------


def test_loco_joins_the_masks_of_a_image(adapter: Any, data: Path) -> None:
    as_loco(data)
    write_mask(
        data / "mvtec_loco" / "pushpins" / "ground_truth" / "hole" / "000" / "001.png", at=7, value=251
    )
    task = adapter("mvtec_loco").task("pushpins")
    assert sorted(int(mask.sum()) for mask in task.masks) == [0, 0, 0, 8, 8, 8, 8, 16]


def test_loco_without_good_test_images_takes_the_validation_ones_if_told(adapter: Any, data: Path) -> None:
    as_loco(data)
    shutil.rmtree(data / "mvtec_loco" / "pushpins" / "test" / "good")
    with pytest.raises(DataError, match=r"test/good, which is missing; .*mvtec_loco\[good=validation\]"):
        adapter("mvtec_loco").task("pushpins")
    task = adapter("mvtec_loco", good="validation").task("pushpins")
    assert len(task.test) == 6
    assert 200 in shades(task, 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("object,split", "object,spit"), r"1cls\.csv: there is no column 'split'; did you mean 'spit'"),
        ((",test,normal", ",dev,normal"), r"1cls\.csv, line 7: expected the split .*found 'dev'"),
        (("train,normal", "train,anomaly"), r"line 2: an anomaly \(anomaly\) in the train split"),
        (("Normal/train002", "Normal/gone"), r"line 4: .*gone\.JPG does not exist"),
        (("Masks/Anomaly/test000", "Masks/gone"), r"line 10: .*gone\.png does not exist"),
        (("candle/Data/Masks/Anomaly/test000.png", ""), r"test000\.JPG: this anomaly has no mask"),
        (("test,normal,candle/Data/Images/Normal/test000", "test,normal,candle/Data/Images/Normal/train000"),
         r"train000\.JPG: this image is in the train split and in the test split"),
    ],
)  # fmt: skip
def test_split_files_that_are_wrong_are_named_with_the_line(
    adapter: Any, data: Path, change: tuple[str, str], match: str
) -> None:
    as_visa(data)
    table = data / "visa" / "split_csv" / "1cls.csv"
    text = table.read_text()
    assert change[0] in text
    table.write_text(text.replace(*change))
    with pytest.raises(DataError, match=match):
        adapter("visa").task("candle")


def test_a_missing_split_file_is_named(adapter: Any, data: Path) -> None:
    as_visa(data)
    (data / "visa" / "split_csv" / "1cls.csv").unlink()
    with pytest.raises(DataError, match=r"1cls\.csv: cannot be read"):
        adapter("visa").task("candle")


def test_a_folder_of_folders_is_a_task_each(adapter: Any, data: Path) -> None:
    write_mvtec(data / "mine" / "b")
    write_mvtec(data / "mine" / "a")
    mine = adapter("folder", path=str(data / "mine"))
    assert mine.tasks() == ["a", "b"]
    assert mine.task("a").sources[0].name == "folder/a/train"


def test_a_folder_that_is_none_says_what_is_expected(adapter: Any, data: Path) -> None:
    with pytest.raises(DataError, match="gone] does not exist"):
        adapter("folder", path=str(data / "gone")).tasks()
    with pytest.raises(DataError, match="neither it nor a folder in it holds train/"):
        adapter("folder", path=str(data)).tasks()


def test_a_csv_file_needs_no_masks(adapter: Any, data: Path) -> None:
    _, params, _ = as_csv(data)
    path = Path(params["path"])
    path.write_text("\n".join(",".join(line.split(",")[:3]) for line in path.read_text().splitlines()))
    assert adapter("folder", path=str(path)).task("mine").masks is None


# --- the real things ----------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "params", "category", "counts"),
    [
        ("mvtec", {}, "screw", (320, 41, 119)),
        ("mvtec", {}, "toothbrush", (48, 12, 30)),
        ("mvtec_loco", {"good": "validation"}, "juice_bottle", (335, 54, 142)),
    ],
)
def test_real_categories(
    adapter: Any, real_data: Path, name: str, params: Any, category: str, counts: tuple[int, int, int]
) -> None:
    if not (real_data / name / category).is_dir():
        pytest.skip(f"{real_data} holds no {name}/{category}")
    task = adapter(name, **params).task(category)
    bad = int(task.test_labels.sum())
    assert (len(task.train), len(task.test) - bad, bad) == counts
    for i in (0, 1, len(task.test) - 1):
        assert bool(task.masks[i].any()) == bool(task.test_labels[i])
        assert task.masks[i].shape == task.sources[1].read(np.array([i]))[0].shape[:2]
