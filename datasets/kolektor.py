"""KolektorSDD: 399 grey images of electrical commutators, 52 of them with a crack, with masks; one task.

Only the masks say which images are defective (the mask of a good one is black). Opening this data set for
the first time looks once into each mask with a content of its own; what was found is kept by content, and
later openings decode nothing. No image is ever decoded for that.

There is no official split for anomaly detection. Here 80 % of the 347 good images (rounded down) are for
training, the others and all defective ones for testing, in the proportion that others use too. Which
images, the sha256 of the name and of ``split`` decides. Published numbers compare only approximately.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from bench import (
    DataError,
    Download,
    InspectionSet,
    Listing,
    MissingData,
    NonNegativeInt,
    Sample,
    empty_masks,
    held_out,
    list_images,
)


class Kolektor(InspectionSet):
    title = "KolektorSDD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "D. Tabernik et al., Segmentation-based deep-learning approach for surface-defect detection, "
        "J. Intell. Manuf. 31:759-776, 2020"
    )
    home = "https://www.vicos.si/resources/kolektorsdd/"
    layout = "kolektor/kos<number>/{Part<number>.jpg, Part<number>_label.bmp}"
    folders = ("kolektor", "KolektorSDD")
    download = Download(
        url="https://go.vicos.si/kolektorsdd",
        sha256="65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
        folder="kolektor",
        gigabytes=0.5,
    )
    has_anomaly_pool = False
    categories = ("kolektor",)
    expected: ClassVar = {"kolektor": (277, 70, 52)}
    facts = (
        ("399 images, 52 of them with a crack", "as others state it", ""),
        ("277 train and 70 good test images, by a draw of our own", "the proportion of other papers", ""),
    )

    def __init__(self, split: NonNegativeInt = 0) -> None:
        self.split = split

    @cached_property
    def _pictures(self) -> list[str]:
        return [file for file in list_images(self.root, self.root) if file.endswith(".jpg")]

    def holds(self, root: Path, category: str) -> bool:
        del category  # there is one
        return any(root.glob("kos*/*.jpg"))

    def tasks(self) -> list[str]:
        if not self._pictures:
            raise MissingData(
                f"{self.root} holds no pictures; expected {self.layout}; get them from {self.home}"
            )
        return list(self.categories)

    def listing(self, category: str) -> Listing:
        masks = {file: file.removesuffix(".jpg") + "_label.bmp" for file in self._pictures}
        for file, mask in masks.items():
            if not (self.root / mask).is_file():
                raise DataError(
                    f"{self.root / file}: expected its mask {mask}, which is missing; "
                    "without it nobody knows whether the picture is good"
                )
        empty = dict(zip(masks, empty_masks(self.root, list(masks.values())), strict=True))
        good = [file for file in masks if empty[file]]
        bad = [Sample(file, "crack", (masks[file],)) for file in masks if not empty[file]]
        train, test = held_out(good, self.split)
        # Black masks decide what is good: they belong to the fingerprint too.
        black = tuple(masks[file] for file in good)
        samples = [*(Sample(file, "good") for file in test), *bad]
        return Listing(self.root, train, samples, more=black).checked(category)
