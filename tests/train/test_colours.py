"""Changes of colour: each against PIL, or a plain second formula; and how they are dealt out."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from bench.train import colours

Pixels = NDArray[np.uint8]


def photo() -> Pixels:
    """An image with shades, edges and noise, whose histograms have gaps and unequal ends."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48] / 48
    smooth = np.stack([60 + 150 * x, 200 * y**2, 90 + 80 * np.sin(9 * x * y)], -1)
    smooth[10:25, 5:30] = (250, 3, 128)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


PHOTO = photo()
PIL = Image.fromarray(PHOTO)


def changed(change: Callable[..., torch.Tensor], *u: float) -> Pixels:
    """Apply one change with these drawn numbers."""
    x = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None].float()
    drawn = torch.tensor([[*u, 0.0, 0.0, 0.0, 0.0][:4]]).view(1, 4, 1, 1)
    out = change(x, drawn).round().clamp(0, 255).to(torch.uint8)
    return out[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(bits: int) -> None:
    assert np.array_equal(changed(colours.posterize, (bits - 0.5) / 8), ImageOps.posterize(PIL, bits))


@pytest.mark.parametrize("threshold", [32, 80, 128])
def test_solarize(threshold: int) -> None:
    u = (threshold - 31.5) / 97
    assert np.array_equal(changed(colours.solarize, u, 0.4), ImageOps.solarize(PIL, threshold))
    assert np.array_equal(changed(colours.solarize, u, 0.6), PHOTO)


@pytest.mark.parametrize("cutoff", [0, 1, 7, 20])
def test_autocontrast(cutoff: int) -> None:
    given = changed(colours.autocontrast, (cutoff + 0.5) / 21)
    assert np.array_equal(given, ImageOps.autocontrast(PIL, cutoff))


def test_equalize_and_invert() -> None:
    assert np.array_equal(changed(colours.equalize), ImageOps.equalize(PIL))
    assert np.array_equal(changed(colours.invert), ImageOps.invert(PIL))


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_a_plain_image_stays(name: str) -> None:
    plain = torch.full((1, 3, 8, 8), 77.0)
    assert torch.equal(getattr(colours, name)(plain, torch.full((1, 4, 1, 1), 0.9)), plain)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_sharpness(factor: float) -> None:
    expected = np.asarray(ImageEnhance.Sharpness(PIL).enhance(factor))
    assert np.abs(changed(colours.sharpness, factor / 2).astype(int) - expected).mean() < 1e-3


def test_gamma_is_drawn_by_channel() -> None:
    given = changed(colours.gamma_contrast, 0.1, 0.5, 0.9)
    for channel, gamma in enumerate((0.65, 1.25, 1.85)):
        exact = 255 * (PHOTO[..., channel] / 255) ** gamma
        assert (np.abs(given[..., channel] - np.floor(exact)) <= (exact % 1 > 0.999)).all()


@pytest.mark.parametrize(("u", "hue", "saturation"), [((0.5, 0.5), 0, 0), ((0.8, 0.3), 30, -20)])
def test_hue_and_saturation(u: tuple[float, float], hue: float, saturation: float) -> None:
    given = changed(colours.hue_and_saturation, *u).astype(int)
    for y, x in [(0, 0), (12, 7), (31, 40), (47, 3), (20, 29), (40, 40)]:
        h, s, v = colorsys.rgb_to_hsv(*(PHOTO[y, x] / 255))
        expected = colorsys.hsv_to_rgb((h + hue / 255) % 1, min(max(s + saturation / 255, 0), 1), v)
        assert np.abs(given[y, x] - 255 * np.array(expected)).max() <= 1


@pytest.mark.parametrize("order", [0.2, 0.8])
def test_brightness_changes_the_luma_alone(order: float) -> None:
    given = changed(colours.brightness, 0.75, 0.25, order).astype(float)
    luma = PHOTO @ np.array([0.299, 0.587, 0.114])
    wanted = np.clip(luma * 1.1 - 15 if order < 0.5 else (luma - 15) * 1.1, 0, 255)
    expected = np.clip(PHOTO + (wanted - luma)[..., None], 0, 255)
    assert np.abs(given - expected).max() <= 0.51


def test_turn() -> None:
    given = changed(colours.turn, (20 + 45) / 90).astype(int)
    ways = [np.asarray(PIL.rotate(angle, Image.Resampling.BILINEAR)) for angle in (20, -20)]
    off = [np.abs(given - way)[4:-4, 4:-4].mean() for way in ways]
    assert min(off) < 1 < max(off)
    assert not given[0, 0].any(), "black outside"


def test_each_gets_three_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def recorded(number: int) -> Any:
        def change(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
            del u
            seen.extend((int(image), number) for image in x[:, 0, 0, 0].tolist())
            return x

        return change

    monkeypatch.setattr(colours, "CHANGES", tuple(recorded(number) for number in range(10)))
    images = torch.arange(40).view(40, 1, 1, 1).expand(40, 3, 4, 4).to(torch.uint8)
    colours.change_colours(images, torch.Generator().manual_seed(0))
    assert len(seen) == len(set(seen)) == 120
    assert {number for _, number in seen} == set(range(10))
    assert all(sum(image == each for image, _ in seen) == 3 for each in range(40))


def test_an_image_does_not_depend_on_the_others() -> None:
    images = torch.from_numpy(np.stack([np.roll(PHOTO, k, 0) for k in range(6)])).permute(0, 3, 1, 2)
    before = images.clone()
    first = colours.change_colours(images, torch.Generator().manual_seed(1))
    assert torch.equal(images, before)
    assert first.dtype == torch.uint8
    assert torch.equal(first, colours.change_colours(images, torch.Generator().manual_seed(1)))
    images[:5] = 9
    again = colours.change_colours(images, torch.Generator().manual_seed(1))
    assert torch.equal(again[5], first[5])
    other = colours.change_colours(before, torch.Generator().manual_seed(2))
    assert not torch.equal(other, first)
