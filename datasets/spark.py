"""SPARK 2021: synthetic images of ten satellites and of space debris; satellites are normal, debris is not.

One task, as in PLUME: train on the satellites of the train split, test on the whole validation split. Each
object is cut out by its box (four numbers a, b, c, d: rows a to c, columns b to d), resized to 512 and then
to 32 pixels (``size``; 0 keeps the crop). The train split's debris is the anomaly pool: contamination
draws from it.

The data is given on request; this adapter was not tried on it. Folders, tables and the order of a box,
``[R_min, C_min, R_max, C_max]``, are those of the readme that the authors gave out for the challenge of 2021;
names are read tolerantly all the same (see `FOLDERS`, `TABLES`, `COLUMNS`), since the readme does not
name the images' column. The depth images are not used. Expected counts (150,000 images, 60 % for
training and 20 % for validation) follow from the public description. That the resizing is bilinear is our
reading.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench import (
    Crop,
    CropSource,
    DataError,
    NonNegativeInt,
    OneVsRest,
    Split,
    Task,
    find_root,
    neutral_crops,
    read_rows,
)

#: Accepted names of the table and of the folder of each split.
TABLES = {
    "train": ("train_labels.csv", "labels/train_labels.csv", "train.csv"),
    "test": (
        *("validate_labels.csv", "labels/validate_labels.csv", "validate.csv"),
        *("validation_labels.csv", "labels/validation_labels.csv", "validation.csv", "val.csv"),
    ),
}
FOLDERS = {"train": ("train_rgb", "train"), "test": ("validate_rgb", "validate", "validation", "val")}
COLUMNS = {
    "image": ("image", "Image name", "image_name", "filename"),
    "class": ("class", "Class"),
    "bbox": ("bbox", "Bounding box", "bounding_box"),
}
DEBRIS = "debris"


class Spark(OneVsRest):
    title = "SPARK 2021"
    licence = "on request to the authors, for research"
    citation = (
        "M. A. Musallam et al., SPARK: SPAcecraft Recognition leveraging Knowledge of Space Environment, "
        "arXiv:2104.05978, 2021"
    )
    home = "https://cvi2.uni.lu/?p=2127"
    layout = "spark/{train_labels.csv, validate_labels.csv, {train_rgb,validate_rgb}/<class>/<image>}"
    expected: ClassVar = {"train": 90_000, "test": 30_000}
    has_anomaly_pool = True
    folder = "spark"

    def __init__(self, size: NonNegativeInt = 32) -> None:
        self.size = size

    @cached_property
    def root(self) -> Path:
        names = ("spark", "SPARK", "spark-2021")
        return find_root(names, title=self.title, layout=self.layout, home=self.home)

    @cached_property
    def _crops(self) -> dict[str, dict[Crop, str]]:
        """Class of each crop by split."""
        return {split: self._read(split) for split in TABLES}

    def _read(self, split: str) -> dict[Crop, str]:
        table = next((name for name in TABLES[split] if (self.root / name).is_file()), None)
        if table is None:
            raise DataError(
                f"{self.root}: expected the table {TABLES[split][0]} of the {split} split, which is missing; "
                f"expected {self.layout}"
            )
        path = self.root / table
        rows = read_rows(path, ())
        names = {key: next((n for n in known if n in rows[0]), "") for key, known in COLUMNS.items()}
        for key, name in names.items():
            if not name:
                found = ", ".join(name for name in rows[0] if name != "#")
                raise DataError(
                    f"{path}: expected a column {' or '.join(COLUMNS[key])}, found the columns {found}"
                )
        crops: dict[Crop, str] = {}
        for row in rows:
            where = f"{path}, line {row['#']}"
            file = self._picture(split, row[names["class"]], row[names["image"]], where)
            crops[Crop(file, *_box(row[names["bbox"]], where)).checked(where)] = row[names["class"]]
        return crops

    def _picture(self, split: str, kind: str, image: str, where: str) -> str:
        for folder in FOLDERS[split]:
            for file in (f"{folder}/{kind}/{image}", f"{folder}/{image}", f"{folder}/images/{image}"):
                if image and (self.root / file).is_file():
                    return file
        wanted = f"{FOLDERS[split][0]}/{kind}/{image}"
        raise DataError(f"{where}: {self.root / wanted} does not exist; unpack the pictures again")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        found = {kind for crops in self._crops.values() for kind in crops.values()}
        if not any(kind.lower() == DEBRIS for kind in found):
            raise DataError(f"{self.root}: expected a class Debris, found {', '.join(sorted(found))}")
        return tuple(sorted(found))

    def tasks(self) -> list[str]:
        return ["satellites"] if self.root else []

    def task(self, name: str) -> Task:
        self._known(name, ("satellites",))
        return self.task_of(name, [kind for kind in self.classes if kind.lower() != DEBRIS])

    @cached_property
    def _splits(self) -> dict[str, Split]:
        sizes = (512, self.size) if self.size else ()
        numbers = {kind: i for i, kind in enumerate(self.classes)}
        found = {}
        for split, kinds in self._crops.items():
            crops = neutral_crops(kinds)
            source = CropSource(f"spark/{split}", self.root, crops, sizes=sizes)
            found[split] = Split(source, np.array([numbers[kinds[crop]] for crop in crops], np.int64))
        return found


def _box(text: str, where: str) -> tuple[int, int, int, int]:
    """Read ``[a, b, c, d]`` (or in round brackets, or bare) as top, left, bottom, right."""
    numbers = re.fullmatch(r"[\[(]?\s*" + r"[,\s]\s*".join([r"(\d+)"] * 4) + r"\s*[\])]?", text.strip())
    if not numbers:
        raise DataError(
            f"{where}: expected a box of four whole numbers such as [10, 20, 110, 140], found {text!r}"
        )
    top, left, bottom, right = (int(number) for number in numbers.groups())
    return top, left, bottom, right
