"""Audits: counted by hand, by sets, and on lists with planted overlap, repeats and copies."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.contamination import PRESETS, Contamination
from bench.core.errors import DataError
from bench.data.audit import AuditedImage, audit, audit_task, counted_task, identities, total, with_changes
from bench.data.contaminate import contaminate
from bench.data.splitlists import audits_of, read_split_list
from tests.data.test_contaminate import make_task, rows

#: Normal images, test anomalies and anomalies in MeDS' lists "40 %" (counted in the authors' repository,
#: commit 5842858; all four seeds have the same numbers), by category of MVTec AD.
MEDS_40 = {
    "bottle": (209, 63, 63),
    "cable": (224, 92, 90),
    "capsule": (219, 109, 88),
    "carpet": (280, 89, 89),
    "grid": (264, 57, 57),
    "hazelnut": (391, 70, 70),
    "leather": (245, 92, 92),
    "metal_nut": (220, 93, 88),
    "pill": (267, 141, 107),
    "screw": (320, 119, 119),
    "tile": (230, 84, 84),
    "toothbrush": (60, 30, 24),
    "transistor": (213, 40, 40),
    "wood": (247, 60, 60),
    "zipper": (240, 119, 96),
}


def test_counts_by_hand() -> None:
    train = [
        *(AuditedImage(f"n{i}", False) for i in range(6)),
        AuditedImage("n0", False),  # once more
        AuditedImage("good", False),  # a normal test image
        AuditedImage("a", True, "cut"),
        AuditedImage("a", True, "cut"),
        AuditedImage("b", True, "dent", changed=True),
        AuditedImage("else", True, "hole"),
    ]
    test = [AuditedImage("good", False), AuditedImage("a", True, "cut"), AuditedImage("c", True, "bend")]
    found = audit("x", 0.3, train, test, [AuditedImage("b", True, "dent")], pool_types=("burn",))
    assert (found.normals, found.anomalies) == (8, 4)
    assert found.of_set == pytest.approx(4 / 12)
    assert found.of_normals == pytest.approx(4 / 8)
    assert (found.test_anomalies, found.tested) == (3, 2)
    assert (found.trained_on, found.trained_and_tested) == (2, 1)
    assert found.share_trained_on == pytest.approx(2 / 3)
    assert found.share_of_tested == pytest.approx(1 / 2)
    assert (found.normal_in_both, found.repeats, found.changed) == (1, 2, 1)
    assert (found.types, found.types_trained) == (5, 3)


def test_an_empty_train_set_has_no_shares() -> None:
    found = audit("x", None, [], [])
    assert found.of_set == found.of_normals == 0
    assert found.share_trained_on is None
    assert found.share_of_tested is None


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"llbnad"}))
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_what_presets_draw_is_what_is_counted(preset: str, rate: float) -> None:
    given: dict[str, Any] = dict(PRESETS[preset])
    how = Contamination(rate=rate, reserve=0.3, **given).resolved()
    task = make_task(n=80, good=15, bad=30, anomaly_pool=60, kinds=4)
    dirty, drawn = contaminate(task, "d", how)
    found, held = audit_task(task, dirty, rate, how.source)
    assert found.anomalies == drawn["count"]
    assert found.of_set == pytest.approx(drawn["rate"])
    assert len(held) == len(dirty.test)
    trained, tested = set(identities(dirty.train)[0].tolist()), identities(dirty.test)[0].tolist()
    both = [image in trained for image, label in zip(tested, dirty.test_labels, strict=True) if label]
    assert found.trained_and_tested == sum(both)
    overlapping = preset in ("adl", "softpatch-overlap", "softpatch-plus", "meds", "transductive")
    assert (found.trained_and_tested > 0) == (overlapping and rate > 0)
    if preset == "softpatch":
        assert (found.test_anomalies, found.tested) == (30, 30 - drawn["removed_from_test"])
        assert found.trained_on == drawn["count"]
    assert found.changed == (drawn["count"] if preset == "adl" else 0)
    kinds = {"adl", "meds", "softpatch", "softpatch-overlap", "softpatch-plus"}
    if preset in kinds and rate == 0.3:
        assert (found.types, found.types_trained) == (4, 4)


def test_moved_copies_are_seen_as_their_originals() -> None:
    given: dict[str, Any] = dict(PRESETS["softpatch-plus"])
    task = make_task(n=40, bad=6)
    dirty, _ = contaminate(task, "d", Contamination(rate=0.4, **given))
    found, _ = audit_task(task, dirty, 0.4, "test_overlap")
    assert (found.anomalies, found.changed, found.repeats) == (16, 10, 0)
    assert (found.trained_on, found.test_anomalies) == (6, 6)


def test_no_image_is_read() -> None:
    task = counted_task("hazelnut", {"train": 391, "good": 40, "bad": 70})
    given: dict[str, Any] = dict(PRESETS["meds"])
    dirty, _ = contaminate(task, "d", Contamination(rate=0.4, **given))
    found, _ = audit_task(task, dirty, 0.4, "test_overlap")
    assert found.of_normals == pytest.approx(70 / 391)
    assert found.share_trained_on == 1
    assert found.types == 0, "their kinds are not known"
    with pytest.raises(NotImplementedError):
        task.sources[0].read(np.array([0]))


def test_a_test_set_that_shrinks_along_the_curve_is_seen() -> None:
    task = make_task(n=80, bad=30)
    for reserve, changes in ((0.25, False), (0.0, True)):
        audits, tests = [], []
        for rate in (0.1, 0.2):
            dirty, _ = contaminate(task, "d", Contamination(rate=rate, source="test", reserve=reserve))
            found, held = audit_task(task, dirty, rate, "test")
            audits.append(found)
            tests.append(held)
        assert [each.test_changes for each in with_changes(audits, tests)] == [changes, changes]
    assert with_changes(audits[:1], tests[:1])[0].test_changes is None


def test_the_sum_is_over_images_not_over_shares() -> None:
    small = audit("a", 0.1, [AuditedImage(i, i < 1) for i in range(2)], [AuditedImage(0, True)])
    large = audit("b", 0.1, [AuditedImage(i, False) for i in range(98)], [AuditedImage(-1, True)])
    every = total([small, large])
    assert every.of_set == pytest.approx(1 / 100)
    assert (every.trained_on, every.test_anomalies) == (1, 2)
    assert every.rate == 0.1


# --- published lists ----------------------------------------------------------------------------------------


def write_meds(path: Path, numbers: dict[str, tuple[int, int, int]], column: str = "clsname") -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["filename", column])
        for name, (normals, _, bad) in numbers.items():
            out.writerows([f"{name}/train/good/{i:03}.png", name] for i in range(normals))
            out.writerows([f"{name}/test/{('cut', 'dent')[i % 2]}/{i:03}.png", name] for i in range(bad))


def test_meds_forty_percent_is_24_and_93(tmp_path: Path) -> None:
    """A list in MeDS' form with the numbers of its own: 24.3 % of the set, 92.8 % of the test anomalies."""
    path = tmp_path / "train_mvtec_nr40_seed_0.csv"
    write_meds(path, MEDS_40)
    counts = {name: (normals, 0, bad) for name, (normals, bad, _) in MEDS_40.items()}
    found = read_split_list(path, "meds", counts)
    assert found.rate == 0.4
    audits = audits_of(found, found.rate, counts)
    every = total(audits)
    assert round(100 * every.of_set, 1) == 24.3
    assert round(100 * (every.share_trained_on or 0), 1) == 92.8
    assert (every.anomalies, every.normals, every.test_anomalies) == (1167, 3629, 1258)
    hazelnut = next(each for each in audits if each.name == "hazelnut")
    assert hazelnut.of_normals == pytest.approx(0.179, abs=0.001)
    assert hazelnut.share_trained_on == 1
    assert hazelnut.types_trained == 2
    assert every.test_changes is False
    assert audits_of(found, 0.4, {})[0].test_anomalies is None, "without the data set's numbers"


