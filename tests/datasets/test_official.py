"""Adapters of the larger sets on small trees in their official layouts, and what may be wrong with a copy."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import DataError, Task
from bench.core.contamination import Contamination
from bench.data.contaminate import contaminate
from bench.data.get.check import check
from bench.suite.sweep import sweep

from . import official
from .test_labels_out_of_reach import reachable, tells
from .trees import picture, write_mask, write_picture

TREES = {
    "mvtec_ad2": official.as_ad2,
    "magnetic_tile": official.as_magnetic_tile,
    "kolektor": official.as_kolektor,
    "real_iad": official.as_real_iad,
    "spark": official.as_spark,
    "dior": official.as_dior,
}


@pytest.fixture(params=TREES)
def made(request: pytest.FixtureRequest, adapter: Any, data: Path) -> tuple[Any, str]:
    name, params, task = TREES[request.param](data)
    return adapter(name, **params), task


def shades(task: Task, which: int) -> list[int]:
    """Return the shade of the middle of each image of a source."""
    pictures = task.sources[which].read(np.arange(len(task.sources[which])))
    return [int(p[p.shape[0] // 2, p.shape[1] // 2, 0]) for p in pictures]


def test_differences_say_that_the_tree_is_small(made: tuple[Any, str]) -> None:
    dataset, _ = made
    notes = check(dataset).notes
    assert notes
    assert list(notes) == dataset.differences()
    assert all("officially" in note or "lacks" in note for note in notes)


#: Folders of images that no task uses.
UNUSED = {"validation", "test_private", "test_private_mixed", "train_depth", "validate_depth"}


@pytest.mark.parametrize("name", TREES)
def test_fingerprints_depend_on_content_not_on_the_place(
    adapter: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, params, task = TREES[name](data)
    first = adapter(name, **params)
    moved = tmp_path / "moved"
    # In another order on the disk.
    for path in sorted(data.rglob("*"), reverse=True):
        if path.is_file():
            target = moved / path.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    monkeypatch.setenv("ANOBENCH_DATA", str(moved))
    again = adapter(name, **params)
    assert again.fingerprint() == first.fingerprint()
    for one, other in zip(again.task(task).sources, first.task(task).sources, strict=True):
        assert one.fingerprint == other.fingerprint
        for a, b in zip(one.read(np.arange(len(one))), other.read(np.arange(len(other))), strict=True):
            assert (a == b).all()
    endings = {".png", ".jpg"}
    victim = next(
        path for path in sorted(moved.rglob("*")) if path.suffix in endings and not UNUSED & {*path.parts}
    )
    write_picture(victim, picture(77, (48, 64)))
    assert adapter(name, **params).fingerprint() != first.fingerprint()


# --- MVTec AD 2, magnetic tiles, KolektorSDD ----------------------------------------------------------------


def test_ad2_tests_on_the_public_set(adapter: Any, data: Path) -> None:
    official.as_ad2(data)
    task = adapter("mvtec_ad2").task("vial")
    assert Counter(task.test_types) == {"good": 3, "bad": 5}
    assert sorted(shades(task, 0)) == [0, 1, 2, 3, 4]
    for shade, label, mask in zip(shades(task, 1), task.test_labels, task.masks, strict=True):
        assert label == (shade >= 8)
        assert mask.any() == (shade >= 8)
        assert not label or mask[:, (shade - 8) % 8].all()


def test_magnetic_tiles_are_held_out_by_hash(adapter: Any, data: Path) -> None:
    official.as_magnetic_tile(data)
    task = adapter("magnetic_tile").task("magnetic_tile")
    assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (5, 7, 5)
    assert set(task.test_types) == {"good", "blowhole", "break", "crack", "fray", "uneven"}
    assert sorted(shades(task, 0) + shades(task, 1)) == list(range(12))
    others = [shades(adapter("magnetic_tile", split=split).task("magnetic_tile"), 0) for split in range(4)]
    assert sorted(others[0]) == sorted(shades(task, 0))
    assert len({tuple(sorted(drawn)) for drawn in others}) > 1


def test_kolektors_masks_say_what_is_good(adapter: Any, data: Path) -> None:
    official.as_kolektor(data)
    dataset = adapter("kolektor")
    task = dataset.task("kolektor")
    assert (len(task.train), len(task.test), int(task.test_labels.sum())) == (5, 5, 3)
    assert all(label == (shade >= 7) for shade, label in zip(shades(task, 1), task.test_labels, strict=True))
    before = dataset.fingerprint()
    write_mask(data / "kolektor" / "kos01" / "Part0_label.bmp", value=255)
    again = adapter("kolektor")
    assert again.fingerprint() != before
    assert again.task("kolektor").test_labels.sum() == 4


def test_kolektors_masks_are_decoded_once(adapter: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.data import masks

    official.as_kolektor(data)
    decode, decoded = masks.mask_values, []
    monkeypatch.setattr(masks, "mask_values", lambda path: decoded.append(path) or decode(path))
    first = adapter("kolektor").task("kolektor")
    assert len(decoded) == 2  # seven black masks are one content, three with a crack another
    again = adapter("kolektor").task("kolektor")
    assert len(decoded) == 2
    assert (again.test_labels == first.test_labels).all()
    write_mask(data / "kolektor" / "kos01" / "Part0_label.bmp", value=9)
    adapter("kolektor").task("kolektor")
    assert len(decoded) == 3


def test_what_is_kept_of_masks_may_be_damaged_or_lost(adapter: Any, data: Path, cache: Path) -> None:
    official.as_kolektor(data)
    first = adapter("kolektor").task("kolektor")
    for content in (b"[3]", b"{", b""):
        (cache / "masks" / "empty.json").write_bytes(content)
        assert (adapter("kolektor").task("kolektor").test_labels == first.test_labels).all()


# --- Real-IAD -----------------------------------------------------------------------------------------------


def test_real_iad_follows_the_json_files(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    multi = adapter("real_iad", size="256").task("toy")
    assert (len(multi.train), len(multi.test), int(multi.test_labels.sum())) == (20, 24, 8)
    kinds = ["pit", "deformation", "abrasion", "scratch", "damage"]
    kinds += ["missing_parts", "foreign_object", "contamination"]
    assert set(multi.test_types) == {"good", *kinds}
    single = adapter("real_iad", size="256", split="single").task("toy")
    assert (len(single.train), len(single.test), int(single.test_labels.sum())) == (10, 12, 8)
    for task in (multi, single):
        for label, mask in zip(task.test_labels, task.masks, strict=True):
            assert mask.any() == bool(label)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 1), (0.2, 2), (0.4, 4)])
def test_noisy_splits_know_their_anomalies(adapter: Any, data: Path, rate: float, count: int) -> None:
    official.as_real_iad(data)
    dataset = adapter("real_iad", size="256", split="fuiad")
    clean, noisy = dataset.task("toy"), dataset.noisy_task("toy", rate)
    assert len(noisy.train) == len(clean.train) == 20
    assert noisy.train_labels is not None
    # Of a defective object's two views one shows the defect.
    assert noisy.train_labels.sum() == count
    defective = {28 + 2 * i for i in range(8)}
    for shade, label in zip(shades(noisy, 0), noisy.train_labels, strict=True):
        assert label == (shade in defective)
    assert sum(shade >= 28 for shade in shades(noisy, 0)) == 2 * count
    assert noisy.test_types == clean.test_types
    assert noisy.sources[1].fingerprint == clean.sources[1].fingerprint
    assert not set(shades(noisy, 0)) & set(shades(noisy, 1))
    changed, drawn = contaminate(noisy, "real_iad", Contamination(rate=rate, source="official"))
    assert drawn["count"] == count
    assert drawn["rate"] == count / 20
    names = {"realiad", "contamination", str(data)}
    assert tells(reachable(changed.train, changed.test), changed, names) == []


def test_noisy_splits_are_in_the_fingerprint(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    before = adapter("real_iad", size="256", split="fuiad").fingerprint()
    assert adapter("real_iad", size="256").fingerprint() != before
    path = data / "real_iad" / "realiad_jsons" / "realiad_jsons_fuiad_0.4" / "toy.json"
    path.write_text(path.read_text() + " ")
    assert adapter("real_iad", size="256", split="fuiad").fingerprint() != before


def test_rates_are_refused_where_there_are_none(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    fuiad, multi = adapter("real_iad", size="256", split="fuiad"), adapter("real_iad", size="256")
    assert fuiad.official_rates == (0.1, 0.2, 0.4)
    assert multi.official_rates == ()
    with pytest.raises(
        DataError, match=r"no official split with 0\.3 contamination; it has: 0\.1, 0\.2, 0\.4"
    ):
        fuiad.noisy_task("toy", 0.3)
    with pytest.raises(DataError, match=r"noisy splits are real_iad\[split=fuiad\]'s"):
        multi.noisy_task("toy", 0.1)
    with pytest.raises(DataError, match="has no task 'tyo'; did you mean 'toy'"):
        fuiad.noisy_task("tyo", 0.1)


def test_a_sweep_over_the_official_rates(adapter: Any, data: Path) -> None:
    from bench.suite.keys import ContaminationTable

    official.as_real_iad(data)
    how = ContaminationTable(rates=(0.0, 0.1, 0.4), source="official")
    dataset = adapter("real_iad", size="256", split="fuiad")
    points, left_out = sweep(how, dataset, "real_iad[split=fuiad]", "toy", (0, 1))
    assert not left_out
    assert {rate for rate, _, _ in points} == {0.0, 0.1, 0.4}


def edit_json(data: Path, folder: str, change: Any) -> None:
    path = data / "real_iad" / "realiad_jsons" / folder / "toy.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_noisy_split_of_another_rate_is_refused(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    jsons = data / "real_iad" / "realiad_jsons"
    dataset = adapter("real_iad", size="256", split="fuiad")
    assert not [note for note in dataset.differences() if "defective" in note]
    (jsons / "realiad_jsons_fuiad_0.1" / "toy.json").write_bytes(
        (jsons / "realiad_jsons_fuiad_0.4" / "toy.json").read_bytes()
    )
    with pytest.raises(DataError, match=r"expected 10% of the train pictures .*found 40\.0% \(8 of 20\)"):
        dataset.noisy_task("toy", 0.1)
    assert [note for note in dataset.differences() if "40.0% of the train pictures" in note]
    (jsons / "realiad_jsons_fuiad_0.1" / "toy.json").unlink()
    fresh = adapter("real_iad", size="256", split="fuiad")
    assert [note for note in fresh.differences() if "no noisy split of rate 0.1" in note]
    fresh.task("toy")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c.pop("train"), "expected train and test lists"),
        (lambda c: c["test"][0].pop("anomaly_class"), "KeyError: 'anomaly_class'"),
        (lambda c: c["train"][0].update(image_path="../../../etc/x.jpg"), "leads out of the folder"),
        (lambda c: c["train"][0].update(image_path="OK/S0000/gone.jpg"), r"gone\.jpg: cannot be read"),
        (lambda c: c["train"].append(c["test"][0]), "in the train split and in the test split"),
        (lambda c: c["train"].append(c["test"][8]), "anomalous but in the clean train split"),
        (lambda c: c["test"][8].update(mask_path=None), "this anomaly has no mask"),
    ],
)
def test_json_files_that_are_wrong_are_named(adapter: Any, data: Path, change: Any, match: str) -> None:
    official.as_real_iad(data)
    edit_json(data, "realiad_jsons", change)
    with pytest.raises(DataError, match=match):
        adapter("real_iad", size="256").task("toy")


def test_missing_json_files_and_sizes_are_named(adapter: Any, data: Path) -> None:
    official.as_real_iad(data)
    with pytest.raises(DataError, match=r"expected realiad_1024/<object>/, found realiad_256, realiad_jsons"):
        adapter("real_iad").tasks()
    (data / "real_iad" / "realiad_jsons" / "realiad_jsons" / "toy.json").unlink()
    with pytest.raises(DataError, match=r"expected realiad_jsons/realiad_jsons/toy\.json or .*missing"):
        adapter("real_iad", size="256").task("toy")
    with pytest.raises(DataError, match="has no task 'toys'; did you mean 'toy'"):
        adapter("real_iad", size="256").task("toys")


# --- SPARK --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boxes", ["[{}, {}, {}, {}]", "({},{},{},{})", "{} {} {} {}"])
def test_spark_cuts_objects_out_by_rows_and_columns(adapter: Any, data: Path, boxes: str) -> None:
    official.as_spark(data, boxes=boxes)
    dataset = adapter("spark", size=8)
    assert dataset.tasks() == ["satellites"]
    task = dataset.task("satellites")
    assert Counter(task.test_types) == {"AcrimSat": 2, "Debris": 2, "Terra": 2}
    assert all(
        label == (kind == "Debris") for kind, label in zip(task.test_types, task.test_labels, strict=True)
    )
    assert task.anomaly_pool_types == ("Debris",) * 3
    for source in task.sources:
        pixels = source.read(np.arange(len(source)))
        assert pixels.shape == (len(source), 8, 8, 3)
        assert (pixels == pixels[:, :1, :1]).all(), "the box holds the object alone"
    assert sorted(shades(task, 0)) == list(range(9))
    whole = adapter("spark", size=0).task("satellites").sources[0]
    assert whole.read(np.array([0]))[0].shape == (20, 40, 3)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "bbox",
            "bocks",
            r"expected a column bbox, found the columns image, depth, class, bocks",
        ),
        (
            "[5, 10, 25, 50]",
            "[5, 10, 25]",
            r"train_labels\.csv, line 2: expected a box of four whole numbers",
        ),
        ("[5, 10, 25, 50]", "[25, 10, 5, 50]", "line 2: expected a box with 0 <= first < last"),
        ("img000001.png", "img000009.png", r"line 3: .*img000009\.png does not exist"),
        ("depth000002.png,Debris", "depth000002.png,Aura", r"Aura/img000002\.png does not exist"),
    ],
)
def test_spark_tables_that_are_wrong_are_named(
    adapter: Any, data: Path, old: str, new: str, match: str
) -> None:
    official.as_spark(data)
    path = data / "spark" / "train_labels.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=match):
        adapter("spark").task("satellites")


def test_sparks_folders_may_have_other_names(adapter: Any, data: Path) -> None:
    official.as_spark(data, rgb="")
    assert sorted(shades(adapter("spark", size=8).task("satellites"), 0)) == list(range(9))


def test_spark_without_table_or_debris(adapter: Any, data: Path) -> None:
    official.as_spark(data)
    (data / "spark" / "validate_labels.csv").unlink()
    with pytest.raises(DataError, match=r"expected the table validate_labels\.csv of the test split"):
        adapter("spark").fingerprint()
    official.as_spark(data)
    for path in (data / "spark").glob("*.csv"):
        path.write_text("\n".join(line for line in path.read_text().split("\n") if "Debris" not in line))
    with pytest.raises(DataError, match="expected a class Debris, found AcrimSat, Terra"):
        adapter("spark").task("satellites")


# --- DIOR ---------------------------------------------------------------------------------------------------


def test_dior_cuts_large_objects_out(adapter: Any, data: Path) -> None:
    official.as_dior(data)
    dataset = adapter("dior", larger_than=10, more_than=3)
    assert dataset.tasks() == ["airport", "dam"]
    task = dataset.task("dam")
    assert (len(task.train), len(task.anomaly_pool), len(task.test)) == (5, 5, 6)
    assert Counter(task.test_types) == {"dam": 3, "airport": 3}
    for which in (0, 1):
        source = task.sources[which]
        for crop, shade in zip(source.read(np.arange(len(source))), shades(task, which), strict=True):
            assert crop.shape == ((24, 24, 3) if (shade + 5) // 10 % 2 == 0 else (24, 32, 3))
            assert np.ptp(crop.astype(int)) <= 2, "the box holds the object alone"
    with pytest.raises(DataError, match="no class has more than 50 train crops larger than 120 pixels"):
        adapter("dior").tasks()


def test_dior_sizes_are_exact(adapter: Any, data: Path) -> None:
    official.as_dior(data)
    """A box from 1 to 24 has a side of 23, as PANDA's counts have it."""
    assert adapter("dior", larger_than=22, more_than=0).tasks() == ["airport", "dam"]
    assert adapter("dior", larger_than=22, more_than=4).tasks() == ["airport", "dam"]
    with pytest.raises(DataError, match="no class"):
        adapter("dior", larger_than=22, more_than=5).tasks()
    with pytest.raises(DataError, match="no class"):
        adapter("dior", larger_than=23, more_than=0).tasks()


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("ImageSets/Main/val.txt", None, r"val\.txt: this split file is missing"),
        ("Annotations/Horizontal Bounding Boxes/00001.xml", None, r"00001\.xml does not exist"),
        ("Annotations/Horizontal Bounding Boxes/00001.xml", "<annotation>", r"00001\.xml: expected objects"),
        (
            "Annotations/Horizontal Bounding Boxes/00001.xml",
            '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
            "a document type or an entity",
        ),
        (
            "Annotations/Horizontal Bounding Boxes/00001.xml",
            official.DIOR_OBJECT.format("dam", "x", 1, 20, 20),
            "expected objects with a name and a bndbox",
        ),
        ("JPEGImages-trainval/00002.jpg", None, r"00002\.jpg does not exist; unpack JPEGImages-trainval"),
    ],
)
def test_dior_files_that_are_wrong_are_named(
    adapter: Any, data: Path, file: str, content: str | None, match: str
) -> None:
    official.as_dior(data)
    path = data / "dior" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=match):
        adapter("dior", larger_than=10, more_than=3).task("dam")


