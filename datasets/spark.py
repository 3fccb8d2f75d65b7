"""SPARK 2021: synthetic images of ten satellites and of space debris; satellites are normal, debris is not.

One task, as in PLUME: train on the satellites of the train split, test on the whole validation split. Each
object is cut out by its box (four numbers a, b, c, d: rows a to c, columns b to d), resized to 512 and then
to 32 pixels (``size``; 0 keeps the crop). The train split's debris is the anomaly pool: contamination
draws from it.

The data is given on request; this adapter was not tried on it. Its tables have the columns ``image``,
``class``, ``bbox`` (rows first: ``[R_min, C_min, R_max, C_max]``) and ``depth``, and eleven classes. Other
tables, such as those of SPARK 2022, are refused. The depth images are not used. That the resizing is bilinear
is our reading.
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
    "train": ("train_labels.csv", "train labels.csv", "train.csv"),
    "test": (
        *("validate_labels.csv", "validate labels.csv", "validate.csv"),
        *("validation_labels.csv", "validation labels.csv", "validation.csv", "val.csv"),
    ),
}
FOLDERS = {"train": ("train_rgb", "train"), "test": ("validate_rgb", "validate", "validation", "val")}
COLUMNS = ("image", "class", "bbox")
OBJECTS = (
    *("AcrimSat", "Aquarius", "Aura", "Calipso", "Cloudsat", "CubeSat", "Debris", "Jason", "Sentinel-6"),
    *("Terra", "TRMM"),
)
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
    facts = (
        (
            "90,000 train and 30,000 validation images of ten satellites and debris",
            "the public description",
            "",
        ),
        (
            "columns image, class, bbox (rows first), depth; eleven classes",
            "the challenge of 2021",
            "",
        ),
        (
            "one-class protocol: 90 times 1,000 train images without debris, 30 times 1,000 for validation",
            "a public loader",
            "its code",
        ),
        ("crop by the box, resize to 512 and then 32", "PLUME's code", "its code"),
        ("the resizing is bilinear", "our reading", ""),
    )

    def __init__(self, size: NonNegativeInt = 32) -> None:
        self.size = size

    @cached_property
    def root(self) -> Path:
        names = ("spark", "SPARK", "spark-2021")
        holds = ("*.csv", "labels/*.csv")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=holds)

    @cached_property
    def _crops(self) -> dict[str, dict[Crop, str]]:
        """Class of each crop by split."""
        return {split: self._read(split) for split in TABLES}

    def _read(self, split: str) -> dict[Crop, str]:
        tables = (f"{folder}{name}" for name in TABLES[split] for folder in ("", "labels/"))
        table = next((name for name in tables if (self.root / name).is_file()), None)
        if table is None:
            raise DataError(
                f"{self.root}: expected the table {TABLES[split][0]} of the {split} split, which is missing; "
                f"expected {self.layout}"
            )
        path = self.root / table
        rows = read_rows(path, ())
        for name in COLUMNS:
            if name not in rows[0]:
                found = ", ".join(name for name in rows[0] if name != "#")
                raise DataError(
                    f"{path}: expected a column {name}, found the columns {found}; the tables of SPARK 2021 "
                    "have image, class, bbox and depth (SPARK 2022 is another data set)"
                )
        crops: dict[Crop, str] = {}
        for row in rows:
            where = f"{path}, line {row['#']}"
            if _plain(row["class"]) not in map(_plain, OBJECTS):
                raise DataError(
                    f"{where}: {row['class']!r} is no class of SPARK 2021 ({', '.join(OBJECTS)}); "
                    "SPARK 2022 is another data set"
                )
            file = self._picture(split, row["class"], row["image"], where)
            crop = Crop(file, *_box(row["bbox"], where)).checked(where)
            if crops.setdefault(crop, row["class"]) != row["class"]:
                raise DataError(f"{where}: this box is labelled {crops[crop]} in a line before")
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


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _box(text: str, where: str) -> tuple[int, int, int, int]:
    """Read ``[a, b, c, d]`` (or in round brackets, or bare) as top, left, bottom, right."""
    numbers = re.fullmatch(r"[\[(]?\s*" + r"[,\s]\s*".join([r"(\d+)"] * 4) + r"\s*[\])]?", text.strip())
    if not numbers:
        raise DataError(
            f"{where}: expected a box of four whole numbers such as [10, 20, 110, 140], found {text!r}"
        )
    top, left, bottom, right = (int(number) for number in numbers.groups())
    return top, left, bottom, right
