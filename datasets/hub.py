"""Any image classification set of the Hugging Face hub, or parquet files in its layout: ``hub[name=...]``.

``hub[name=owner/name, image=image, label=label]`` gives one-vs-rest tasks, one a class. With
``normal=cat`` (or ``normal=cat|dog``) there is one task: these classes are normal, all others anomalous.
The label column holds whole numbers, which the hub's metadata may name, or names.
A copy is looked for as ``owner/name`` and ``name`` under the folders of ANOBENCH_DATA, in hub layout
(``[<config>/]train-*.parquet``); else the hub is asked. ``name`` may also be such a folder itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench import (
    Copy,
    DataError,
    Hub,
    MissingData,
    OneVsRest,
    Parquet,
    ParquetTable,
    Task,
    class_name,
    did_you_mean,
    find_copy,
)


class HubSet(OneVsRest):
    title = "A data set of the Hugging Face hub"
    licence = "see its page on the hub"
    citation = "see its page on the hub"
    home = "https://huggingface.co/datasets"
    layout = "<owner>/<name>/[<config>/]{train,test}-*.parquet"
    has_anomaly_pool = True

    def __init__(
        self,
        name: str,
        image: str = "image",
        label: str = "label",
        normal: str = "",
        config: str = "",
        train: str = "train",
        test: str = "test",
        protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest",
    ) -> None:
        self.name, self.image, self.label, self.config = name, image, label, config
        self.normal = tuple(part.strip() for part in normal.split("|") if part.strip())
        self.names = (("train", train), ("test", test))
        self.protocol = protocol
        self.folder = name
        own = Path(name).expanduser()
        self.own = own if own.is_absolute() or name.startswith(".") else None
        if self.own is None:
            self.home = f"https://huggingface.co/datasets/{name}"
            self.layouts = tuple(
                self._layout(folder) for folder in dict.fromkeys((name, name.split("/")[-1]))
            )
            self.hub = Hub(name, image, label, config or None, self.names)

    def _layout(self, folder: str) -> Parquet:
        config = self.config or "*"
        return Parquet(folder, image=self.image, label=self.label, config=config, splits=self.names)

    @cached_property
    def copy(self) -> Copy:
        if self.own is None:
            return find_copy(self.name, self.layouts, self.hub)
        layout = self._layout(self.own.name)
        found = layout.find(self.own.resolve().parent) if self.own.is_dir() else None
        if not found:
            raise MissingData(f"hub[name={self.name}]: no parquet files there; expected {layout.shape}")
        return Copy(layout, *found)

    def place(self) -> Path | None:
        return self.copy.root if self.own is not None else super().place()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names as the labels or the hub's metadata give them, else the labels' numbers."""
        tables = {
            split: ParquetTable(
                self.name, [self.copy.root / file for file in files], image=self.image, label=self.label
            )
            for split, files in self.copy.files.items()
        }
        if texts := sorted(set().union(*(table.texts() for table in tables.values()))):
            names: Sequence[str] = texts
        else:
            self.copy.split_files("train")
            train = tables["train"]
            names = train.class_names() or [str(label) for label in range(int(train.labels().max()) + 1)]
        called = tuple(class_name(name) for name in names)
        if len(set(called)) < len(called):
            raise DataError(
                f"hub[name={self.name}]: two classes would have one name among {', '.join(names)}"
            )
        return called

    def tasks(self) -> list[str]:
        for name in self.normal:
            if name not in self.classes:
                raise DataError(
                    f"hub[name={self.name}] has no class {name!r}{did_you_mean(name, self.classes)}"
                )
        return ["+".join(self.normal)] if self.normal else list(self.classes)

    def task(self, name: str) -> Task:
        if not self.normal:
            return super().task(name)
        self._known(name, self.tasks())
        return self.task_of(name, self.normal)
