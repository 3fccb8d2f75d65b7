"""Crops as rows of a source."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import Crop, CropSource, DataError, neutral_crops
from bench.data.folders import resized_in_turn
from tests.datasets.trees import write_picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with two images of 20 rows and 30 columns; red is the row, green the column."""
    rows, columns = np.meshgrid(np.arange(20), np.arange(30), indexing="ij")
    for name, blue in (("a.png", 1), ("b.png", 2)):
        pixels = np.stack([rows, columns, np.full_like(rows, blue)], -1).astype(np.uint8)
        write_picture(tmp_path / "images" / name, pixels)
    return tmp_path / "images"


CROPS = [Crop("a.png", 2, 3, 7, 13), Crop("b.png", 0, 0, 20, 30), Crop("a.png", 15, 25, 99, 99)]


def test_rows_and_columns_are_cut(root: Path) -> None:
    source = CropSource("s", root, CROPS)
    first, whole, corner = source.read(np.array([0, 1, 2]))
    assert first.shape == (5, 10, 3)
    assert first[0, 0].tolist() == [2, 3, 1]
    assert first[-1, -1].tolist() == [6, 12, 1]
    assert whole.shape == (20, 30, 3)
    assert corner.shape == (5, 5, 3), "what lies outside the image is left out"
    assert source.where(0) == f"{root / 'a.png'}, rows 2 to 7, columns 3 to 13"


def test_crops_are_resized_in_turn(root: Path) -> None:
    plain = CropSource("s", root, CROPS).read(np.array([0]))[0]
    twice = CropSource("s", root, CROPS, sizes=(512, 32)).read(np.array([0, 1, 2]))
    assert isinstance(twice, np.ndarray)
    assert twice.shape == (3, 32, 32, 3)
    assert (twice[0] == resized_in_turn(plain, (512, 32))).all()
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    assert (resized_in_turn(noise, (512, 32)) != resized_in_turn(noise, (32,))).any()


def test_the_fingerprint_is_of_content_boxes_and_sizes(root: Path, tmp_path: Path) -> None:
    def made(where: Path, crops: list[Crop], sizes: tuple[int, ...] = ()) -> str:
        return CropSource("s", where, crops, sizes=sizes).fingerprint

    first = made(root, CROPS)
    shutil.copytree(root, tmp_path / "moved")
    assert made(tmp_path / "moved", CROPS) == first
    others = [
        made(root, CROPS[::-1]),
        made(root, CROPS, (8,)),
        made(root, CROPS, (8, 4)),
        made(root, CROPS[:2]),
    ]
    write_picture(tmp_path / "moved" / "b.png", np.zeros((20, 30, 3), np.uint8))
    assert len({first, *others, made(tmp_path / "moved", CROPS)}) == 6


def test_opening_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("opened an image"))
    CropSource("s", root, CROPS)


def test_boxes_that_cannot_be_cut_are_named(root: Path) -> None:
    outside = CropSource("s", root, [Crop("a.png", 20, 0, 25, 5)])
    with pytest.raises(DataError, match=r"a\.png, rows 20 to 25.*outside its image of 30 x 20"):
        outside.read(np.array([0]))
    for crop in (Crop("a", 5, 0, 5, 5), Crop("a", 0, 6, 5, 5), Crop("a", -1, 0, 5, 5)):
        with pytest.raises(DataError, match="line 7: expected a box"):
            crop.checked("line 7")
    assert Crop("a", 0, 0, 1, 1).checked("x") == Crop("a", 0, 0, 1, 1)


def test_the_neutral_order_is_its_own() -> None:
    crops = [Crop(f"{i}.png", 0, 0, 1, j) for i in range(20) for j in (1, 2)]
    assert sorted(neutral_crops(crops)) == sorted(crops)
    assert neutral_crops(crops) == neutral_crops(crops[::-1]) != crops
