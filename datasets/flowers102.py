"""Oxford Flowers-102: 8,189 photographs of 102 kinds of flowers; one-vs-rest tasks of the first 20.

As in PANDA: train is the official train split (10 images a kind), test the official validation and test
splits together (7,169 images). Kinds are named by their official number, ``001`` to ``102``.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench import DataError, OneVsRest, PositiveInt, Split, find_root, read_mat


class Flowers102(OneVsRest):
    title = "Oxford Flowers-102"
    licence = "not stated by the authors; for research"
    citation = (
        "M.-E. Nilsback and A. Zisserman, Automated Flower Classification over a Large Number of Classes, "
        "ICVGIP 2008"
    )
    home = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    layout = "flowers102/{jpg/image_<number>.jpg, imagelabels.mat, setid.mat}"
    expected: ClassVar = {"train": 1_020, "test": 7_169}
    torchvision = "Flowers102"
    has_anomaly_pool = True
    folder = "flowers102"
    facts = (
        ("1,020 train and 7,169 test images of 102 kinds", "setid.mat and imagelabels.mat", "official list"),
        ("tasks of the first 20 kinds; test is validation and test", "PANDA, appendix C", "paper"),
    )

    def __init__(
        self,
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
        first: PositiveInt = 20,
    ) -> None:
        self.protocol, self.first = protocol, first
        self.classes = tuple(f"{number:03d}" for number in range(1, 103))

    @cached_property
    def root(self) -> Path:
        names = ("flowers102", "flowers-102", "oxford-flowers-102")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=("setid.mat",))

    def tasks(self) -> list[str]:
        return list(self.classes[: self.first])

    def _numbers(self, file: str, name: str) -> NDArray[np.int64]:
        return read_mat(self.root / file, name).ravel().astype(np.int64)

    @cached_property
    def _splits(self) -> dict[str, Split]:
        kinds = self._numbers("imagelabels.mat", "labels")
        found = {}
        for name, parts in (("train", ("trnid",)), ("test", ("valid", "tstid"))):
            numbers = np.concatenate([self._numbers("setid.mat", part) for part in parts])
            if numbers.size and not 1 <= numbers.min() <= numbers.max() <= len(kinds):
                raise DataError(
                    f"{self.root / 'setid.mat'}: image {numbers.max()} has no label in imagelabels.mat"
                )
            files = {f"jpg/image_{number:05d}.jpg": int(kinds[number - 1]) - 1 for number in numbers}
            found[name] = Split.of_files(f"flowers102/{name}", self.root, files)
        return found
