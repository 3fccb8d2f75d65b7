"""Synthetic anomalies: Perlin masks, textures, and their composition, in batches on the device.

Random numbers come from a generator on the host, so that they are the same on every device; the rest is
computed where the images are.

References
----------
Zavrtanik, Kristan, Skočaj, "DRAEM", ICCV 2021, section 3.1; Perlin, "Improving Noise", SIGGRAPH 2002.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from bench.data.transfer import sent

#: Most cells of the noise along a side; resolutions are powers of two.
FINEST = 32
#: Octaves of a procedural texture: cells along a side, and share.
_OCTAVES = ((2, 0.5), (8, 0.3), (32, 0.2))


def perlin(size: int, cells: torch.Tensor, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return gradient noise, each image with its own resolution.

    With the quintic hat h(t) = 1 - fade(|t|), the noise at row u and column v (in cells) is the sum over grid
    points (p, q) with gradients g of [g₁ (u - p) + g₂ (v - q)] h(u - p) h(v - q): two products of three small
    matrices.

    Parameters
    ----------
    size : int
        Side in pixels.
    cells : Tensor, shape (b, 2), int64
        Cells along the height and the width, at most 32.

    Returns
    -------
    Tensor, shape (b, size, size), float32
        Within [-1, 1].
    """
    points = FINEST + 1
    angles = 2 * math.pi * torch.rand(len(cells), points, points, generator=generator)
    cells, down, across = sent(device, cells, angles.cos(), angles.sin())
    (rows, row_slopes), (columns, column_slopes) = (_basis(size, cells[:, axis], points) for axis in (0, 1))
    noise: torch.Tensor = row_slopes @ down @ columns.mT + rows @ across @ column_slopes.mT
    return math.sqrt(2) * noise


def _basis(size: int, cells: torch.Tensor, points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return h(u - p) and (u - p) h(u - p) for pixels u of an axis, grid points p; (b, size, points) each."""
    pixels = torch.arange(size, device=cells.device) * (cells[:, None] / size)
    distance = pixels[:, :, None] - torch.arange(points, device=cells.device)
    t = distance.abs().clamp(max=1)
    hat = 1 - t**3 * (t * (6 * t - 15) + 10)
    return hat, distance * hat


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate images around their centres, each by its own angle; bilinear, black outside.

    Parameters
    ----------
    images : Tensor, shape (b, c, s, s), floating
        Square.
    degrees : Tensor, shape (b,)
    """
    radians = torch.deg2rad(degrees.to(images))
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    matrices = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def rotate_some(
    images: torch.Tensor, share: float, degrees: float, generator: torch.Generator
) -> torch.Tensor:
    """Rotate a share of the images (b, c, s, s), floating or uint8, each by an angle up to ±`degrees`."""
    some = torch.rand(len(images), generator=generator) < share
    angles = degrees * (2 * torch.rand(len(images), generator=generator) - 1)
    if not some.any():
        return images
    at, angles = sent(images.device, torch.nonzero(some)[:, 0], angles[some])
    turned = rotate(images[at].float(), angles)
    turned = turned if images.is_floating_point() else turned.round()
    return images.index_copy(0, at, turned.to(images.dtype))


def perlin_masks(b: int, size: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return masks (b, 1, size, size), float32 of 0 and 1: noise of 1 to 32 cells, rotated, above a half.

    A mask can be empty.
    """
    cells = 2 ** torch.randint(0, 6, (b, 2), generator=generator)
    noise = perlin(size, cells, generator, device)[:, None]
    return (rotate_some(noise, 1.0, 90.0, generator) > 0.5).float()


def blend(
    images: torch.Tensor, textures: torch.Tensor, masks: torch.Tensor, keep: torch.Tensor
) -> torch.Tensor:
    """Return images with the texture inside the mask, blended with a share `keep` of the image.

    Parameters
    ----------
    images, textures : Tensor, shape (b, c, h, w)
    masks : Tensor, shape (b, 1, h, w), of 0 and 1
    keep : Tensor, shape (b,), in [0, 1]
    """
    keep = keep.to(images).view(-1, 1, 1, 1)
    inside = (1 - keep) * textures + keep * images
    return torch.where(masks > 0, inside, images)


def with_anomalies(
    images: torch.Tensor, textures: torch.Tensor, opacity: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put a synthetic anomaly into each image: a texture inside a Perlin mask.

    Parameters
    ----------
    images : Tensor, shape (b, c, s, s), floating
    textures : Tensor, shape (b, c, s, s)
    opacity : float
        Largest share of the image in the blend.

    Returns
    -------
    images : Tensor, shape (b, c, s, s)
    masks : Tensor, shape (b, 1, s, s), of 0 and 1
    """
    masks = perlin_masks(len(images), images.shape[-1], generator, images.device)
    keep = sent(images.device, opacity * torch.rand(len(images), generator=generator))[0]
    return blend(images, textures.to(images), masks, keep), masks


def procedural_textures(n: int, size: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return procedural textures, for use where there are no photographs of textures.

    Half are clouds of noise in three octaves, half stripes bent by such a cloud, between two random colours.

    Returns
    -------
    Tensor, shape (n, 3, size, size), uint8
    """
    cloud = torch.zeros(n, size, size, device=device)
    for cells, share in _OCTAVES:
        stretch = 2 ** torch.randint(0, 2, (n, 2), generator=generator)
        cloud += share * perlin(size, torch.clamp(cells * stretch, max=FINEST), generator, device)
    frequency, bend, angle = sent(device, torch.rand(3, n, 1, 1, generator=generator))[0]
    line = torch.linspace(0, 1, size, device=device)
    angle = math.pi * angle
    along = line[:, None] * angle.cos() + line * angle.sin()
    stripes = torch.sin(2 * math.pi * ((4 + 28 * frequency) * along + 4 * bend * cloud))
    is_cloud = (torch.arange(n, device=device) % 2 == 0).view(-1, 1, 1)
    level = torch.where(is_cloud, 0.5 + cloud, 0.5 + 0.5 * stripes).clamp(0, 1)[:, None]
    first, second = sent(device, torch.rand(2, n, 3, 1, 1, generator=generator))[0]
    textures: torch.Tensor = 255 * (first + (second - first) * level)
    return textures.round().to(torch.uint8)
