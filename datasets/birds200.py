"""CUB-200-2011: 11,788 photographs of 200 kinds of birds; one-vs-rest tasks of the first 20, as in PANDA.

The official split; the test set is the whole test split, of all 200 kinds, for every task.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from bench import DataError, OneVsRest, PositiveInt, Split, find_root


class Birds200(OneVsRest):
    title = "CUB-200-2011"
    licence = "for non-commercial research and education"
    citation = "C. Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001"
    home = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
    layout = (
        "CUB_200_2011/{images/<class>/*.jpg, images.txt, image_class_labels.txt, train_test_split.txt, "
        "classes.txt}"
    )
    expected: ClassVar = {"train": 5_994, "test": 5_794}
    has_anomaly_pool = True
    folder = "birds200"
    facts = (
        ("5,994 train and 5,794 test images of 200 kinds", "the set's own text files", "official list"),
        ("tasks of the first 20 kinds", "PANDA, appendix C", "paper"),
    )

    def __init__(
        self,
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
        first: PositiveInt = 20,
    ) -> None:
        self.protocol, self.first = protocol, first

    @cached_property
    def root(self) -> Path:
        names = ("CUB_200_2011", "birds200/CUB_200_2011", "birds200")
        return find_root(names, title=self.title, layout=self.layout, home=self.home, holds=("images.txt",))

    def _table(self, name: str) -> dict[str, str]:
        """Read one of the official text files: a number and a value a line."""
        path = self.root / name
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}); expected {self.layout}") from None
        found = {}
        for number, line in enumerate(lines, 1):
            key, _, value = line.strip().partition(" ")
            if not key.isdecimal() or not value:
                raise DataError(f"{path}, line {number}: expected a number and a value, found {line!r}")
            found[key] = value
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._table("classes.txt").values())

    def tasks(self) -> list[str]:
        return list(self.classes[: self.first])

    @cached_property
    def _splits(self) -> dict[str, Split]:
        images, split = self._table("images.txt"), self._table("train_test_split.txt")
        numbers = {key: i for i, key in enumerate(self._table("classes.txt"))}
        kinds = self._table("image_class_labels.txt")
        labels: dict[str, dict[str, int]] = {"train": {}, "test": {}}
        for key, file in images.items():
            if key not in split or kinds.get(key) not in numbers:
                raise DataError(
                    f"{self.root}: image {key} ({file}) has no split or no class in the text files"
                )
            labels["train" if split[key] == "1" else "test"][f"images/{file}"] = numbers[kinds[key]]
        return {name: Split.of_files(f"birds200/{name}", self.root, files) for name, files in labels.items()}