def test_a_list_with_planted_overlap_repeats_and_copies(tmp_path: Path) -> None:
    for name in ("n0", "n1", "a0", "a1", "g0"):
        pixels = np.random.default_rng(len(name) + ord(name[1]) * 7 + ord(name[0])).integers(
            0, 256, (8, 8, 3), np.uint8
        )
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "again.png").write_bytes((tmp_path / "a0.png").read_bytes())
    path = tmp_path / "mine.csv"
    path.write_text(
        "path,split,label,original\n"
        "n0.png,train,good,\nn1.png,train,good,\nn1.png,train,good,\n"
        "again.png,train,scratch,\nx.png,train,dent,a1.png\n"
        "a0.png,test,scratch,\na1.png,test,dent,\ng0.png,test,ok,\n"
    )
    (by_name,) = audits_of(read_split_list(path, "auto", {}), None, {})
    assert (by_name.trained_on, by_name.changed, by_name.repeats) == (1, 1, 1), (
        "again.png is a file of its own"
    )
    (by_content,) = audits_of(read_split_list(path, "csv", {}, tmp_path), None, {})
    assert (by_content.trained_on, by_content.test_anomalies) == (2, 2)
    assert (by_content.normals, by_content.anomalies) == (3, 2)
    assert (by_content.types, by_content.types_trained) == (2, 2)


