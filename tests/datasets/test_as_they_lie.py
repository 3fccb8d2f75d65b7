"""Data sets as users have them: other names, folders in folders, empty ones before good ones, two places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import DataError
from bench.data.get.check import check
from bench.data.get.facts import facts_of, facts_page
from bench.suite.registry import Registry, stock_folder

from . import official, test_inspection, test_more_classification
from .test_contract import EMBEDDED, NAMES, STOCK, as_btad
from .trees import picture, write_mask, write_mvtec, write_picture


def moved(data: Path, old: str, new: str) -> None:
    (data / new).parent.mkdir(parents=True, exist_ok=True)
    (data / old).rename(data / f"{old}.tmp")
    (data / new).parent.mkdir(parents=True, exist_ok=True)
    (data / f"{old}.tmp").rename(data / new)


#: Adapter, tree, its folder, and the names that users give it.
PLACES: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "mvtec": (
        test_inspection.as_mvtec,
        "mvtec",
        (
            *("MVTecAD", "MVTec", "MVTec-AD", "mvtec-ad", "MVTEC", "mvtec_anomaly_detection"),
            *("mvtec/mvtec_anomaly_detection", "MVTec-AD/MVTec"),
        ),
    ),
    "visa": (test_inspection.as_visa, "visa", ("VISA", "VisA_20220922", "visa/VisA_20220922", "VisA/VisA")),
    "btad": (
        as_btad,
        "btad",
        ("BTech", "BTAD", "btech_dataset_transformed", "BTAD/BTech_Dataset_transformed"),
    ),
    "kolektor": (official.as_kolektor, "kolektor", ("kolektorsdd", "KolektorSDD", "Kolektor-SDD")),
    "dior": (official.as_dior, "dior", ("DIOR-R", "DIOR", "dior/DIOR")),
    "magnetic_tile": (
        official.as_magnetic_tile,
        "magnetic_tile",
        (
            "Magnetic-Tile",
            "Magnetic-tile-defect-datasets.-master",
            "magnetic_tile/Magnetic-tile-defect-datasets",
        ),
    ),
    "real_iad": (official.as_real_iad, "real_iad", ("Real-IAD", "RealIAD", "real_iad/Real-IAD")),
    "birds200": (test_more_classification.as_birds, "CUB_200_2011", ("cub-200-2011", "birds200")),
    "wbc": (
        test_more_classification.as_wbc,
        "wbc",
        ("WBC", "segmentation_WBC-master", "wbc/segmentation_WBC"),
    ),
    "mvtec_ad2": (official.as_ad2, "mvtec_ad_2", ("MVTec_AD_2", "mvtec-ad-2", "MVTecAD2")),
}
PARAMS: dict[str, dict[str, Any]] = {
    "dior": {"larger_than": 10, "more_than": 3},
    "real_iad": {"size": "256"},
}


@pytest.mark.parametrize(("name", "place"), [(n, p) for n, (_, _, places) in PLACES.items() for p in places])
def test_folders_are_found_under_the_names_that_users_give_them(
    adapter: Any, data: Path, name: str, place: str
) -> None:
    make, folder, _ = PLACES[name]
    make(data)
    expected = adapter(name, **PARAMS.get(name, {})).fingerprint()
    moved(data, folder, place)
    (data / "unrelated").mkdir()
    found = adapter(name, **PARAMS.get(name, {}))
    assert found.fingerprint() == expected
    assert found.place() == data / place


@pytest.mark.parametrize("name", PLACES)
def test_an_empty_folder_does_not_hide_a_good_one(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, folder, _ = PLACES[name]
    make(data)
    for place in (folder, f"{folder}/@eaDir", f"{folder}/.git"):
        (tmp_path / "first" / place).mkdir(parents=True)
    monkeypatch.setenv("ANOBENCH_DATA", os.pathsep.join([str(tmp_path / "first"), str(data)]))
    assert adapter(name, **PARAMS.get(name, {})).place() == data / folder


def test_categories_may_lie_in_several_data_folders(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for category in ("bottle", "cable", "screw"):
        write_mvtec(data / "mvtec" / category, hole=2 + len(category))
    whole = adapter("mvtec")
    other = tmp_path / "other"
    (other / "MVTec-AD").mkdir(parents=True)
    (data / "mvtec" / "cable").rename(other / "MVTec-AD" / "cable")
    (data / "mvtec" / "cable").mkdir()  # empty
    monkeypatch.setenv("ANOBENCH_DATA", os.pathsep.join([str(data), str(other)]))
    parted = adapter("mvtec")
    assert parted.tasks() == whole.tasks() == ["bottle", "cable", "screw"]
    assert len(parted.task("cable").test) == 3 + 7
    assert not [note for note in parted.differences() if "cable has" in note and "7 anomalous" not in note]
    expected = parted.fingerprint()
    shutil.rmtree(data / "mvtec" / "cable")
    (other / "MVTec-AD" / "cable").rename(data / "mvtec" / "cable")
    assert adapter("mvtec").fingerprint() == expected


def test_categories_with_a_split_file_may_lie_in_several_data_folders(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_inspection.as_visa(data)
    other = tmp_path / "other"
    test_inspection.as_visa(other)
    table = other / "visa" / "split_csv" / "1cls.csv"
    table.write_text(table.read_text().replace("candle", "cashew"))
    (other / "visa" / "candle").rename(other / "visa" / "cashew")
    monkeypatch.setenv("ANOBENCH_DATA", os.pathsep.join([str(data), str(other)]))
    dataset = adapter("visa")
    assert dataset.tasks() == ["candle", "cashew"]
    assert "visa/cashew" in dataset.task("cashew").sources[0].where(0)


def test_one_split_in_the_first_folder_does_not_hide_a_whole_copy(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root, splits in ((tmp_path / "half", ("train",)), (data, ("train", "test"))):
        for split in splits:
            for kind in ("cat", "dog"):
                write_picture(root / "cifar10" / split / kind / "0.png", picture(len(split + kind)))
    monkeypatch.setenv("ANOBENCH_DATA", os.pathsep.join([str(tmp_path / "half"), str(data)]))
    assert adapter("cifar10").place() == data / "cifar10"


def test_visa_as_its_own_script_prepares_it(adapter: Any, data: Path) -> None:
    write_mvtec(data / "VisA_pytorch" / "1cls" / "candle", suffix="", bad=4)
    task = adapter("visa").task("candle")
    assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (5, 7, 4)
    assert [mask.any() for mask in task.masks] == [bool(label) for label in task.test_labels]


def test_visa_without_its_split_file_says_where_it_is(adapter: Any, data: Path) -> None:
    test_inspection.as_visa(data)
    shutil.rmtree(data / "visa" / "split_csv")
    with pytest.raises(DataError, match=r"folder split_csv of the authors' code, https://github\.com/amazon"):
        adapter("visa").fingerprint()


def test_real_iad_of_another_size_names_it(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    with pytest.raises(DataError, match=r"this copy is real_iad\[size=256\]"):
        adapter("real_iad").tasks()


@pytest.mark.parametrize("nested", ["JPEGImages-trainval", "ImageSets", "Annotations", "all"])
def test_dior_as_its_archives_unpack(adapter: Any, data: Path, nested: str) -> None:
    official.as_dior(data)
    root = data / "dior"
    if nested in ("ImageSets", "all"):
        for file in (root / "ImageSets" / "Main").iterdir():
            file.rename(root / "ImageSets" / file.name)
        (root / "ImageSets" / "Main").rmdir()
    for folder in ("JPEGImages-trainval", "JPEGImages-test", "Annotations"):
        if nested in (folder, "all"):
            (root / folder).rename(root / "tmp")
            (root / folder).mkdir()
            (root / "tmp").rename(root / folder / folder)
    task = adapter("dior", larger_than=10, more_than=3).task("dam")
    assert (len(task.train), len(task.anomaly_pool), len(task.test)) == (5, 5, 6)


@pytest.mark.parametrize(
    "shape",
    [
        "cats_vs_dogs/train/{kind}.{i}.jpg",
        "dogs-vs-cats/train/{kind}s/{kind}.{i}.jpg",
        "dogs-vs-cats/train/{kind}/{kind}.{i}.jpg",
        "Dogs_vs_Cats/train/train/{kind}.{i}.jpg",
        "PetImages/{Kind}/{i}.jpg",
        "cats_vs_dogs/PetImages/{Kind}/{i}.jpg",
    ],
)
def test_cats_and_dogs_in_all_their_folders(adapter: Any, data: Path, shape: str) -> None:
    for kind in ("cat", "dog"):
        for i in (0, 9_999, 10_000, 12_499):
            path = data / shape.format(kind=kind, Kind=kind.capitalize(), i=i)
            write_picture(path, np.full((8, 8, 3), i // 100 + len(path.name), np.uint8))
    (data / shape.split("/")[0] / "Thumbs.db").touch()
    task = adapter("cats_vs_dogs").task("cat")
    assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (2, 4, 2)


@pytest.mark.parametrize(
    "names", [("train labels", "validate labels"), ("train", "val"), ("train", "validation")]
)
@pytest.mark.parametrize("place", ["", "labels/"])
def test_sparks_tables_under_other_names(
    adapter: Any, data: Path, names: tuple[str, str], place: str
) -> None:
    official.as_spark(data)
    (data / "spark" / place).mkdir(exist_ok=True)
    for old, new in zip(("train_labels", "validate_labels"), names, strict=True):
        (data / "spark" / f"{old}.csv").rename(data / "spark" / f"{place}{new}.csv")
    assert len(adapter("spark", size=8).task("satellites").train) == 6


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("image,depth,class,bbox", "Image name,depth,Class,Bounding box", "expected a column image, found"),
        ("image,depth,class,bbox", "filename,depth,class,bbox", "expected a column image, found"),
        ("Terra", "Proba2", r"line 8: 'Proba2' is no class of SPARK 2021 .*SPARK 2022 is another data set"),
        ("AcrimSat", "Some_other", r"line 2: 'Some_other' is no class of SPARK 2021"),
    ],
)
def test_tables_of_spark_2022_do_not_pass(adapter: Any, data: Path, old: str, new: str, match: str) -> None:
    official.as_spark(data)
    for table in (data / "spark").glob("*.csv"):
        table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=match):
        adapter("spark").fingerprint()


@pytest.mark.parametrize("draw", range(12))
def test_wbcs_image_under_two_numbers_is_on_one_side(adapter: Any, data: Path, draw: int) -> None:
    root = data / "wbc" / "Dataset 1"
    rows = ["image ID,class label"]
    for number in range(100, 150):
        path = write_picture(root / f"{number}.bmp", picture(number))
        rows.append(f"{number},{number % 4 + 1 if number not in (112, 139) else 2}")
        assert path.is_file()
    shutil.copy(root / "112.bmp", root / "139.bmp")
    (data / "wbc" / "Class Labels of Dataset 1.csv").write_text("\n".join(rows))
    dataset = adapter("wbc", split=draw)
    assert dataset.same_images() == []
    assert len(dataset.split("train").labels) + len(dataset.split("test").labels) == 50
    sizes = [int((dataset.split("train").labels == kind).sum()) for kind in range(4)]
    counts = [sum(row.endswith(f",{kind + 1}") for row in rows) for kind in range(4)]
    assert sizes == [n * 4 // 5 for n in counts]


# --- masks --------------------------------------------------------------------------------------------------


def smooth(path: Path, ending: str = "") -> Path:
    """Write a mask of 24 x 24 whose edges are grey: twice as many pixels are above 0 as above 127."""
    ramp = np.clip(np.abs(np.arange(24) - 11.5) * -22 + 270, 0, 255)
    values = np.minimum.outer(ramp, ramp).astype(np.uint8)
    target = path.with_suffix(ending or path.suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(target)
    return target


def test_magnetic_tiles_masks_are_cut_at_127_and_four_are_empty(adapter: Any, data: Path) -> None:
    official.as_magnetic_tile(data)
    folder = data / "magnetic_tile" / "MT_Crack" / "Imgs"
    for name, make in (("exp3_num_45042", "empty"), ("exp1_num_77", "smooth")):
        Image.fromarray(np.full((24, 24, 3), 90 + len(name), np.uint8)).save(folder / f"{name}.jpg")
        if make == "smooth":
            smooth(folder / f"{name}.png")
        else:
            write_mask(folder / f"{name}.png", (24, 24), value=0)
    dataset = adapter("magnetic_tile")
    task = dataset.task("magnetic_tile")
    values = np.asarray(Image.open(folder / "exp1_num_77.png"))
    sizes = [int(mask.sum()) for mask in task.masks]
    assert int((values > 127).sum()) in sizes
    assert int((values > 0).sum()) not in sizes
    found = check(dataset, "magnetic_tile")
    assert "1 anomalies have an empty mask, as in the official set" in "\n".join(found.facts)
    assert "grey edges" in "\n".join(found.facts)
    assert not [note for note in found.notes if "empty mask" in note or "grey" in note]
    write_mask(folder / "exp1_num_77.png", (24, 24), value=0)
    assert [
        n for n in check(adapter("magnetic_tile")).notes if "1 anomalies have an empty mask, such as" in n
    ]


def test_grey_edges_of_any_sets_masks_are_noted(adapter: Any, data: Path) -> None:
    root = write_mvtec(data / "mine")
    plain = check(adapter("folder", path=str(root)))
    assert not [note for note in plain.notes if "grey" in note]
    write_picture(root / "test" / "hole" / "000.png", np.full((24, 24, 3), 77, np.uint8))
    smooth(root / "ground_truth" / "hole" / "000_mask.png")
    notes = check(adapter("folder", path=str(root))).notes
    assert "1 masks have grey edges (values from 1 to 254)" in "\n".join(notes)
    cut = adapter("folder", path=str(root), mask_above=127)
    assert not [note for note in check(cut).notes if "grey" in note]
    sizes = [
        [int(mask.sum()) for mask in set_.task("mine").masks]
        for set_ in (cut, adapter("folder", path=str(root)))
    ]
    assert max(sizes[0]) < max(sizes[1])


# --- facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"folder", "hub"}))
def test_each_adapter_names_its_facts_with_sources(name: str) -> None:
    facts = facts_of(STOCK[name].attributes)
    assert facts
    for what, source, held in facts:
        assert len(what) > 10
        assert len(source) > 3
        assert held
    assert STOCK[name].load().facts == STOCK[name].attributes["facts"]
    assert name not in EMBEDDED or facts[0][2] != "unconfirmed"


def test_the_page_of_facts_is_made_from_the_adapters() -> None:
    found = {name: adapter.attributes for name, adapter in Registry().datasets.items()}
    page = (stock_folder() / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert page == facts_page(found), "anobench data facts --markdown > docs/datasets.md"
