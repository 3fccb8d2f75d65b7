"""Copies: finds the copy of an image classification set among the data folders, else asks the hub for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import DataError
from bench.core.files import data_folders
from bench.data.layouts import Files, Layout, Parquet, spelled
from bench.data.walk import is_leftover, subfolders


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
    """Return the first whole copy among the folders of ``ANOBENCH_DATA``, else the hub's.

    Raises
    ------
    MissingData
        There is no copy and the hub does not give one, or may not be asked for one that is not here yet. The
        message says where was looked, what is accepted and how to get it.
    DataError
        A folder of the data set's name is there but holds none of the layouts.
    """
    folders = data_folders()
    if copy := _local_copy(folders, layouts):
        return copy
    for folder in folders:
        for own in spelled(folder, [dataset]):
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


def _local_copy(folders: Sequence[Path], layouts: Sequence[Layout]) -> Copy | None:
    """Return the first copy that has both splits, else the first with one of them."""
    partial: list[Copy] = []
    problems: list[DataError] = []
    for folder in folders:
        for layout in layouts:
            try:
                found = layout.find(folder)
            except DataError as error:  # another copy may be whole
                problems.append(error)
                continue
            if found:
                copy = Copy(layout, *found)
                if {"train", "test"} <= set(copy.files):
                    return copy
                partial.append(copy)
    if problems:
        raise problems[0]
    return partial[0] if partial else None


def find_root(names: Sequence[str], *, title: str, layout: str, home: str, holds: Sequence[str] = ()) -> Path:
    """Return a data set's folder under a folder of ``ANOBENCH_DATA``: the first that holds what it should.

    Parameters
    ----------
    names : sequence of str
        Accepted names; case, hyphens and underscores do not matter.
    holds : sequence of str
        Files or folders one of which the data set has, as patterns; by default anything.

    Raises
    ------
    MissingData
        There is none; the message says where was looked, what is expected and where to get it.
    """

    def good(root: Path) -> bool:
        return any(any(root.glob(pattern)) for pattern in holds) if holds else holds_something(root)

    return find_roots(names, title=title, layout=layout, home=home, holds=good)[0]


def find_roots(
    names: Sequence[str], *, title: str, layout: str, home: str, holds: Callable[[Path], bool]
) -> list[Path]:
    """Return all folders of a data set that hold what they should, else the first of its name.

    A folder of its name may also hold the data set's folder, as archives unpack.

    Raises
    ------
    MissingData
        There is no folder of its name.
    """
    searched = data_folders()
    named = [path for folder in searched for path in spelled(folder, names)]
    found = [path for top in named for path in ([top] if holds(top) else filter(holds, subfolders(top)))]
    if found or named:
        return list(dict.fromkeys(found)) or named[:1]
    where = f"in {', '.join(map(str, searched))}" if searched else "(ANOBENCH_DATA is not set)"
    raise MissingData(
        f"{title}: no folder {' or '.join(names)} {where}; expected {layout} "
        f"under a folder of ANOBENCH_DATA; get it from {home}"
    )


def holds_something(folder: Path) -> bool:
    """Return whether there is a folder with anything in it but what tools leave."""
    return folder.is_dir() and any(not is_leftover(path.name) for path in folder.iterdir())


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
