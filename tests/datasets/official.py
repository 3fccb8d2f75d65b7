"""Small trees in the official layouts of the larger sets: JSON splits, tables of boxes, XML, masks beside."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .trees import picture, write_mask, write_mvtec, write_picture

Made = tuple[str, dict[str, Any], str]


def write_jpeg(path: Path, shade: int) -> None:
    """Write an even image, which JPEG keeps exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(path, quality=100)


def as_ad2(data: Path) -> Made:
    root = write_mvtec(data / "mvtec_ad_2" / "vial", bad=5)
    (root / "test").rename(root / "test_public")
    (root / "ground_truth").rename(root / "test_public" / "ground_truth")
    write_picture(root / "validation" / "good" / "000.png", picture(200))
    for private in ("test_private", "test_private_mixed"):
        write_picture(root / private / "000.png", picture(201))
    return "mvtec_ad2", {}, "vial"


def as_magnetic_tile(data: Path) -> Made:
    """Write 7 good images (5 to train on, 2 to test) and one of each defect."""
    root, shades = data / "magnetic_tile", iter(range(256))
    for kind, count in (("Free", 7), ("Blowhole", 1), ("Break", 1), ("Crack", 1), ("Fray", 1), ("Uneven", 1)):
        for shade in itertools.islice(shades, count):
            folder = root / f"MT_{kind}" / "Imgs"
            write_jpeg(folder / f"exp1_num_{shade}.jpg", shade)
            write_mask(folder / f"exp1_num_{shade}.png", value=0 if kind == "Free" else 255)
    return "magnetic_tile", {}, "magnetic_tile"


def as_kolektor(data: Path) -> Made:
    """Write 7 good images and 3 defective ones, eight to a part."""
    for i in range(10):
        folder = data / "kolektor" / f"kos{i // 8 + 1:02d}"
        write_jpeg(folder / f"Part{i % 8}.jpg", i)
        write_mask(folder / f"Part{i % 8}_label.bmp", value=255 if i >= 7 else 0)
    return "kolektor", {}, "kolektor"


def real_iad_row(root: Path, kind: str, sample: int, view: int, code: str, shade: int) -> dict[str, Any]:
    """Write one image (and its mask) and return its row; `kind` is the folder, ``OK`` or ``NG/<code>``."""
    stem = f"toy_{sample:04d}_{kind.replace('/', '_')}_C{view}_2023"
    name, mask = f"{kind}/S{sample:04d}/{stem}.jpg", f"{kind}/S{sample:04d}/{stem}.png"
    write_jpeg(root / "realiad_256" / "toy" / name, shade)
    if code != "OK":
        write_mask(root / "realiad_256" / "toy" / mask, at=view)
    return {
        "category": "toy",
        "anomaly_class": code,
        "image_path": name,
        "mask_path": None if code == "OK" else mask,
    }


def as_real_iad(data: Path) -> Made:
    """Write ten good objects and eight defective ones, two views each; the second view sees no defect.

    FUIAD's train splits have 10 objects: 1, 2 or 4 of them are defective at the rates 0.1, 0.2 and 0.4.
    """
    root, shades = data / "real_iad", iter(range(256))
    good = [[real_iad_row(root, "OK", i, view, "OK", next(shades)) for view in (1, 2)] for i in range(14)]
    bad = [
        [
            real_iad_row(root, f"NG/{code}", i, view, code if view == 1 else "OK", next(shades))
            for view in (1, 2)
        ]
        for i, code in enumerate(["AK", "BX", "CH", "HS", "PS", "QS", "YW", "ZW"])
    ]

    def write(
        folder: str, train: list[list[dict[str, Any]]], test: list[list[dict[str, Any]]], n: int = 2
    ) -> None:
        path = root / "realiad_jsons" / folder / "toy.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        split = {
            "meta": {"prefix": "toy/", "normal_class": "OK"},
            "train": [row for views in train for row in views[:n]],
            "test": [row for views in test for row in views[:n]],
        }
        path.write_text(json.dumps(split))

    write("realiad_jsons", good[:10], [*good[10:], *bad])
    write("realiad_jsons_sv", good[:10], [*good[10:], *bad], n=1)
    for rate, noisy in (("0.0", 0), ("0.1", 1), ("0.2", 2), ("0.4", 4)):
        write(f"realiad_jsons_fuiad_{rate}", [*good[: 10 - noisy], *bad[:noisy]], [*good[10:], *bad[4:]])
    return "real_iad", {"size": "256"}, "toy"


def framed(shade: int, box: tuple[int, int, int, int], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Return an image of noise with an even object of one shade at rows a:c and columns b:d."""
    pixels = np.random.default_rng(shade).integers(0, 256, (*size, 3), dtype=np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = shade
    return pixels


def as_spark(data: Path, *, boxes: str = "[{}, {}, {}, {}]", rgb: str = "_rgb") -> Made:
    """Write three train and two validation images of a class, and their depth, in the official folders."""
    root, shades = data / "spark", iter(range(256))
    for split, count in (("train", 3), ("validate", 2)):
        lines = ["image,depth,class,bbox"]
        for kind in ("AcrimSat", "Debris", "Terra"):
            for i in range(count):
                box = (5 + i, 10, 25 + i, 50)
                write_picture(root / f"{split}{rgb}" / kind / f"img{i:06d}.png", framed(next(shades), box))
                write_picture(root / f"{split}_depth" / kind / f"depth{i:06d}.png", framed(255, box))
                lines.append(f'img{i:06d}.png,depth{i:06d}.png,{kind},"{boxes.format(*box)}"')
        (root / f"{split}_labels.csv").write_text("\n".join(lines) + "\n")
    return "spark", {"size": 8}, "satellites"


DIOR_OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    "</object>"
)


def as_dior(data: Path) -> Made:
    """Write 5 train and 3 test photographs, each with a dam, an airport and a vehicle that is too small."""
    root, shade = data / "dior", 0
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number in range(1, 9):
        split = "train" if number < 4 else "val" if number < 6 else "test"
        lists[split].append(f"{number:05d}")
        # Even, and along JPEG's blocks of 8 pixels, so that JPEG keeps it.
        pixels = framed(10 * shade, (0, 0, 24, 24), (48, 64))
        pixels[24:48, 32:64] = 10 * shade + 10
        folder = root / ("JPEGImages-test" if split == "test" else "JPEGImages-trainval")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", quality=100, subsampling=0)
        xml = root / "Annotations" / "Horizontal Bounding Boxes" / f"{number:05d}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        objects = [("dam", 1, 1, 24, 24), ("airport", 33, 25, 64, 48), ("vehicle", 1, 1, 5, 5)]
        body = "".join(DIOR_OBJECT.format(*item) for item in objects)
        xml.write_text(f"<annotation><filename>{number:05d}.jpg</filename>{body}</annotation>")
        shade += 2
    for name, numbers in lists.items():
        path = root / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(numbers) + "\n")
    return "dior", {"larger_than": 10, "more_than": 3}, "dam"
