"""Images as tensors of one size: moved to the device, joined, resized and rounded as PIL does.

Each of the two passes of a separable resize ends in whole grey levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from bench.core.errors import DataError
from bench.data.source import Pixels

Size = int | tuple[int, int]
#: Bytes of full-size images that lie on a GPU at once, while they are made smaller.
DEVICE_BYTES = 2**28
PixelArrays = Pixels | Sequence[Pixels]


class InputView(NamedTuple):
    """What a network sees of an image.

    Attributes
    ----------
    height, width : int
        Of its input, in pixels.
    covers : (float, float, float, float) or None
        The part of the image that it sees: top, left, height, width, as fractions of the image's; None is the
        whole image.
    """

    height: int
    width: int
    covers: tuple[float, float, float, float] | None = None


def to_tensor(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Move images (b, h, w, 3) to the device as (b, 3, h, w) uint8, without waiting on a GPU."""
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    tensor = torch.from_numpy(pixels)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True).permute(0, 3, 1, 2)


def stack(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join images of one size.

    Raises
    ------
    DataError
        They differ in size.
    """
    sizes = {tuple(part.shape[-2:]) for part in parts}
    if len(sizes) > 1:
        raise different_sizes(sizes)
    return torch.cat(list(parts))


def different_sizes(sizes: Iterable[tuple[int, ...]]) -> DataError:
    """Return the error of images whose sizes, heights and widths last, differ where they must not."""
    found = sorted({size[-2:] for size in sizes})
    shown = ", ".join(f"{h}x{w}" for h, w in found[:4])
    return DataError(
        f"the images differ in size ({shown}{', …' if len(found) > 4 else ''}) and cannot be one "
        "batch; give the backbone a crop or an exact size (resize=[224,224]), or batches() a size"
    )


def by_bytes(pixels: Pixels) -> Iterator[Pixels]:
    """Cut images (b, h, w, 3) into parts that a GPU resizes at once: that takes several times their bytes."""
    at_once = max(1, DEVICE_BYTES // max(1, pixels[:1].nbytes))
    return (pixels[at : at + at_once] for at in range(0, max(1, len(pixels)), at_once))


def resized(height: int, width: int, size: Size) -> tuple[int, int]:
    """Return the height and width after resizing; the longer side is rounded down, as torchvision does."""
    if not isinstance(size, int):
        return size
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def resize(pixels: torch.Tensor, size: tuple[int, int], interpolation: str = "bilinear") -> torch.Tensor:
    """Resize with antialiasing, rounding as PIL does.

    Parameters
    ----------
    pixels : Tensor, shape (b, 3, h, w), uint8
    size : (int, int)
        Height and width in pixels.

    Returns
    -------
    Tensor, shape (b, 3, *size), uint8

    Examples
    --------
    >>> bench.resize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), (4, 6)).shape
    torch.Size([1, 3, 4, 6])
    """
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    if interpolation == "nearest":
        return F.interpolate(pixels, size, mode="nearest-exact")
    if pixels.device.type == "cpu":  # has an integer kernel that follows PIL's arithmetic
        return F.interpolate(pixels, size, mode=interpolation, antialias=True, align_corners=False)
    return resize_by_float(pixels, size, interpolation)


def resize_plainly(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (b, 3, h, w), uint8, bilinearly without antialiasing, as OpenCV does by default.

    Examples
    --------
    >>> bench.resize_plainly(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), (4, 6)).shape
    torch.Size([1, 3, 4, 6])
    """
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    image = F.interpolate(pixels.float(), size, mode="bilinear", align_corners=False)
    return image.round_().clamp_(0, 255).to(torch.uint8)


def resize_by_float(pixels: torch.Tensor, size: tuple[int, int], interpolation: str) -> torch.Tensor:
    """Resize on any device: two passes in float32, each rounded to whole grey levels as PIL does."""
    image = pixels.float()
    for step in ((pixels.shape[-2], size[1]), size):
        if tuple(image.shape[-2:]) != step:
            image = F.interpolate(image, step, mode=interpolation, antialias=True, align_corners=False)
            image = image.add_(0.5).floor_().clamp_(0, 255)  # halves go up, as in PIL
    return image.to(torch.uint8)
