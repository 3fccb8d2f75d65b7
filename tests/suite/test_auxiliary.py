"""Auxiliary images: where they come from, what they do to a cell's key, and that none is a test image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import AnobenchError, DataError
from bench.data.images import Images
from bench.data.origins import decoded_image, pixel_digests
from bench.features.backbone import Backbones
from bench.run.runner import Runner
from bench.suite.adapter import Adapter
from bench.suite.adapterfile import read_adapter
from bench.suite.auxiliary import AuxiliaryImages, auxiliary_fingerprint, auxiliary_images, open_auxiliary
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import adhoc_suite

METHOD = '''"""Takes extra images."""
import numpy as np
from bench import Method, Scores
class Taking(Method):
    setting = "outlier_exposure"
    auxiliary_images = {"outliers": {}, "textures": {"auto": "dtd", "none": ""}}
    def __init__(self, outliers: str, textures: str = "auto"):
        self.outliers, self.textures = outliers, textures
    def fit(self, train):
        self.n = len(self.auxiliary["outliers"])
        self.device = next(self.auxiliary["outliers"].batches(2)).device
        self.notes = (f"got {sorted(self.auxiliary)}",)
    def score(self, test):
        return Scores(np.arange(len(test)) + self.n)
'''


def write_images(folder: Path, n: int, seed: int) -> Path:
    folder.mkdir(parents=True)
    for i in range(n):
        pixels = np.random.default_rng([seed, i]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def bench_folder(tmp_path: Path) -> Path:
    (tmp_path / "bench" / "methods").mkdir(parents=True)
    (tmp_path / "bench" / "methods" / "taking.py").write_text(METHOD)
    return tmp_path / "bench"


@pytest.fixture
def registry(bench_folder: Path) -> Registry:
    return Registry([bench_folder])


@pytest.fixture
def adapter(bench_folder: Path) -> Adapter:
    found = read_adapter("method", bench_folder / "methods" / "taking.py")
    assert found is not None
    return found


def test_a_folder_anywhere_or_among_the_data(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "data" / "tiny" / "inside", 3, seed=0).parent
    given = open_auxiliary(str(folder), registry)
    assert len(given.images) == 3
    with pytest.raises(DataError, match="neither a data set nor a folder"):
        open_auxiliary("tiny", registry)
    monkeypatch.setenv("ANOBENCH_DATA", str(folder.parent))
    among = open_auxiliary("tiny", registry)
    assert among.fingerprint == given.fingerprint
    assert among.name == "tiny"


@pytest.mark.parametrize(
    "text", ["digit", "digits[tusk=1]", "digits[task=x]", "no such thing", "[", "/nowhere"]
)
def test_what_is_not_there_is_named(registry: Registry, text: str) -> None:
    with pytest.raises(AnobenchError, match=r"digits|nowhere|no such thing|neither"):
        open_auxiliary(text, registry)


def test_an_empty_folder_is_no_set(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="nor a folder of images"):
        open_auxiliary(str(tmp_path / "bench"), registry)


def test_a_data_set_gives_its_train_split_once(registry: Registry) -> None:
    everything = open_auxiliary("digits", registry)
    zeros, twice = open_auxiliary("digits[task=0]", registry), open_auxiliary("digits[task=0|1]", registry)
    dataset = registry.datasets["digits"].load()()
    task = dataset.task("0")
    assert task.anomaly_pool is not None
    assert len(everything.images) == len(task.train) + len(task.anomaly_pool)
    assert len(zeros.images) == len(task.train)
    assert len(twice.images) == len(task.train) + len(dataset.task("1").train)
    assert len({everything.fingerprint, zeros.fingerprint, twice.fingerprint}) == 3
    assert len(everything.images.distinct()) == len(everything.images)


def test_overlap_is_found_by_content(tmp_path: Path, registry: Registry) -> None:
    task = registry.datasets["digits"].load()().task("3")
    other = open_auxiliary(str(write_images(tmp_path / "other", 4, seed=1)), registry)
    other.refuse_overlap(task, "outliers")

    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "other", copied)
    # Another name and another format: equal pixels are what counts.
    Image.fromarray(decoded_image(task.test, 17)).save(copied / "zz.bmp")
    with pytest.raises(
        DataError, match=r"outliers=.*copied: 1 of the \d+ test images of '3' are among these 5"
    ):
        open_auxiliary(str(copied), registry).refuse_overlap(task, "outliers")
    with pytest.raises(DataError, match=r"of the \d+ normal train images of '3'"):
        open_auxiliary("digits", registry).refuse_overlap(task, "outliers")
    open_auxiliary("digits[task=1|2]", registry).refuse_overlap(task, "outliers")


def test_digests_follow_pixels_and_shape() -> None:
    from bench.data.source import ArraySource

    pixels = np.zeros((3, 4, 6, 3), np.uint8)
    pixels[1, 0, 0, 0] = 1
    wide = ArraySource("a", "a", 3, lambda: pixels)
    high = ArraySource("b", "b", 3, lambda: pixels.reshape(3, 6, 4, 3))
    a, b = pixel_digests(Images.of(wide)), pixel_digests(Images.of(high))
    assert a[0] == a[2] != a[1]
    assert not set(a) & set(b)


def test_words_and_their_images(
    tmp_path: Path, adapter: Adapter, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    outliers = str(write_images(tmp_path / "out", 2, seed=0))
    assert set(auxiliary_images(adapter, {"outliers": outliers, "textures": "auto"}, registry)) == {
        "outliers"
    }
    without = auxiliary_fingerprint(adapter, {"outliers": outliers, "textures": "auto"}, registry)
    write_images(tmp_path / "data" / "dtd", 2, seed=1)
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    found = auxiliary_images(adapter, {"outliers": outliers, "textures": "auto"}, registry)
    assert set(found) == {"outliers", "textures"}
    assert auxiliary_fingerprint(adapter, {"outliers": outliers, "textures": "auto"}, registry) != without
    assert auxiliary_fingerprint(adapter, {"outliers": outliers, "textures": "none"}, registry) == without
    with pytest.raises(DataError, match=r"taking, parameter textures: .*missing"):
        auxiliary_images(adapter, {"outliers": outliers, "textures": "missing"}, registry)


def plan_and_run(registry: Registry, method: str) -> tuple[str, str, tuple[str, ...], str]:
    plan = make_plan(adhoc_suite(["digits[task=3]"], [method]), registry)
    cell = plan.entries[0].cell
    record, _ = Runner(registry, Backbones()).run(cell)
    return cell.key, record.setting, record.flags, record.error["reason"] if record.error else ""


def test_the_harness_plans_and_hands_over(tmp_path: Path, registry: Registry) -> None:
    folder = write_images(tmp_path / "out", 5, seed=0)
    key, setting, flags, failed = plan_and_run(registry, f"taking[outliers={folder}]")
    assert not failed
    assert setting == "outlier_exposure"
    assert f"outliers: 5 images of {folder}" in flags
    assert "got ['outliers']" in flags
    pixels = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "99.png")
    changed = plan_and_run(registry, f"taking[outliers={folder}]")
    assert changed[0] != key  # other content, another cell


def test_the_harness_refuses(registry: Registry) -> None:
    with pytest.raises(AnobenchError, match=r"needs the parameter 'outliers'"):
        plan_and_run(registry, "taking")
    with pytest.raises(DataError, match="neither a data set nor a folder"):
        plan_and_run(registry, "taking[outliers=nothing]")
    failed = plan_and_run(registry, "taking[outliers=digits]")[3]
    assert "normal train images" in failed


def test_methods_without_auxiliary_images_keep_their_keys(registry: Registry) -> None:
    plan = make_plan(adhoc_suite(["digits[task=3]"], ["dn2[backbone=pixels]"]), registry)
    fingerprint = registry.datasets["digits"].load()().fingerprint()
    assert plan.entries[0].cell.data_fingerprint == fingerprint


def test_auxiliary_images_keep_its_sources_alive(tmp_path: Path, registry: Registry) -> None:
    def opened() -> AuxiliaryImages:
        return open_auxiliary(str(write_images(tmp_path / "out", 2, seed=0)), registry)

    assert len(opened().digests) == 2


def test_classes_are_subfolders_or_tasks(tmp_path: Path, registry: Registry) -> None:
    folder = write_images(tmp_path / "lot", 1, seed=1)
    write_images(folder / "apples", 2, seed=2)
    write_images(folder / "pears" / "green", 1, seed=3)
    found = open_auxiliary(str(folder), registry)
    assert sorted(found.classes) == ["", "apples", "apples", "pears"]
    digits = open_auxiliary("digits", registry)
    assert len(digits.classes) == len(digits.images)
    assert set(digits.classes) == set("0123456789")
    part = open_auxiliary("digits[task=3|7]", registry)
    assert set(part.classes) == {"3", "7"}
    for name in "37":
        task = registry.open_dataset("digits").task(name)
        rows = [at for at, each in enumerate(part.classes) if each == name]
        assert set(pixel_digests(part.images[rows])) == set(pixel_digests(task.train))


def test_a_labelled_set_that_shares_images_with_the_test_set_is_refused(registry: Registry) -> None:
    suite = adhoc_suite(
        ["digits[task=3]"], ["joint_optimization[auxiliary_set=digits,steps=1]"], backbone="lite0"
    )
    (entry,) = make_plan(suite, registry).entries
    record, _ = Runner(registry, Backbones()).run(entry.cell)
    assert record.status == "failed"
    assert "normal train images of '3' are among these" in record.error["reason"]
