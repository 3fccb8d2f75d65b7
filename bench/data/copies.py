"""Copies: finds the copy of an image classification set among the data folders, else asks the hub for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import DataError
from bench.core.files import data_folders
from bench.data.layouts import Files, Layout, Parquet


class MissingData(DataError):
    """There is no copy of a data set at all; the message says what is expected and where to get it."""


@dataclass(frozen=True)
class Hub:
    """Where the Hugging Face hub has a data set: repository, columns, configuration.

    Attributes
    ----------
    conditions : bool
        True if the licence sets conditions that a user must accept first: it is not downloaded by itself.
    """

    repository: str
    image: str = "image"
    label: str = "label"
    config: str | None = None
    splits: tuple[tuple[str, str], ...] = (("train", "train"), ("test", "test"))
    conditions: bool = False


@dataclass(frozen=True)
class Copy:
    """A copy that was found: which layout, where, which files hold which split."""

    layout: Layout
    root: Path
    files: Files

    def split_files(self, split: str) -> Sequence[str]:
        """Return the files of a split.

        Raises
        ------
        DataError
            The copy has no such split.
        """
        if not self.files.get(split):
            raise DataError(
                f"{self.root} has no {split} split; expected {self.layout.shape}, "
                f"found only {', '.join(self.files)}: get the {split} split too"
            )
        return self.files[split]


def find_copy(dataset: str, layouts: Sequence[Layout], hub: Hub | None, *, may_download: bool = True) -> Copy:
    """Return the first copy among the folders of ``ANOBENCH_DATA``, else the hub's.

    Raises
    ------
    MissingData
        There is no copy and the hub does not give one, or may not be asked for one that is not here yet. The
        message says where was looked, what is accepted and how to get it.
    DataError
        A folder of the data set's name is there but holds none of the layouts.
    """
    folders = data_folders()
    for folder in folders:
        for layout in layouts:
            if found := layout.find(folder):
                return Copy(layout, *found)
    for folder in folders:
        if (own := folder / dataset).is_dir():
            names = sorted(path.name for path in own.iterdir())
            holds = (
                f"holds only {', '.join(names[:6])}{', …' if len(names) > 6 else ''}" if names else "is empty"
            )
            raise DataError(f"{dataset}: {own} {holds}; {_accepted(layouts)}. {_how_to_get(hub)}")
    where = f"in {', '.join(map(str, folders))}" if folders else "(ANOBENCH_DATA is not set)"
    missing = f"{dataset}: there is no local copy {where}; {_accepted(layouts)}"
    if hub is None:
        raise MissingData(f"{missing}. {_how_to_get(hub)}")
    from bench.data.hub import cached, download

    root = cached(hub.repository, hub.config)
    if root is None and not may_download:
        raise MissingData(f"{missing}. {_how_to_get(hub)}")
    try:
        root = root or download(hub.repository, hub.config)
    except DataError as error:
        raise MissingData(f"{missing}; and {error}") from error
    layout = Parquet(root.name, image=hub.image, label=hub.label, config="", splits=hub.splits)
    found = layout.find(root.parent)
    if not found:
        raise DataError(f"{root}: the hub's copy of {hub.repository} has no train or test split")
    return Copy(layout, *found)


def find_root(names: Sequence[str], *, title: str, layout: str, home: str) -> Path:
    """Return a data set's folder under a folder of ``ANOBENCH_DATA``: the first of `names` that is there.

    Raises
    ------
    MissingData
        There is none; the message says where was looked, what is expected and where to get it.
    """
    searched = data_folders()
    for folder in searched:
        for name in names:
            if (folder / name).is_dir():
                return folder / name
    where = f"in {', '.join(map(str, searched))}" if searched else "(ANOBENCH_DATA is not set)"
    raise MissingData(
        f"{title}: no folder {' or '.join(names)} {where}; expected {layout} "
        f"under a folder of ANOBENCH_DATA; get it from {home}"
    )


def _accepted(layouts: Sequence[Layout]) -> str:
    return f"accepted under a folder of ANOBENCH_DATA: {' or '.join(layout.shape for layout in layouts)}"


def _how_to_get(hub: Hub | None) -> str:
    if hub is None:
        return "See the data set's home page for how to get it"
    by_itself = (
        "its licence sets conditions: if you accept them, anobench data get ... --accept-licence"
        if hub.conditions
        else "without a local folder of that name anobench downloads it by itself"
    )
    by_hand = f"hf download {hub.repository} --repo-type dataset --local-dir <folder>/<name>"
    return f"To get it: {by_hand}; {by_itself}"
