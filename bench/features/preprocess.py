"""From decoded images to the input of a network: resize, centre crop, normalise.

The ``device`` pipeline handles batches of uint8 on the network's device; the ``pil`` pipeline goes image by
image through PIL, as the papers' scripts do. Both keep uint8 between the steps and round as PIL does, so that
they agree to about one grey level.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.resize import InputView, PixelArrays, Size, by_bytes, resize, resized, stack, to_tensor
from bench.data.source import Pixels, decoding_threads
from bench.data.transfer import constant


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How images become the input of a network.

    Attributes
    ----------
    resize : int, (int, int) or None
        Shorter side in pixels (the longer one follows, rounded down), or exact height and width.
    crop : int, (int, int) or None
        Centre crop; smaller images are padded with black.
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

    @property
    def side(self) -> int:
        """Shorter side of the network's input, in pixels."""
        given = self.crop or self.resize or 224
        return given if isinstance(given, int) else min(given)

    def on_host(self, pixels: PixelArrays) -> PixelArrays:
        """Do what belongs on the host, in reading threads: all of it for ``pil``, else nothing."""
        return pixels if self.pipeline == "device" else self._by_pil(pixels)

    def _by_pil(self, pixels: PixelArrays) -> list[Pixels]:
        def small(image: Pixels) -> Pixels:
            return _pil(image, self.resize, self.crop, self.interpolation)

        threads = min(decoding_threads(), len(pixels))
        if threads < 2:
            return [small(image) for image in pixels]
        with ThreadPoolExecutor(threads) as pool:  # PIL releases Python's lock
            return list(pool.map(small, pixels))

    def __call__(self, pixels: PixelArrays, device: torch.device) -> torch.Tensor:
        """Return the network's input.

        Parameters
        ----------
        pixels : array (b, h, w, 3) or sequence of arrays (h, w, 3), uint8
            From `on_host`.

        Returns
        -------
        Tensor, shape (b, 3, h', w'), float32, channels_last, on `device`

        Raises
        ------
        DataError
            The images still differ in size after resizing and cropping.
        """
        shrink = self.shrink if self.pipeline == "device" else lambda images: images  # on_host did it
        return self.normalise(on_device(pixels, device, shrink))

    def normalise(self, small: torch.Tensor) -> torch.Tensor:
        """Turn the output of `shrink`, uint8, into the network's input: float32, channels_last."""
        scale = 1 / (255 * constant(small.device, *self.std))
        shift = -constant(small.device, *self.mean) * scale * 255
        image = small.to(torch.float32, memory_format=torch.channels_last)
        return image.mul_(scale.view(1, 3, 1, 1)).add_(shift.view(1, 3, 1, 1))

    def shrink(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize and crop images of one size, (b, 3, h, w), uint8."""
        if self.pipeline == "pil":
            images = self._by_pil(pixels.permute(0, 2, 3, 1).cpu().numpy())
            return stack([to_tensor(image[None], pixels.device) for image in images])
        if self.resize is not None:
            pixels = resize(
                pixels, resized(pixels.shape[-2], pixels.shape[-1], self.resize), self.interpolation
            )
        return pixels if self.crop is None else centre_crop(pixels, self.crop)

    def view(self, height: int, width: int) -> InputView:
        """Return what a network sees of images of this size.

        Where they are smaller than the crop, the input is padded, and its map is taken for the whole image.
        """
        tall, wide = (height, width) if self.resize is None else resized(height, width, self.resize)
        if self.crop is None:
            return InputView(tall, wide)
        h, w = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        if h > tall or w > wide or (h, w) == (tall, wide):
            return InputView(h, w)
        # As torchvision rounds.
        top, left = round((tall - h) / 2.0), round((wide - w) / 2.0)
        return InputView(h, w, (top / tall, left / wide, h / tall, w / wide))


def on_device(
    pixels: PixelArrays, device: torch.device, shrink: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return images on the device, each brought to one size by `shrink`: (b, 3, h, w), uint8.

    Raises
    ------
    DataError
        They still differ in size.
    """
    if isinstance(pixels, np.ndarray):
        if device.type == "cpu":
            return shrink(to_tensor(pixels, device))
        return torch.cat([shrink(to_tensor(part, device)) for part in by_bytes(pixels)])
    return stack([shrink(to_tensor(image[None], device)) for image in pixels])


def centre_crop(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Crop (b, 3, h, w) around the centre; pads with 0 where too small."""
    from torchvision.transforms.functional import center_crop

    cropped: torch.Tensor = center_crop(pixels, [size, size] if isinstance(size, int) else list(size))
    return cropped


def _pil(pixels: Pixels, size: Size | None, crop: Size | None, interpolation: str) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(pixels)
    if size is not None:
        height, width = resized(pixels.shape[0], pixels.shape[1], size)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling[interpolation.upper()])
    out = np.asarray(image)
    if crop is None:
        return out
    tensor = torch.from_numpy(out.copy()).permute(2, 0, 1)[None]
    return centre_crop(tensor, crop)[0].permute(1, 2, 0).numpy()
