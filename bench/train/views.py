"""Random views of images for contrastive learning, in batches on the device: the augmentation of MoCo v2.

References
----------
Chen, Fan, Girshick, He, "Improved Baselines with Momentum Contrastive Learning", arXiv:2003.04297, whose
strengths are without SimCLR's stronger colours; parameters as torchvision's transforms have them.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from bench.data.transfer import constant, sent
from bench.train.colours import hsv_of_rgb, rgb_of_hsv

#: Area of a crop as a share of the image's, and its width over its height.
AREA, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
#: Shares of views whose colours change, that are grey, blurred, and flipped.
JITTERED, GREY, BLURRED, FLIPPED = 0.8, 0.2, 0.5, 0.5
#: Largest change of brightness, contrast and saturation, and of the hue as a share of a circle.
CHANGE, HUE = 0.4, 0.1
#: Standard deviation of the blur, in pixels.
SIGMA = (0.1, 2.0)
_LUMA = (0.299, 0.587, 0.114)


def random_views(
    pixels: torch.Tensor,
    generator: torch.Generator,
    *,
    area: tuple[float, float] = AREA,
    flips: bool = True,
    blurs: bool = True,
    alike: bool = False,
) -> torch.Tensor:
    """Return a random view of each image.

    Parameters
    ----------
    pixels : Tensor, shape (b, 3, s, s), uint8
    generator : torch.Generator
        On the host.
    area : (float, float)
        Least and largest area of a crop as a share of the image's.
    flips, blurs : bool
        Whether half of the views are flipped, and half blurred.
    alike : bool
        Change all images in the same way, so that none depends on the others.

    Returns
    -------
    Tensor, shape (b, 3, s, s), float32 in [0, 255]
    """
    b = len(pixels)
    numbers = torch.rand(16, 1 if alike else b, generator=generator)
    order = torch.rand(1 if alike else b, 4, generator=generator).argsort(1)
    changes, masks = _turns(order, numbers[9] < JITTERED)
    drawn, masks = sent(pixels.device, numbers, masks)
    drawn = drawn.expand(-1, b)
    flip = drawn[4] if flips else torch.ones_like(drawn[4])
    views = cropped(pixels.float(), drawn[0], drawn[1], drawn[2], drawn[3], flip, between=area)
    views = _changed(views, changes, masks, drawn[5:9])
    views = torch.where(_each(drawn[10] < GREY), grey(views).expand_as(views), views)
    if not blurs:
        return views
    sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * drawn[11]
    return torch.where(_each(drawn[12] < BLURRED), blurred(views, sigma), views)


def cropped(
    images: torch.Tensor,
    area: torch.Tensor,
    ratio: torch.Tensor,
    down: torch.Tensor,
    right: torch.Tensor,
    flip: torch.Tensor,
    *,
    between: tuple[float, float] = AREA,
) -> torch.Tensor:
    """Return crops of images (b, c, s, s), resized to their side, some of them flipped.

    Parameters
    ----------
    area, ratio, down, right, flip : Tensor, shape (b,), in [0, 1)
        What decides on size, shape and place of the crop, and whether it is flipped.
    between : (float, float)
        Least and largest share of the image's area.
    """
    share = between[0] + (between[1] - between[0]) * area
    low, high = (math.log(each) for each in RATIO)
    shape = torch.exp(low + (high - low) * ratio)
    width, height = ((share * shape).sqrt().clamp(max=1), (share / shape).sqrt().clamp(max=1))
    across = torch.where(flip < FLIPPED, -width, width)
    zero = torch.zeros_like(width)
    # In coordinates from -1 to 1, where a crop of share w can have its middle within ±(1 - w).
    first = torch.stack([across, zero, (1 - width) * (2 * right - 1)], 1)
    second = torch.stack([zero, height, (1 - height) * (2 * down - 1)], 1)
    grid = F.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jittered_colours(
    images: torch.Tensor, order: torch.Tensor, drawn: torch.Tensor, which: torch.Tensor
) -> torch.Tensor:
    """Return images (b, 3, s, s) in [0, 255] with brightness, contrast, saturation and hue changed.

    Parameters
    ----------
    order : Tensor, shape (b, 4), int64, on the host
        In which order, image by image.
    drawn : Tensor, shape (4, b), in [0, 1)
        By how much each; 0.5 changes nothing.
    which : Tensor, shape (b,), bool, on the host
        Which images.
    """
    changes, masks = _turns(order, which)
    return _changed(images, changes, sent(images.device, masks)[0], drawn)


def _turns(order: torch.Tensor, which: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """Return the changes to make, one after the other, and the images that each is for, (changes, b), bool.

    Both on the host, which knows without asking the device which changes are for no image.
    """
    masks = (order.T[:, None] == torch.arange(4)[:, None]) & which
    some = masks.any(2)
    return [at for turn in some.tolist() for at, any_is in enumerate(turn) if any_is], masks[some]


def _changed(
    images: torch.Tensor, changes: list[int], masks: torch.Tensor, drawn: torch.Tensor
) -> torch.Tensor:
    kinds, out = (_brighter, _contrasted, _saturated, _recoloured), images
    for at, mine in zip(changes, masks, strict=True):
        out = torch.where(_each(mine), kinds[at](out, 2 * drawn[at] - 1).clamp(0, 255), out)
    return out


def _brighter(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return x * _each(1 + CHANGE * by)


def _contrasted(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    middle = grey(x).mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * _each(1 + CHANGE * by)


def _saturated(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    middle = grey(x)
    return middle + (x - middle) * _each(1 + CHANGE * by)


def _recoloured(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    hue, saturation, value = hsv_of_rgb(x / 255)
    return 255 * rgb_of_hsv(hue + HUE * by.view(-1, 1, 1), saturation, value)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Return the luma (b, 1, h, w) of images (b, 3, h, w)."""
    return (images * constant(images.device, *_LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def blurred(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Smooth images (b, c, s, s), each with a Gaussian of its own sigma (b,), in pixels."""
    line = torch.arange(images.shape[-1], device=images.device, dtype=images.dtype)
    weights = torch.exp(-(line - line[:, None]).square() / (2 * sigma.view(-1, 1, 1).square()))
    kernel = (weights / weights.sum(2, keepdim=True))[:, None]
    return kernel @ images @ kernel.mT


def _each(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)