def test_fuiad_lists(tmp_path: Path) -> None:
    for rate, noisy in (("0.0", 0), ("0.2", 2)):
        folder = tmp_path / f"realiad_jsons_fuiad_{rate}"
        folder.mkdir()
        rows = [{"category": "toy", "image_path": f"OK/{i}.jpg", "anomaly_class": "OK"} for i in range(8)]
        bad = [{"category": "toy", "image_path": f"NG/{i}.jpg", "anomaly_class": "HS"} for i in range(5)]
        test = [{"category": "toy", "image_path": "OK/t.jpg", "anomaly_class": "OK"}, *bad[3:]]
        content = {"meta": {"normal_class": "OK"}, "train": [*rows, *bad[:noisy]], "test": test}
        (folder / "toy.json").write_text(json.dumps(content))
    found = read_split_list(tmp_path / "realiad_jsons_fuiad_0.2", "auto", {})
    assert found.rate == 0.2
    (one,) = audits_of(found, found.rate, {})
    assert (one.normals, one.anomalies, one.trained_on, one.test_anomalies) == (8, 2, 0, 2)


def test_softpatch_indices(tmp_path: Path) -> None:
    folder = tmp_path / "mvtec_noise0.1_fold0"
    folder.mkdir()
    torch.save([0, 1, 2, 3, 4, 5], folder / "toothbrush-noise0.1.pth")
    counts = {"toothbrush": (60, 12, 30)}
    (without,) = audits_of(read_split_list(folder, "softpatch", counts), 0.1, counts)
    assert (without.anomalies, without.trained_on, without.trained_and_tested) == (6, 6, 0)
    assert (without.test_anomalies, without.tested) == (30, 24)
    (overlap,) = audits_of(read_split_list(folder, "softpatch-overlap", counts), 0.1, counts)
    assert (overlap.trained_and_tested, overlap.tested) == (6, 30)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("name,split\nx,train\n", "csv", "expected a column path or filename"),
        ("path,split\nx.png,val\n", "csv", "line 2: expected a path and, if any, the split train or test"),
        ("path\nx.png\n", "csv", "line 2: x.png does not say whether it is normal"),
        ("filename,label\nx.png,good\n", "meds", "expected the columns filename and clsname"),
        ("{", "fuiad", "expected train and test lists"),
        ('{"train": [{"anomaly_class": "OK"}], "test": []}', "fuiad", "KeyError"),
        ("no pickle", "softpatch", "name the data set"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, kind: str, words: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_split_list(path, kind, {})
    with pytest.raises(DataError, match="no such file"):
        read_split_list(tmp_path / "none.csv", kind, {})


def test_an_index_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bottle-noise0.1.pth"
    path.write_bytes(b"nothing that torch reads")
    with pytest.raises(DataError, match="expected a list of whole numbers"):
        read_split_list(path, "softpatch", {"bottle": (209, 20, 63)})
    with pytest.raises(DataError, match="no category 'bottle'; it has cable"):
        read_split_list(path, "softpatch", {"cable": (1, 1, 1)})


def test_rows_still_tell_where_images_come_from() -> None:
    """The identities are those of the sources' rows, whatever seals lie between."""
    task = make_task()
    dirty, _ = contaminate(task, "d", Contamination(rate=0.1, source="test_overlap"))
    by_row = dict(zip(rows(task.test), identities(task.test)[0].tolist(), strict=True))
    found = identities(dirty.train)[0].tolist()
    for at, image in zip(rows(dirty.train), found, strict=True):
        assert by_row.get(at, image) == image
