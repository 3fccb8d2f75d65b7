"""Cats vs dogs (ASIRRA, Kaggle): 25,000 photographs of different sizes; two one-vs-rest tasks.

As in PANDA: of each class the images number 0 to 9,999 are for training, the last 2,500 for testing.
Read are ``train/cat.0.jpg``, ``train/cats/cat.0.jpg`` and ``PetImages/Cat/0.jpg``; whether the numbers of
the last are those of the others is unconfirmed.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from bench import DataError, OneVsRest, Split, find_root, list_images

N_TRAIN = 10_000
NAMED = re.compile(
    r"(?:train/)+(?:(?:cats?|dogs?)/)?(cat|dog)\.(\d+)\.jpe?g|(?:PetImages/)?(Cat|Dog)/(\d+)\.jpe?g",
    re.IGNORECASE,
)


class CatsVsDogs(OneVsRest):
    title = "Cats vs dogs"
    licence = "for research; terms of the Kaggle competition"
    citation = (
        "J. Elson et al., Asirra: a CAPTCHA that exploits interest-aligned manual image categorization, "
        "CCS 2007"
    )
    home = "https://www.kaggle.com/c/dogs-vs-cats"
    layout = "cats_vs_dogs/train/{cat,dog}.<number>.jpg"
    classes = ("cat", "dog")
    expected: ClassVar = {"train": 20_000, "test": 5_000}
    has_anomaly_pool = True
    folder = "cats_vs_dogs"
    facts = (
        (
            "12,500 images a class; 10,000 for training, the last 2,500 for testing",
            "PANDA, appendix C",
            "paper",
        ),
        ("the numbers in PetImages are those of Kaggle's train folder", "", ""),
    )

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol

    @cached_property
    def root(self) -> Path:
        names = ("cats_vs_dogs", "dogs-vs-cats", "PetImages", "kagglecatsanddogs_5340")
        holds = ("train/*", "PetImages/Cat", "Cat")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=holds)

    @cached_property
    def _splits(self) -> dict[str, Split]:
        labels: dict[str, dict[str, int]] = {"train": {}, "test": {}}
        folders = ("train", "PetImages/Cat", "PetImages/Dog", "Cat", "Dog")
        for file in [file for each in folders for file in list_images(self.root / each, self.root)]:
            named = NAMED.fullmatch(file)
            if not named:
                raise DataError(
                    f"{self.root / file}: expected pictures named cat.<number>.jpg or dog.<number>.jpg"
                )
            kind, number = (named[1], named[2]) if named[1] else (named[3], named[4])
            labels["train" if int(number) < N_TRAIN else "test"][file] = self.classes.index(kind.lower())
        if not labels["train"] or not labels["test"]:
            raise DataError(
                f"{self.root}: expected {self.layout} with numbers below and from {N_TRAIN:,}, "
                f"found {len(labels['train'])} and {len(labels['test'])} pictures"
            )
        return {
            name: Split.of_files(f"cats_vs_dogs/{name}", self.root, files) for name, files in labels.items()
        }
