"""Random views against Pillow and SciPy, and what stays when nothing is drawn."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from bench import random_views
from bench.train.views import AREA, blurred, cropped, grey, jittered_colours
from tests.pictures import stained

PIXELS = torch.from_numpy(stained(40, side=24)).permute(0, 3, 1, 2).contiguous()


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_views_are_images_that_depend_on_the_generator_alone() -> None:
    first, same, other = (random_views(PIXELS, drawn(seed)) for seed in (0, 0, 1))
    assert first.shape == PIXELS.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 255
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    alone = random_views(PIXELS[:1].expand(40, -1, -1, -1), drawn())
    assert len(torch.unique(alone.flatten(1), dim=0)) == 40


def test_about_a_fifth_of_the_views_are_grey() -> None:
    spread = random_views(PIXELS.repeat(10, 1, 1, 1), drawn())
    share = float(((spread - grey(spread)).abs().amax((1, 2, 3)) < 0.01).float().mean())
    assert 0.15 < share < 0.25


def test_a_whole_crop_is_the_image_and_flipping_it_mirrors_it() -> None:
    half = torch.full((40,), 0.5)
    one, square = torch.ones(40), half  # the middle of the logarithms of 3/4 and 4/3 is 0
    whole = cropped(PIXELS.float(), one, square, half, half, one)
    torch.testing.assert_close(whole, PIXELS.float(), atol=1e-2, rtol=0)
    flipped = cropped(PIXELS.float(), one, square, half, half, 0 * one)
    torch.testing.assert_close(flipped, PIXELS.float().flip(3), atol=1e-2, rtol=0)


def test_a_crop_is_a_part_of_the_image_of_the_right_size() -> None:
    """On a ramp from 0 to 1 the values show which part it is."""
    ramp = ((torch.arange(240) + 0.5) / 240).expand(1, 1, 240, -1).repeat(50, 1, 1, 1)
    both = torch.cat([ramp, ramp.mT], 1)
    found = cropped(both, *torch.rand(4, 50, generator=drawn()), torch.ones(50))
    width = (found[:, 0].amax((1, 2)) - found[:, 0].amin((1, 2))) * 240 / 239
    height = (found[:, 1].amax((1, 2)) - found[:, 1].amin((1, 2))) * 240 / 239
    area, ratio = width * height, width / height
    assert AREA[0] - 0.01 < float(area.min()) < 0.35
    assert 0.8 < float(area.max()) <= 1.01
    assert 0.74 < float(ratio.min()) < float(ratio.max()) < 1.35


def test_colours_change_as_pillow_changes_them() -> None:
    order = torch.arange(4).expand(40, 4)
    nothing = torch.full((4, 40), 0.5)
    every = torch.ones(40, dtype=torch.bool)
    given = PIXELS.float()
    torch.testing.assert_close(jittered_colours(given, order, nothing, every), given, atol=0.01, rtol=0)
    tools = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for at, tool in enumerate(tools):
        by = nothing.clone()
        by[at] = 0.75  # a factor of 1.2
        found = jittered_colours(given, order, by, every)
        for image, result in zip(PIXELS, found, strict=True):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            expected = np.asarray(tool(picture).enhance(1.2)).astype(float)
            # Pillow rounds the grey image, and the result.
            assert np.abs(result.permute(1, 2, 0).numpy() - expected).max() < 2
    none = jittered_colours(given, order, torch.rand(4, 40), ~every)
    assert torch.equal(none, given)


def test_a_turned_hue_keeps_value_and_comes_back() -> None:
    given, every = PIXELS.float(), torch.ones(40, dtype=torch.bool)
    order, by = torch.arange(4).expand(40, 4), torch.full((4, 40), 0.5)
    by[3] = 0.9
    turned = jittered_colours(given, order, by, every)
    torch.testing.assert_close(turned.amax(1), given.amax(1), atol=0.01, rtol=0)
    by[3] = 0.1
    torch.testing.assert_close(jittered_colours(turned, order, by, every), given, atol=0.05, rtol=0)


def test_the_blur_is_a_gaussian() -> None:
    sigma = torch.tensor([0.1, 0.7, 2.0])
    found = blurred(PIXELS[:3].float(), sigma)
    inside = slice(10, -10)  # the border weighs what there is, SciPy's mirrors
    for image, result, each in zip(PIXELS[:3].float(), found, sigma.tolist(), strict=True):
        expected = gaussian_filter(image.numpy(), (0, each, each), truncate=6.0)
        np.testing.assert_allclose(result[:, inside, inside], expected[:, inside, inside], atol=0.1)
    flat = torch.full((1, 3, 9, 9), 7.0)
    torch.testing.assert_close(blurred(flat, torch.tensor([2.0])), flat)
