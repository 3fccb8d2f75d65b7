"""Uploads for the MVTec AD 2 server, on a small copy of its layout; the checker finds every mistake."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from bench.run import submission
from bench.run.submission import check_submission
from tests.cli.conftest import Invoke
from tests.run.test_maps import PATCHES

SMALL = {"can": 3, "fabric": 2}
SUITE = """
datasets = ["mvtec_ad2"]
methods = ["patches", "mean_distance[backbone=pixels[size=4]]"]
"""


def make_tree(root: Path, rng: Any) -> None:
    def save(path: Path, count: int, ending: str = "", *, dent: bool = False) -> None:
        path.mkdir(parents=True)
        for at in range(count):
            pixels = rng.integers(90, 110, (24, 24, 3)).astype(np.uint8)
            if dent:
                pixels[6:14, 10:20] = 250
            Image.fromarray(pixels).save(path / f"{at:03}{ending}.png")

    for name, count in SMALL.items():
        folder = root / "mvtec_ad_2" / name
        save(folder / "train" / "good", 5)
        save(folder / "validation" / "good", 3)
        save(folder / "test_public" / "good", 2)
        save(folder / "test_public" / "bad", 2, dent=True)
        masks = folder / "test_public" / "ground_truth" / "bad"
        masks.mkdir(parents=True)
        for at in range(2):
            mask = np.zeros((24, 24), np.uint8)
            mask[6:14, 10:20] = 255
            Image.fromarray(mask).save(masks / f"{at:03}_mask.png")
        save(folder / "test_private", count, "_regular", dent=True)
        save(folder / "test_private_mixed", count, "_mixed", dent=True)


@pytest.fixture
def uploaded(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anobench: Invoke) -> Path:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(submission, "OBJECTS", SMALL)
    make_tree(tmp_path / "data", np.random.default_rng(0))
    (here / "methods").mkdir()
    (here / "methods" / "patches.py").write_text(PATCHES)
    (here / "trial.toml").write_text(SUITE)
    found = anobench("submit-mvtec-ad2", "trial.toml", "patches", "--out", "mine")
    assert found.code == 0, found.err
    assert "keeps the server's rules" in found.out
    return here / "mine"


def test_the_upload_has_every_map_at_the_size_of_its_image(uploaded: Path, anobench: Invoke) -> None:
    with tarfile.open("mine.tar.gz") as archive:
        names = {name for name in archive.getnames() if "." in name}
    assert len(names) == 2 * 2 * sum(SMALL.values())
    assert "mine/anomaly_images/can/test_private/002_regular.tiff" in names
    assert "mine/anomaly_images_thresholded/fabric/test_private_mixed/001_mixed.png" in names
    for path in uploaded.glob("anomaly_images/*/*/*.tiff"):
        scores = tifffile.imread(path)
        assert (scores.dtype, scores.shape) == (np.float16, (24, 24))
        png = uploaded / "anomaly_images_thresholded" / path.relative_to(uploaded / "anomaly_images")
        drawn = np.asarray(Image.open(png.with_suffix(".png")))
        assert drawn[8:12, 13:17].all(), "the dent is found"
        assert drawn[20:, :5].mean() < 255 * 0.2, "and little far from it"
    assert check_submission(uploaded) == []
    assert anobench("submit-mvtec-ad2", "trial.toml", "patches", "--out", "mine").code == 2
    assert anobench("submit-mvtec-ad2", "x", "y", "--out", "mine", "--check").code == 0


def spoilt(root: Path, how: str) -> None:
    tiff = root / "anomaly_images" / "can" / "test_private" / "001_regular.tiff"
    png = root / "anomaly_images_thresholded" / "can" / "test_private" / "001_regular.png"
    scores = tifffile.imread(tiff)
    actions: dict[str, Callable[[], object]] = {
        "log.txt": lambda: (root / "log.txt").touch(),
        "more": lambda: shutil.copy(tiff, tiff.with_name("003_regular.tiff")),
        "less": tiff.unlink,
        "object": lambda: (root / "anomaly_images" / "bottle").mkdir(),
        "float32": lambda: tifffile.imwrite(tiff, scores.astype(np.float32)),
        "colour": lambda: tifffile.imwrite(tiff, np.stack([scores] * 3, -1)),
        "nan": lambda: tifffile.imwrite(tiff, np.where(scores > 0, np.float16(np.nan), scores)),
        "torn": lambda: tiff.write_bytes(tiff.read_bytes()[:20]),
        "size": lambda: tifffile.imwrite(tiff, scores[:-1]),
        "grey": lambda: Image.fromarray(np.full(scores.shape, 7, np.uint8)).save(png),
        "swapped": lambda: Image.fromarray(255 - np.asarray(Image.open(png))).save(png),
        "no maps": lambda: shutil.rmtree(root / "anomaly_images"),
    }
    actions[how]()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("log.txt", "log.txt: nothing else"),
        ("more", "003_regular.tiff too many"),
        ("less", "001_regular.tiff missing"),
        ("object", "bottle too many"),
        ("float32", "expected a float16"),
        ("colour", "expected a float16"),
        ("nan", "not finite"),
        ("torn", "cannot be read"),
        ("size", "expected the image's size 24 x 24"),
        ("grey", "expected 0 and 255"),
        ("swapped", "does not come from a threshold"),
        ("no maps", "has no folder anomaly_images"),
    ],
)
def test_every_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, says: str) -> None:
    monkeypatch.setattr(submission, "OBJECTS", SMALL)
    sizes = {}
    for place in submission._places():
        scores = np.random.default_rng(0).random((24, 24)).astype(np.float16)
        submission._write(tmp_path, Path(place), scores, scores > np.float16(0.9))
        sizes[place] = (24, 24)
    assert check_submission(tmp_path, sizes=sizes) == []
    spoilt(tmp_path, how)
    assert any(says in problem for problem in check_submission(tmp_path, sizes=sizes))


def test_a_method_without_maps_is_refused(uploaded: Path, anobench: Invoke) -> None:
    label = "mean_distance[backbone=pixels[size=4]]"
    found = anobench("submit-mvtec-ad2", "trial.toml", label, "--out", "other")
    assert found.code == 2
    assert "has no anomaly maps" in found.err
    found = anobench("submit-mvtec-ad2", "trial.toml", "nothing", "--out", "other")
    assert "its methods are patches" in found.err
    assert uploaded.exists()


def test_the_official_counts_are_the_servers() -> None:
    assert sum(submission.OBJECTS.values()) == 2045
