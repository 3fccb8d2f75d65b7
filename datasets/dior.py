"""DIOR: objects cut out of aerial photographs by their boxes; one-vs-rest tasks of up to 20 classes.

As in PANDA (appendix C): crops larger than 120 × 120 pixels, of the classes that have more than 50 such
crops; there 19 classes with 649 train images on average and 9,243 test images. These numbers follow from
``xmax - xmin > 120`` (and so for y) with the official train and validation photographs for training and
the test photographs for testing. ``larger_than`` and ``more_than`` are the two limits; classes are chosen by
their train crops.

Boxes are horizontal (``Annotations/Horizontal Bounding Boxes``), first and last pixel both inside, numbered
from 1 as in Pascal VOC: that numbering is our reading; it shifts a crop by one pixel at most. The photographs
were not at hand when this adapter was held against the official XML files.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

import numpy as np

from bench import Crop, CropSource, DataError, NonNegativeInt, OneVsRest, Split, find_root, neutral_crops

#: PANDA's numbers: classes, train crops a class, test crops.
CROPS = (19, 649, 9_243)
LISTS = {"train": ("train", "val"), "test": ("test",)}
PICTURES = {"train": "JPEGImages-trainval", "test": "JPEGImages-test"}
BOXES = "Annotations/Horizontal Bounding Boxes"


class Dior(OneVsRest):
    title = "DIOR"
    licence = "not stated by the authors; for research"
    citation = (
        "K. Li et al., Object Detection in Optical Remote Sensing Images: A Survey and A New Benchmark, "
        "ISPRS J. 159:296-307, 2020"
    )
    home = "https://gcheng-nwpu.github.io/#Datasets"
    layout = (
        "dior/{JPEGImages-trainval, JPEGImages-test, Annotations/Horizontal Bounding Boxes/<id>.xml, "
        "ImageSets/Main/{train,val,test}.txt}"
    )
    expected: ClassVar = {"train": 11_725, "test": 11_738}
    counted = "photographs"
    has_anomaly_pool = True
    folder = "dior"
    facts = (
        (
            "5,862 train, 5,863 validation and 11,738 test photographs",
            "ImageSets and the XML files",
            "official XML files",
        ),
        (
            "19 classes, 649 train crops each, 9,243 test crops: xmax - xmin > 120",
            "PANDA; the XML files",
            "official XML files",
        ),
        ("pixels are numbered from 1", "our reading of Pascal VOC", ""),
    )

    def __init__(
        self,
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
        larger_than: NonNegativeInt = 120,
        more_than: NonNegativeInt = 50,
    ) -> None:
        self.protocol, self.larger_than, self.more_than = protocol, larger_than, more_than

    @cached_property
    def root(self) -> Path:
        holds = ("Annotations", "ImageSets", "Main", "JPEGImages-trainval")
        names = ("dior", "DIOR", "DIOR-R")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=holds)

    @cached_property
    def _photographs(self) -> dict[str, list[str]]:
        return {
            split: [number for name in names for number in self._list(name)] for split, names in LISTS.items()
        }

    def _list(self, name: str) -> list[str]:
        folders = ("ImageSets/Main", "Main", "ImageSets", "ImageSets/ImageSets/Main")
        places = [self.root / folder / f"{name}.txt" for folder in folders]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise DataError(f"{places[0]}: this split file is missing; expected {self.layout}")
        try:
            return path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}); get it again") from None

    @cached_property
    def _crops(self) -> dict[str, dict[Crop, str]]:
        """Class of each large crop by split."""
        found: dict[str, dict[Crop, str]] = {}
        for split, numbers in self._photographs.items():
            found[split] = {}
            # An archive's folder may lie in a folder of its name.
            inside = PICTURES[split] if (self.root / PICTURES[split] / PICTURES[split]).is_dir() else "."
            for number in numbers:
                file = (PurePosixPath(PICTURES[split]) / inside / f"{number}.jpg").as_posix()
                boxes = self._boxes(number, file)
                if boxes and not (self.root / file).is_file():
                    raise DataError(f"{self.root / file} does not exist; unpack {PICTURES[split]} again")
                found[split].update(boxes)
        return found

    def _boxes(self, number: str, file: str) -> dict[Crop, str]:
        nested = self.root / "Annotations" / BOXES
        path = (nested if nested.is_dir() else self.root / BOXES) / f"{number}.xml"
        found = {}
        try:
            content = path.read_bytes()
            if b"<!" in content.replace(b"<!--", b""):
                raise ValueError("a document type or an entity")
            for item in ET.fromstring(content).iter("object"):
                left, top, right, bottom = (
                    int(float(item.findtext(f"bndbox/{side}", "")))
                    for side in ("xmin", "ymin", "xmax", "ymax")
                )
                if min(bottom - top, right - left) > self.larger_than:
                    found[Crop(file, max(top - 1, 0), max(left - 1, 0), bottom, right)] = item.findtext(
                        "name", ""
                    )
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; expected {self.layout}") from None
        except (OSError, ValueError, ET.ParseError) as error:
            raise DataError(
                f"{path}: expected objects with a name and a bndbox of four numbers, found something else "
                f"({error}); get it again"
            ) from None
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        counts = Counter(self._crops["train"].values())
        kept = tuple(sorted(kind for kind, count in counts.items() if count > self.more_than))
        if not kept:
            raise DataError(
                f"{self.root}: no class has more than {self.more_than} train crops larger than "
                f"{self.larger_than} pixels; the copy is incomplete, or set more_than lower"
            )
        return kept

    @cached_property
    def _splits(self) -> dict[str, Split]:
        numbers = {kind: i for i, kind in enumerate(self.classes)}
        found = {}
        for split, kinds in self._crops.items():
            crops = neutral_crops(crop for crop, kind in kinds.items() if kind in numbers)
            source = CropSource(f"dior/{split}", self.root, crops)
            found[split] = Split(source, np.array([numbers[kinds[crop]] for crop in crops], np.int64))
        return found

    def differences(self) -> list[str]:
        notes = [
            f"dior: {len(self._photographs[name]):,} {name} photographs, officially {n:,} (a slice?)"
            for name, n in self.expected.items()
            if len(self._photographs[name]) != n
        ]
        if not notes and (self.larger_than, self.more_than) == (120, 50):
            n = len(self.classes)
            found = (n, len(self.split("train").labels) // n, len(self.split("test").labels))
            if found != CROPS:
                counts = "{} classes with {} train crops each and {:,} test crops"
                notes.append(f"dior: {counts.format(*found)}, in PANDA {counts.format(*CROPS)}")
        return notes
