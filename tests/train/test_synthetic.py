"""Synthetic anomalies: noise against its definition, masks, rotations, blending, made-up textures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.train import synthetic

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perlin_by_hand(size: int, cells: tuple[int, int], angles: NDArray[Any]) -> NDArray[np.float64]:
    """Pixel by pixel: the four corners' ramps, joined by the quintic fade."""
    noise = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            u, v = row * cells[0] / size, column * cells[1] / size
            top, left = int(u), int(v)
            ramps = [
                [
                    math.cos(angles[p, q]) * (u - p) + math.sin(angles[p, q]) * (v - q)
                    for q in (left, left + 1)
                ]
                for p in (top, top + 1)
            ]
            down, across = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (u - top, v - left))
            sides = [ramps[0][k] * (1 - down) + ramps[1][k] * down for k in (0, 1)]
            noise[row, column] = math.sqrt(2) * (sides[0] * (1 - across) + sides[1] * across)
    return noise


def test_noise_is_perlins() -> None:
    cells = torch.tensor([[1, 1], [4, 2], [8, 32]])
    given = synthetic.perlin(32, cells, seeded(), CPU)
    angles = 2 * math.pi * torch.rand(3, 33, 33, generator=seeded()).double().numpy()
    for noise, (down, across), drawn in zip(given, cells.tolist(), angles, strict=True):
        np.testing.assert_allclose(noise, perlin_by_hand(32, (down, across), drawn), atol=1e-5)


@pytest.mark.parametrize("size", [32, 50, 64])
def test_noise_is_bounded_and_zero_at_the_grid(size: int) -> None:
    cells = 2 ** torch.randint(0, 6, (24, 2), generator=seeded(3))
    noise = synthetic.perlin(size, cells, seeded(1), CPU)
    assert noise.shape == (24, size, size)
    assert float(noise.abs().max()) <= 1
    assert float(noise[:, 0, 0].abs().max()) < 1e-6
    assert torch.equal(noise, synthetic.perlin(size, cells, seeded(1), CPU))
    assert not torch.equal(noise, synthetic.perlin(size, cells, seeded(2), CPU))


def test_masks() -> None:
    masks = synthetic.perlin_masks(64, 64, seeded(), CPU)
    assert masks.shape == (64, 1, 64, 64)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    shares = masks.mean((1, 2, 3))
    assert 0.02 < float(shares.mean()) < 0.3
    assert float(shares.min()) == 0, "a mask can be empty"
    assert torch.equal(masks, synthetic.perlin_masks(64, 64, seeded(), CPU))


@pytest.mark.parametrize(("degrees", "turns"), [(0.0, 0), (90.0, 1), (-90.0, -1), (180.0, 2)])
def test_rotations_by_right_angles(degrees: float, turns: int) -> None:
    images = torch.rand(2, 3, 9, 9, generator=seeded())
    turned = synthetic.rotate(images, torch.full((2,), degrees))
    torch.testing.assert_close(turned, torch.rot90(images, turns, (2, 3)), atol=1e-4, rtol=0)


def test_each_image_is_rotated_by_its_own_angle() -> None:
    images = torch.rand(1, 1, 16, 16, generator=seeded()).expand(2, -1, -1, -1)
    both = synthetic.rotate(images, torch.tensor([10.0, -40.0]))
    for one, angle in zip(both, (10.0, -40.0), strict=True):
        torch.testing.assert_close(one, synthetic.rotate(images[:1], torch.tensor([angle]))[0])
    assert float(both[1, 0, 0, 0]) == 0, "black outside"


def test_a_share_is_rotated() -> None:
    images = torch.rand(200, 1, 8, 8, generator=seeded())
    assert torch.equal(synthetic.rotate_some(images, 0.0, 90, seeded()), images)
    some = synthetic.rotate_some(images, 0.3, 90, seeded())
    share = 1 - float((some == images).all(3).all(2).all(1).float().mean())
    assert 0.2 < share < 0.4


def test_outside_the_mask_nothing_changes_and_inside_both_mix() -> None:
    images, textures = torch.rand(2, 5, 3, 16, 16, generator=seeded()).unbind(0)
    masks = (torch.rand(5, 1, 16, 16, generator=seeded(1)) < 0.4).float()
    keep = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0])
    blended = synthetic.blend(images, textures, masks, keep)
    inside = masks.expand_as(images) > 0
    assert torch.equal(blended[~inside], images[~inside])
    assert torch.equal(blended[0][inside[0]], textures[0][inside[0]])
    assert torch.equal(blended[4][inside[4]], images[4][inside[4]])
    low, high = torch.minimum(images, textures), torch.maximum(images, textures)
    assert bool(((blended >= low - 1e-6) & (blended <= high + 1e-6)).all())
    torch.testing.assert_close(blended[2], torch.where(inside[2], (images[2] + textures[2]) / 2, images[2]))


def test_anomalies_are_where_the_mask_says() -> None:
    images = torch.zeros(30, 3, 32, 32)
    textures = torch.full((30, 3, 32, 32), 200, dtype=torch.uint8)
    changed, masks = synthetic.with_anomalies(images, textures, 0.8, seeded())
    assert torch.equal((changed > 0).any(1, keepdim=True).float(), masks)
    levels = changed.amax((1, 2, 3))[masks.amax((1, 2, 3)) > 0]
    assert float(levels.min()) >= 0.2 * 200 - 1e-3
    assert len(levels.unique()) > 10, "each has an opacity of its own"
    opaque, _ = synthetic.with_anomalies(images, textures, 0.0, seeded())
    assert set(opaque.unique().tolist()) == {0.0, 200.0}


def test_made_up_textures() -> None:
    textures = synthetic.procedural_textures(12, 48, seeded(), CPU)
    assert textures.shape == (12, 3, 48, 48)
    assert textures.dtype == torch.uint8
    assert float(textures.float().std((2, 3)).amax(1).min()) > 2, "none is plain"
    assert torch.equal(textures, synthetic.procedural_textures(12, 48, seeded(), CPU))
    assert len({bytes(each.numpy().tobytes()) for each in textures}) == 12


def test_stripes_lie_across_the_drawn_angle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cloud that bends them: a sine along the angle, between two colours."""
    monkeypatch.setattr(synthetic, "perlin", lambda size, cells, *_: torch.zeros(len(cells), size, size))
    given = synthetic.procedural_textures(4, 16, seeded(), CPU).double().numpy()
    draws = seeded()
    for _ in range(3):
        torch.randint(0, 2, (4, 2), generator=draws)
    frequency, _, angle = math.pi * torch.rand(3, 4, generator=draws).double().numpy()
    first, second = torch.rand(2, 4, 3, 1, 1, generator=draws).double().numpy()
    down, across = np.mgrid[:16, :16] / 15
    for at in (1, 3):
        along = down * math.cos(angle[at]) + across * math.sin(angle[at])
        level = 0.5 + 0.5 * np.sin((8 * math.pi + 56 * frequency[at]) * along)
        np.testing.assert_allclose(given[at], 255 * (first[at] + (second[at] - first[at]) * level), atol=0.51)


def test_masks_have_noise_of_one_to_32_cells_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Tensor] = []

    def perlin(size: int, cells: torch.Tensor, *_: object) -> torch.Tensor:
        asked.append(cells)
        return torch.zeros(len(cells), size, size)

    monkeypatch.setattr(synthetic, "perlin", perlin)
    synthetic.perlin_masks(500, 32, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert sorted(set(asked[0].flatten().tolist())) == [1, 2, 4, 8, 16, 32]
