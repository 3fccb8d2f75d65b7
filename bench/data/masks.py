"""Masks: where the defects of an image are, read from the files that the data set gives."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import AnobenchError, DataError
from bench.core.files import cache_folder, write_atomically
from bench.data.fingerprint import file_hashes
from bench.data.source import open_image
from bench.data.task import Mask

log = logging.getLogger(__name__)


def read_mask(root: Path, image: str, masks: tuple[str, ...], above: int = 0) -> Mask:
    """Return where any of the mask files is above a value, shape (h, w) of the image; all False without any.

    Raises
    ------
    DataError
        A mask cannot be read, or has another size than its image; the message names both.
    """
    size = image_size(root / image)
    found = np.zeros(size[::-1], np.bool_)
    for mask in masks:
        values = mask_values(root / mask)
        if (other := values.shape[1::-1]) != size:
            raise DataError(
                f"{root / mask}: this mask has {other[0]} x {other[1]} pixels, its image {root / image} "
                f"has {size[0]} x {size[1]}; they must be equal"
            )
        found |= values > above
    return found


def mask_values(path: Path) -> NDArray[np.int64]:
    """Return a mask's values, shape (h, w): the largest over its channels, without alpha.

    Indices of a palette are taken as they are: small numbers mean "defect" too.

    Raises
    ------
    DataError
        The file cannot be read or decoded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    with open_image(content, str(path)) as image:
        values = np.asarray(image)
        if image.mode in ("LA", "RGBA"):
            values = values[..., :-1]
    if values.dtype.kind == "f":
        values = values != 0
    values = values.astype(np.int64)
    return values.max(-1) if values.ndim == 3 else values


def grey_values(values: NDArray[np.int64]) -> int:
    """Return how many pixels of a mask are neither off nor on: the grey edges of one that was smoothed.

    A mask is smoothed if it passes 127 and has more different values than data sets number their defects by.
    """
    grey = (values > 0) & (values < 255)
    if values.max(initial=0) <= 127 or len(np.unique(values[grey])) < SMOOTHED:
        return 0
    return int(grey.sum())


#: So many different values between 0 and 255 are grey edges, and no numbers of defects.
SMOOTHED = 8


def empty_masks(root: Path, files: Sequence[str]) -> list[bool]:
    """Return whether each mask is empty, for data sets in which only the masks show which images are good.

    Each distinct file is decoded once, and the answer is kept by its sha256 under ``<cache>/masks``.

    Raises
    ------
    DataError
        A mask cannot be read.
    """
    where = cache_folder() / "masks" / "empty.json"
    try:
        kept: dict[str, bool] = dict(json.loads(where.read_bytes()))
    except (OSError, ValueError, TypeError):
        kept = {}
    hashes = file_hashes(root, files)
    unknown = {digest: file for digest, file in zip(hashes, files, strict=True) if digest not in kept}
    if unknown:
        kept |= {digest: not bool(mask_values(root / file).any()) for digest, file in unknown.items()}
        try:
            write_atomically(where, json.dumps(kept).encode(), durable=False)
        except AnobenchError as error:
            log.info("which masks are empty is not kept: %s", error)
    return [bool(kept[digest]) for digest in hashes]


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from an image's header.

    Raises
    ------
    DataError
        It cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from None
