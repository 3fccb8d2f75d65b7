"""Anomaly maps on their way to the driver: float16 by one power of two, complete or not there at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import ArchiveError, ScoreError
from bench.run.mapmetrics import measure
from bench.run.spool import MapFile, SpoolFolder, spooled, to_half

KEY = "ab" * 16


def written(folder: Path, parts: list[Any], covers: Any = None) -> MapFile:
    n = sum(map(len, parts))
    with spooled(SpoolFolder(folder), KEY, n, covers) as maps:
        assert maps is not None
        for part in parts:
            maps.add(part)
    return MapFile(SpoolFolder(folder).path(KEY), n)


def test_float16_maps_come_back_as_they_are(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float16)
    maps[0, 0, :3] = np.inf, -np.inf, 6e-8
    file = written(tmp_path, [maps[:2], maps[2:]], (0.1, 0.2, 0.5, 0.5))
    assert (file.shape, file.exact, file.exponent) == ((4, 6), True, 0)
    assert file.covers == (0.1, 0.2, 0.5, 0.5)
    for position in (4, 0, 3):  # in any order
        np.testing.assert_array_equal(file.read(position), maps[position])


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9, 1e30])
def test_other_maps_keep_eleven_digits_at_any_scale(tmp_path: Path, scale: float) -> None:
    maps = np.random.default_rng(0).lognormal(size=(6, 8, 8)) * scale
    maps[4] *= 100  # a later part is larger
    file = written(tmp_path, [maps[:2], maps[2:].astype(np.float32)])
    found = np.stack([file.read(position).astype(np.float64) for position in range(6)]) * 2.0**file.exponent
    np.testing.assert_allclose(found, maps, rtol=2**-11)
    assert not file.exact


def test_rounding_keeps_the_order_and_infinities() -> None:
    values = np.sort(np.random.default_rng(1).normal(size=500) * 1e6).reshape(1, 20, 25)
    values[0, 0, 0], values[0, -1, -1] = -np.inf, np.inf
    halves, _, exact = to_half(values)
    assert (np.diff(halves.ravel().astype(np.float64)[1:-1]) >= 0).all()
    assert np.isinf(halves).sum() == 2
    assert not exact
    assert to_half(np.array([[[3, 1, 0]]], np.uint8))[2]
    assert to_half(np.zeros((1, 2, 2)))[1:] == (0, True)


def test_a_cell_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with spooled(SpoolFolder(tmp_path), KEY, 4, None) as maps:
            assert maps is not None
            maps.add(np.zeros((2, 3, 3)))
            assert len(list(tmp_path.iterdir())) == 1
            raise ScoreError("no")

    with pytest.raises(ScoreError):
        fails()
    assert not list(tmp_path.iterdir())
    # Nor does one without maps leave those of an earlier attempt.
    written(tmp_path, [np.zeros((2, 3, 3))]).close()
    with spooled(SpoolFolder(tmp_path), KEY, 2, None):
        pass
    assert not list(tmp_path.iterdir())
    with spooled(None, KEY, 2, None) as maps:
        assert maps is None


def test_a_full_disk_fails_the_cell(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScoreError, match="free space"):
        written(tmp_path / "file", [np.zeros((1, 2, 2))])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content.replace(b'"n": 3', b'"n": 4'),
        lambda content: content.replace(b"[2, 2]", b"[0, 2]"),
        lambda content: content.replace(b"[2, 2]", b"[-2, -2]"),
        lambda content: content.replace(b"[2, 2]", b'["2", 2]'),
        lambda content: content.replace(b"[0.0, 0.0, 1.0, 1.0]", b"[0.0, 0.0, 1.0, 9.0]"),
        lambda content: b"\xff" + content,
        lambda _: b"",
        lambda _: b"[]\n",
    ],
)
def test_a_file_that_is_none_fails_the_cell(tmp_path: Path, spoil: Any) -> None:
    written(tmp_path, [np.ones((3, 2, 2), np.float16)]).close()
    path = SpoolFolder(tmp_path).path(KEY)
    content = spoil(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ScoreError, match="anomaly maps cannot be read"):
        MapFile(path, 3)


def test_nan_and_a_missing_file(tmp_path: Path) -> None:
    file = written(tmp_path, [np.full((1, 2, 2), np.nan, np.float16)])
    with pytest.raises(ScoreError, match="NaN"):
        file.read(0)
    with pytest.raises(ArchiveError, match="cannot be read"):
        MapFile(tmp_path / "nowhere", 1)


def test_images_with_strange_masks_are_named(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(10, 4, 4)).astype(np.float16)
    file = written(tmp_path, [maps])
    masks, labels = np.zeros((10, 4, 4), np.bool_), np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1], np.uint8)
    masks[3], masks[1, 0, 0], masks[9, :2] = True, True, True
    # The maps lie in another order than the test images.
    flags = measure(file, list(masks), labels, list(range(9, -1, -1))).flags
    of = "(of the test images, from 0: "
    empty = "6 anomalous images have an empty mask: their pixels count as normal"
    assert f"{empty} {of}2, 4, 5, 6, 7, …)" in flags
    assert f"1 anomalous images have a mask without a normal pixel {of}3)" in flags
    marked = "1 good images have a mask that is not empty: its pixels count as defective"
    assert f"{marked} {of}1)" in flags
    plain = np.zeros_like(masks)
    plain[2:, 1] = True
    assert not any(of in flag for flag in measure(file, list(plain), labels, range(10)).flags)
