"""Jittered copies of images: test anomalies under light noise, as ADL contaminates its train sets.

Each copy is read at 256 × 256 where it is larger, gets Gaussian noise of standard deviation 2 (in 0..255), is
stretched so that its own least and greatest value become 0 and 255, cut to uint8, and saved as JPEG.

References
----------
Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination", WACV
2025; the procedure is that of the authors' code (OpenCV: bilinear resize without antialiasing, JPEG quality
95). There one global generator draws all noise; here each copy has its own, named by the draw's seed.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images, picture, pictures_identity
from bench.data.source import Pixels, Source

SIDE = 256
NOISE_SD = 2.0
JPEG_QUALITY = 95


class _Jittered(Source):
    """Copies of the images of a view, made when they are read."""

    def __init__(self, images: Images, names: tuple[object, ...]) -> None:
        self._images, self._names = images, names
        described = ["jitter 1", *map(str, names), pictures_identity(images)]
        self.name = "jittered copies"
        self.fingerprint = hashlib.sha256("\0".join(described).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        made = [self._copy(int(row)) for row in rows]
        return np.stack(made) if len({one.shape for one in made}) == 1 else made

    def _copy(self, row: int) -> Pixels:
        digest = hashlib.sha256("/".join(map(str, (*self._names, row))).encode()).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return jitter(picture(self._images, row), noise)


def jittered(images: Images, *names: object) -> tuple[Images, Source]:
    """Return jittered copies of a view's images, and their source, which the task must keep.

    The noise depends on `names` and the position alone.
    """
    source = _Jittered(images, names)
    return Images.of(source), source


def jitter(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return one jittered copy.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8

    Returns
    -------
    ndarray, shape (256, 256, 3) or that of smaller `pixels`, uint8
    """
    from PIL import Image

    if min(pixels.shape[:2]) > SIDE:
        pixels = _bilinear(pixels, SIDE)
    noisy = pixels + generator.normal(0.0, NOISE_SD, pixels.shape)
    low, high = noisy.min(), noisy.max()
    stretched = ((noisy - low) * 255.0 / max(high - low, np.finfo(np.float64).tiny)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(stretched).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    with Image.open(file) as saved:
        return np.asarray(saved.convert("RGB"))


def _bilinear(pixels: Pixels, side: int) -> Pixels:
    import torch

    from bench.data.resize import resize_plainly

    channels = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return resize_plainly(channels, (side, side))[0].permute(1, 2, 0).numpy()
