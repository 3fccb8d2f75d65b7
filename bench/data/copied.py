"""Copies of images that contaminate in the originals' place: under light noise, or rotated and shifted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images
from bench.data.origins import decoded_image, images_identity
from bench.data.source import Pixels, Source

#: Side, noise and JPEG quality of jittered copies: see `jitter`.
SIDE, NOISE_SD, JPEG_QUALITY = 256, 2.0, 95
#: Largest rotation in degrees and shift as a share of the side of moved copies: see `move`.
ROTATION, SHIFT = 3.0, 0.03

Change = Callable[[Pixels, np.random.Generator], Pixels]


class ChangedCopies(Source):
    """Copies of the images of a view, made when they are read.

    Attributes
    ----------
    originals : Images
        Row for row.
    """

    def __init__(self, images: Images, what: str, change: Change, names: tuple[object, ...]) -> None:
        self.originals, self._change, self._names = images, change, names
        described = [f"{what} 1", *map(str, names), images_identity(images)]
        self.name = f"copies ({what})"
        self.fingerprint = hashlib.sha256("\0".join(described).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return len(self.originals)

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        made = [self._copy(int(row)) for row in rows]
        return np.stack(made) if len({one.shape for one in made}) == 1 else made

    def _copy(self, row: int) -> Pixels:
        digest = hashlib.sha256(
            "/".join(map(str, (*self._names, row))).encode("utf-8", "surrogateescape")
        ).digest()
        chance = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return self._change(decoded_image(self.originals, row), chance)


def jittered(images: Images, *names: object) -> tuple[Images, Source]:
    """Return jittered copies of a view's images, and their source, which the task must keep.

    The noise depends on `names` and the position alone.
    """
    source = ChangedCopies(images, "jitter", jitter, names)
    return Images.of(source), source


def moved(images: Images, *names: object) -> tuple[Images, Source]:
    """Return rotated and shifted copies of a view's images, and their source, which the task must keep."""
    source = ChangedCopies(images, "moved", move, names)
    return Images.of(source), source


def jitter(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return an image under light noise, as ADL contaminates its train sets.

    It is resized to 256 x 256 where it is larger, gets Gaussian noise of standard deviation 2 (in 0..255), is
    stretched so that its own least and greatest value become 0 and 255, cut to uint8, and saved as JPEG.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8

    Returns
    -------
    ndarray, shape (256, 256, 3) or that of smaller `pixels`, uint8

    References
    ----------
    Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination",
    WACV 2025; as in the authors' code (OpenCV: bilinear resize without antialiasing, JPEG quality 95). There
    one global generator draws all noise; here each copy has its own, seeded by the draw and the position.
    """
    import torch
    from PIL import Image

    from bench.data.resize import resize_plainly

    if min(pixels.shape[:2]) > SIDE:
        channels = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        pixels = resize_plainly(channels, (SIDE, SIDE))[0].permute(1, 2, 0).numpy()
    noisy = pixels + generator.normal(0.0, NOISE_SD, pixels.shape)
    low, high = noisy.min(), noisy.max()
    stretched = ((noisy - low) * 255.0 / max(high - low, np.finfo(np.float64).tiny)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(stretched).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    with Image.open(file) as saved:
        return np.asarray(saved.convert("RGB"))


def move(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return an image rotated by up to 3 degrees about its middle and shifted by up to 3 % of each side.

    Angle and shifts are uniform; values are interpolated linearly, and what comes into view is reflected at
    the border, so that no edge tells a copy.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8

    Returns
    -------
    ndarray, shape (h, w, 3), uint8

    Notes
    -----
    SoftPatch+ (Wang et al., arXiv 2412.20870) repeats anomalies so where there are too few; that the
    parameters are uniform, the interpolation and the border are ours.
    """
    from scipy.ndimage import affine_transform

    h, w = pixels.shape[:2]
    angle = np.deg2rad(generator.uniform(-ROTATION, ROTATION))
    shift = generator.uniform(-SHIFT, SHIFT, 2) * (h, w)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array([h, w]) - 1) / 2
    offset = middle - turn @ (middle + shift)
    channels = [
        affine_transform(pixels[..., c].astype(np.float32), turn, offset, order=1, mode="reflect")
        for c in range(pixels.shape[2])
    ]
    turned: Pixels = np.rint(np.stack(channels, axis=2)).clip(0, 255).astype(np.uint8)
    return turned
