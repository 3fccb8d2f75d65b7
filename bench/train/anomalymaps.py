"""Anomaly maps: scores of patches, brought to the resolution of an image and smoothed.

Resizing and a Gaussian filter are both linear and separable, so that together they are one small matrix for
the rows and one for the columns, made once.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F

#: The grey value of an explanation that becomes 1 is at this share of an image's values.
WHITE = 0.99

Border = Literal["reflect", "mirror", "constant"]


def anomaly_maps(
    scores: torch.Tensor,
    size: tuple[int, int],
    *,
    sigma: float = 4.0,
    radius: int | None = None,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    align_corners: bool = False,
    border: Border = "reflect",
) -> torch.Tensor:
    """Return the maps (b, height, width), float32, of patch scores.

    Parameters
    ----------
    scores : Tensor, shape (b, h, w)
    size : (int, int)
        Height and width in pixels.
    sigma : float
        Standard deviation of the Gaussian in pixels; 0 smooths nothing.
    radius : int, optional
        Where it is cut off, in pixels; by default 4 · sigma, as in SciPy.
    interpolation, align_corners
        As in ``torch.nn.functional.interpolate``.
    border : {"reflect", "mirror", "constant"}
        What lies beyond the border: the map reflected, its edge repeated (as SciPy) or not (as PyTorch's
        ``reflect``), or zeros.

    Examples
    --------
    >>> bench.anomaly_maps(torch.rand(2, 4, 4), (32, 48)).shape
    torch.Size([2, 32, 48])
    """
    how = (sigma, radius, interpolation, align_corners, border)
    down, across = (
        _operator(small, large, *how).to(scores.device)
        for small, large in zip(scores.shape[1:], size, strict=True)
    )
    return torch.stack([down @ (each @ across.T) for each in scores.float()])


@functools.lru_cache(maxsize=32)
def _operator(
    small: int,
    large: int,
    sigma: float,
    radius: int | None,
    interpolation: str,
    align_corners: bool,
    border: Border,
) -> torch.Tensor:
    """Return the matrix (large, small) that resizes and smooths along one side, float32, on the host."""
    points = torch.eye(small, dtype=torch.float64)[None]
    if interpolation == "nearest":
        resized = F.interpolate(points, large, mode="nearest")
    else:
        resized = F.interpolate(points, large, mode="linear", align_corners=align_corners)
    matrix = resized[0].T.contiguous()
    if sigma > 0:
        filtered = gaussian_filter1d(matrix.numpy(), sigma, axis=0, mode=border, truncate=4.0, radius=radius)
        matrix = torch.from_numpy(filtered)
    return matrix.float()


def mean_of_highest(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Return the mean of the highest share of each map's values, (b,): at least one value, rounded down.

    Parameters
    ----------
    maps : Tensor, shape (b, h, w) or (b, n)
    share : float
        Above 0 and at most 1.

    Examples
    --------
    >>> bench.mean_of_highest(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 0.5)
    tensor([3.5000])
    """
    flat = maps.flatten(1)
    return flat.topk(max(1, int(share * flat.shape[1])), 1).values.mean(1)


def explained_gradient(gradient: torch.Tensor) -> torch.Tensor:
    """Return explanations (b, s, s) of scores by their gradients (b, 3, s, s) by the input.

    Absolute values are added over the channels, brought to [0, 1] image by image, so that the least value is
    0 and most are below 1, and smoothed with a Gaussian of 4 pixels.

    References
    ----------
    Pang, Ding, Shen, van den Hengel, arXiv:2108.00462, section 3.4, and the authors' code.
    """
    grey = gradient.abs().sum(1)
    least = grey.amin((1, 2), keepdim=True)
    white = grey.flatten(1).quantile(WHITE, dim=1).view(-1, 1, 1)
    scaled = ((grey - least) / (white - least).clamp(min=torch.finfo(grey.dtype).tiny)).clamp(0, 1)
    return anomaly_maps(scaled, (grey.shape[1], grey.shape[2]), sigma=4.0)