# --- what is missing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_absent_sets_say_where_to_get_them(adapter: Any, data: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"no folder .* in .*; expected .*; get it from https://"):
        adapter(name).fingerprint()
    (data / {"mvtec_ad2": "mvtec_ad_2"}.get(name, name)).mkdir()
    with pytest.raises(DataError, match="expected"):
        adapter(name).fingerprint()


@pytest.mark.parametrize(
    ("name", "remove", "match"),
    [
        ("magnetic_tile", "magnetic_tile/MT_Crack/Imgs/exp1_num_9.png", "this anomaly has no mask"),
        ("magnetic_tile", "magnetic_tile/MT_Crack", "expected the folder MT_Crack"),
        ("magnetic_tile", "magnetic_tile/MT_Free", "expected the folder MT_Free, found MT_Blowhole"),
        ("kolektor", "kolektor/kos01/Part3_label.bmp", r"Part3\.jpg: expected its mask"),
        ("mvtec_ad2", "mvtec_ad_2/vial/test_public/good", "no normal test images"),
        (
            "mvtec_ad2",
            "mvtec_ad_2/vial/test_public/ground_truth/bad/000_mask.png",
            "this anomaly has no mask",
        ),
        ("mvtec_ad2", "mvtec_ad_2/vial/test_public", "expected the folder test_public"),
    ],
)
def test_what_is_missing_is_named(adapter: Any, data: Path, name: str, remove: str, match: str) -> None:
    _, params, task = TREES[name](data)
    path = data / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=match):
        adapter(name, **params).task(task)


def test_duplicates_between_crops_are_found(adapter: Any, data: Path) -> None:
    official.as_spark(data)
    first = (data / "spark" / "train_rgb" / "Terra" / "img000000.png").read_bytes()
    (data / "spark" / "validate_rgb" / "Terra" / "img000000.png").write_bytes(first)
    notes = check(adapter("spark", size=8)).notes
    assert [note for note in notes if "are the same image" in note and "rows 5 to 25" in note]


def test_a_mask_of_another_size_is_noted(adapter: Any, data: Path) -> None:
    official.as_magnetic_tile(data)
    write_mask(data / "magnetic_tile" / "MT_Crack" / "Imgs" / "exp1_num_9.png", size=(9, 9))
    assert [note for note in check(adapter("magnetic_tile")).notes if "9 x 9 pixels" in note]
    write_picture(data / "magnetic_tile" / "MT_Free" / "Imgs" / "stray.png", picture(3))
    assert adapter("magnetic_tile").task("magnetic_tile").masks is not None
