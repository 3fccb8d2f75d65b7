"""Small images and files in official layouts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(shade: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Return an image that its shade identifies, shape (h, w, 3)."""
    pixels = np.full((*size, 3), shade, np.uint8)
    pixels[0, 0] = (shade, 255 - shade, 7)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_parquet(
    path: Path, pictures: Sequence[bytes | None], labels: Sequence[int | None], **columns: Any
) -> Path:
    """Write a file in hub layout; `columns` may rename ``image`` and ``label``, or set ``row_group_size``."""
    image = pa.array(
        [
            {"bytes": content, "path": f"class_{label}.png"}
            for content, label in zip(pictures, labels, strict=True)
        ],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    names = [columns.pop("image", "image"), columns.pop("label", "label")]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table([image, pa.array(labels, pa.int64())], names=names), path, **columns)
    return path


def write_mask(path: Path, size: tuple[int, int] = (8, 8), value: int = 255, at: int = 2) -> Path:
    """Write a mask with one column of defect."""
    pixels = np.zeros(size, np.uint8)
    pixels[:, at] = value
    return write_picture(path, pixels)


def write_mvtec(root: Path, *, train: int = 5, good: int = 3, suffix: str = "_mask", **defects: int) -> Path:
    """Write one category in MVTec AD's layout; the shade of an image is unique in its category."""
    defects = defects or {"hole": 2, "scratch": 3}
    shades = iter(range(256))
    for i in range(train):
        write_picture(root / "train" / "good" / f"{i:03d}.png", picture(next(shades)))
    for kind, count in {"good": good, **defects}.items():
        for i in range(count):
            write_picture(root / "test" / kind / f"{i:03d}.png", picture(next(shades)))
            if kind != "good":
                write_mask(root / "ground_truth" / kind / f"{i:03d}{suffix}.png", at=i % 8)
    return root
