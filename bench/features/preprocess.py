"""From decoded images to what a network takes: resize, centre crop, normalise.

The ``device`` pipeline works on whole batches of uint8 where the network is; the ``pil`` pipeline goes
image by image through PIL, as the papers' scripts did. Both keep uint8 between the steps and round as
PIL does, so that they agree to about one grey level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from bench.data.resize import Pictures, Size, resize, resized, stack, to_tensor
from bench.data.source import Pixels


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How images are fed to a network.

    Attributes
    ----------
    resize : int, (int, int) or None
        Shorter side in pixels (the longer one follows, rounded down), or exact height and width.
    crop : int, (int, int) or None
        Centre crop; what an image lacks is padded with black.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}
        Antialiased.
    mean, std : tuple of three floats
        Of pixels in [0, 1].
    pipeline : {"device", "pil"}
    """

    resize: Size | None
    crop: Size | None
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pipeline: Literal["device", "pil"] = "device"

    def on_host(self, pictures: Pictures) -> Pictures:
        """Do what belongs on the host, in the reading thread: everything for ``pil``, nothing else."""
        if self.pipeline == "device":
            return pictures
        return [_pil(picture, self.resize, self.crop, self.interpolation) for picture in pictures]

    def __call__(self, pictures: Pictures, device: torch.device) -> torch.Tensor:
        """Return the network's input.

        Parameters
        ----------
        images : array (b, h, w, 3) or sequence of arrays (h, w, 3), uint8
            What `on_host` gave.

        Returns
        -------
        Tensor, shape (b, 3, h', w'), float32, channels_last, on `device`

        Raises
        ------
        DataError
            The images still differ in size after resizing and cropping.
        """
        if self.pipeline == "pil":
            small = stack([to_tensor(picture[None], device) for picture in pictures])
        elif isinstance(pictures, np.ndarray):
            small = self.shrink(to_tensor(pictures, device))
        else:
            small = stack([self.shrink(to_tensor(picture[None], device)) for picture in pictures])
        return self.normalise(small)

    def normalise(self, small: torch.Tensor) -> torch.Tensor:
        """Return what `shrink` gave, uint8, as the network's input: float32, channels_last."""
        scale = 1 / (255 * torch.tensor(self.std, dtype=torch.float32, device=small.device))
        shift = -torch.tensor(self.mean, dtype=torch.float32, device=small.device) * scale * 255
        image = small.to(torch.float32, memory_format=torch.channels_last)
        return image.mul_(scale.view(1, 3, 1, 1)).add_(shift.view(1, 3, 1, 1))

    def shrink(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize and crop images of one size, (b, 3, h, w), uint8."""
        if self.resize is not None:
            pixels = resize(
                pixels, resized(pixels.shape[-2], pixels.shape[-1], self.resize), self.interpolation
            )
        return pixels if self.crop is None else centre_crop(pixels, self.crop)


def centre_crop(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Crop (b, 3, h, w) around the centre, with torchvision's rounding; pads with 0 where too small."""
    height, width = (size, size) if isinstance(size, int) else size
    lack_h, lack_w = max(height - pixels.shape[-2], 0), max(width - pixels.shape[-1], 0)
    if lack_h or lack_w:
        pad = (lack_w // 2, (lack_w + 1) // 2, lack_h // 2, (lack_h + 1) // 2)
        pixels = F.pad(pixels, pad)
    top, left = round((pixels.shape[-2] - height) / 2), round((pixels.shape[-1] - width) / 2)
    return pixels[:, :, top : top + height, left : left + width]


def _pil(picture: Pixels, size: Size | None, crop: Size | None, interpolation: str) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(picture)
    if size is not None:
        height, width = resized(picture.shape[0], picture.shape[1], size)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling[interpolation.upper()])
    out = np.asarray(image)
    if crop is None:
        return out
    tensor = torch.from_numpy(out.copy()).permute(2, 0, 1)[None]
    return centre_crop(tensor, crop)[0].permute(1, 2, 0).numpy()
