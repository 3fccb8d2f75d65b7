"""WBC: 300 microscope images of white blood cells; one-vs-rest tasks of the four larger classes.

Most images have 120 × 120 pixels, the smallest 88 × 88.

As in PANDA (appendix C): Dataset 1, the classes with more than one image, 80 % of each class (rounded down)
for training and the rest for testing: 237 and 62 images. Which ones is not known there; here the sha256 of
the image's number and of ``split`` decides. 112 and 139 are one image: both are on one side, for training if
the draw would part them. Numbers compare with published ones only approximately.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from bench import DataError, NonNegativeInt, OneVsRest, Split, find_root, held_out, read_rows

TABLE = "Class Labels of Dataset 1.csv"
#: One image under two numbers.
SAME = ("Dataset 1/112.bmp", "Dataset 1/139.bmp")


class WBC(OneVsRest):
    title = "White blood cells (Zheng 2018, Dataset 1)"
    licence = "GPL-3 (as the authors' repository states)"
    citation = (
        "X. Zheng et al., Fast and Robust Segmentation of White Blood Cell Images by Self-supervised "
        "Learning, Micron 107:55-71, 2018"
    )
    home = "https://github.com/zxaoyou/segmentation_WBC"
    layout = "wbc/{Dataset 1/<id>.bmp, Class Labels of Dataset 1.csv}"
    classes = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")
    expected: ClassVar = {"train": 237, "test": 62}
    has_anomaly_pool = True
    folder = "wbc"
    facts = (
        (
            "300 images of five classes, one of which has one image",
            "the authors' repository",
            "official images",
        ),
        ("112.bmp and 139.bmp are one image", "the images", "official images"),
        ("237 train and 62 test images; the draw is ours", "PANDA, appendix C", "paper"),
    )

    def __init__(
        self,
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
        split: NonNegativeInt = 0,
    ) -> None:
        self.protocol, self.draw = protocol, split

    @cached_property
    def root(self) -> Path:
        names = ("wbc", "segmentation_WBC", "segmentation_WBC-master")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=(TABLE,))

    @cached_property
    def _splits(self) -> dict[str, Split]:
        """Both splits: the first four fifths of each class, in an order of hashes, are for training."""
        by_class: dict[int, list[str]] = {number: [] for number in range(len(self.classes))}
        for row in read_rows(self.root / TABLE, ("image ID", "class label")):
            try:
                file, number = f"Dataset 1/{int(row['image ID']):03d}.bmp", int(row["class label"]) - 1
            except ValueError:
                raise DataError(
                    f"{self.root / TABLE}, line {row['#']}: expected two numbers, found {row}"
                ) from None
            if not (self.root / file).is_file():
                raise DataError(f"{self.root / TABLE}, line {row['#']}: {self.root / file} does not exist")
            if number in by_class:
                by_class[number].append(file)
        labels: dict[str, dict[str, int]] = {"train": {}, "test": {}}
        for number, files in by_class.items():
            for name, part in zip(labels, _together(*held_out(files, self.draw)), strict=True):
                labels[name].update(dict.fromkeys(part, number))
        return {name: Split.of_files(f"wbc/{name}", self.root, numbers) for name, numbers in labels.items()}


def _together(train: list[str], test: list[str]) -> tuple[list[str], list[str]]:
    """Return the parts with `SAME` on one side; the last other train image changes places for it."""
    parted = [file for file in test if file in SAME]
    if len(parted) != 1 or not set(SAME) & set(train):
        return train, test
    leaving = next(file for file in reversed(train) if file not in SAME)
    train = [parted[0] if file == leaving else file for file in train]
    return train, [leaving if file == parted[0] else file for file in test]
