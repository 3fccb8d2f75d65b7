"""The registry: finds adapters and suites by file.

A bench folder contains ``methods/``, ``datasets/`` or ``suites/``. The stock folder comes with the package;
folders given with ``--bench`` and the working directory are searched first, so that a user's adapter of the
same name wins.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.cell import Cell, Value
from bench.core.errors import (
    AdapterError,
    AnobenchError,
    DataError,
    SelectorError,
    SuiteError,
    did_you_mean,
    from_outside,
    kind_of,
    said,
)
from bench.core.fewshot import UNLABELLED
from bench.core.files import is_file
from bench.core.selector import Selector, parse
from bench.data.contaminate import contaminate, contaminate_together
from bench.data.fewshot import label_some
from bench.data.walk import OnDisk
from bench.suite.adapter import Adapter, Kind
from bench.suite.adapterfile import FOLDERS, read_adapter

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.task import Task

log = logging.getLogger(__name__)


def stock_folder() -> Path:
    """Return the stock bench folder: inside the installed wheel, or the checkout with ``bench``."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "stock"
    return inside if inside.is_dir() else package.parent


@contextlib.contextmanager
def blaming(adapter: Adapter, name: str) -> Iterator[None]:
    """Turn errors in a data set's own code into an `AdapterError` that names its file."""
    try:
        yield
    except AnobenchError:
        raise
    except OSError as error:  # a file's fault, not the adapter's
        what = error.filename or name
        raise DataError(f"{what}: cannot be read ({error.strerror or error})") from error
    except BaseException as error:
        if from_outside(error):
            raise
        log.debug("opening %s", name, exc_info=True)
        raise AdapterError(
            f"{adapter.path}: data set {name!r} cannot be opened: {kind_of(error)}: {said(error)}"
        ) from error


class Registry:
    """Adapters and suites of several bench folders.

    Parameters
    ----------
    folders : iterable of Path
        The user's bench folders, searched first, in this order.
    working_directory : Path, optional
        Searched next.

    Raises
    ------
    AdapterError
        A given folder does not exist or is not a bench folder.
    """

    def __init__(self, folders: Iterable[Path] = (), working_directory: Path | None = None) -> None:
        given = [folder.resolve() for folder in folders]
        for folder in given:
            if not any((folder / name).is_dir() for name in ("methods", "datasets", "suites")):
                raise AdapterError(
                    f"--bench {folder}: not a bench folder; "
                    "expected a folder with methods/, datasets/ or suites/"
                )
        here = [working_directory.resolve()] if working_directory else []
        self.folders = list(dict.fromkeys([*given, *here, stock_folder()]))
        #: Adapters hidden by one of the same name in an earlier folder.
        self.shadowed: list[Adapter] = []
        #: Files in adapter folders without an adapter, by stem.
        self.ignored: dict[str, Path] = {}
        #: Where relative paths of images start: the suite's folder, then the working directory.
        self.path_folders = here
        self._opened: dict[str, Dataset] = {}

    def add_suite(self, folder: Path) -> None:
        """Find what lies beside a suite's file: methods and data sets, and relative paths of images."""
        if folder not in self.path_folders:
            self.path_folders = [folder, *self.path_folders]
            self._opened.clear()
        for beside in (folder, folder.parent) if folder.name == "suites" else (folder,):
            inside = any((beside / name).is_dir() for name in FOLDERS.values())
            if inside and beside not in self.folders:
                # Before the working directory and the stock folder, but after the folders that were given.
                at = min(
                    self.folders.index(each)
                    for each in (*self.path_folders[1:], stock_folder())
                    if each in self.folders
                )
                self.folders.insert(at, beside)
                for known in ("methods", "datasets", "suites"):
                    self.__dict__.pop(known, None)

    def add_named(self, suite: str) -> None:
        """Find what lies beside a suite that is named or given by its file, if that is on this machine."""
        places = [Path(suite)] if suite.endswith(".toml") else []
        places += [folder / f"{suite.removesuffix('.toml')}.toml" for folder in self.path_folders]
        places += [self.suites[suite]] if suite in self.suites else []
        for path in places:
            if is_file(path):
                self.add_suite(path.resolve().parent)
                return

    def _find(self, kind: Kind) -> dict[str, Adapter]:
        found: dict[str, Adapter] = {}
        for folder in self.folders:
            for path in sorted((folder / FOLDERS[kind]).glob("*.py")):
                if path.name.startswith("_"):
                    continue
                adapter = read_adapter(kind, path)
                if adapter is None:
                    self.ignored.setdefault(path.stem, path)
                elif adapter.name in found:
                    self.shadowed.append(adapter)
                else:
                    found[adapter.name] = adapter
        return dict(sorted(found.items()))

    @cached_property
    def methods(self) -> dict[str, Adapter]:
        """Method adapters by name."""
        return self._find("method")

    @cached_property
    def datasets(self) -> dict[str, Adapter]:
        """Data set adapters by name."""
        return self._find("dataset")

    @cached_property
    def suites(self) -> dict[str, Path]:
        """Suite files by name: the path under ``suites/`` without suffix, e.g. ``quickstart``."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in sorted((folder / "suites").rglob("*.toml")):
                found.setdefault(path.relative_to(folder / "suites").with_suffix("").as_posix(), path)
        return dict(sorted(found.items()))

    def problems(self) -> list[str]:
        """Return one message for each adapter that cannot be read."""
        return [a.problem for a in [*self.datasets.values(), *self.methods.values()] if a.problem]

    def match(self, kind: Kind, selector: Selector, where: str) -> list[Adapter]:
        """Return the adapters that match a selector's name or glob.

        Raises
        ------
        SelectorError
            There is none; the message names the nearest and all available ones.
        """
        adapters = self.methods if kind == "method" else self.datasets
        word = "method" if kind == "method" else "data set"
        if selector.is_glob:
            found = [a for name, a in adapters.items() if fnmatch.fnmatchcase(name, selector.name)]
            if not found:
                raise SelectorError(
                    f"{where}: no {word} matches {selector.name!r}{did_you_mean('', adapters)}"
                )
            return found
        if selector.name not in adapters:
            why = ""
            if selector.name in self.ignored:
                base = "Method" if kind == "method" else "Dataset"
                why = f" ({self.ignored[selector.name]} has no class that derives from {base})"
            raise SelectorError(
                f"{where}: unknown {word} {selector.name!r}{why}{did_you_mean(selector.name, adapters)}"
            )
        return [adapters[selector.name]]

    def open_dataset(self, name: str) -> Dataset:
        """Return the data set that a selector such as ``"digits"`` or ``"textures[size=96]"`` names.

        This is the only place that opens data sets, each once and without decoding images.

        Raises
        ------
        SelectorError, SuiteError
            There is no such data set or parameter.
        DataError
            It is not on this machine, or damaged.
        AdapterError
            Its adapter cannot be imported or fails.
        """
        if name not in self._opened:
            selector = parse(name)
            (adapter,) = self.match("dataset", selector, name)
            with blaming(adapter, name):
                params = adapter.check(selector.params, name)
                self._opened[name] = adapter.load()(**self._with_paths(adapter, params))
        return self._opened[name]

    def open_task(self, cell: Cell) -> tuple[Task, dict[str, Any]]:
        """Return a cell's task, contaminated, and what was drawn (`Record.contamination`)."""
        dataset, how = self.open_dataset(cell.dataset), cell.contamination
        together = cell.train_name != cell.task_name
        if together and cell.few_shot != UNLABELLED:
            raise DataError(
                f"{cell.dataset}: one model for all tasks has no labelled anomalies, since they are drawn "
                f"task by task; take {cell.dataset.partition('[')[0]} itself"
            )
        if together and not how.rate and not how.reserve:
            return contaminate(dataset.task(cell.task), cell.dataset, how)
        official = how.source == "official" and how.rate
        opened = (lambda name: dataset.noisy_task(name, how.rate)) if official else dataset.own_task
        if together:
            tasks = [opened(each) for each in dataset.tasks()]
            return contaminate_together(tasks, cell.task, cell.dataset, how)
        task, labelled = label_some(opened(cell.task), cell.dataset, cell.few_shot)
        task, drawn = contaminate(task, cell.dataset, how)
        return task, {**drawn, **labelled}

    def _with_paths(self, adapter: Adapter, params: dict[str, Value]) -> dict[str, Value]:
        """Return a data set's parameters with relative paths found in `path_folders`."""
        declared = adapter.attributes.get("paths", ())
        found = dict(params)
        for name, value in params.items():
            if isinstance(value, str) and (
                name in declared or (value.startswith((".", "..")) and "/" in value)
            ):
                places = (OnDisk(folder).find(value) for folder in self.path_folders if value[:1] not in "/~")
                for folder, place in zip(self.path_folders, places, strict=False):
                    if place is not None:
                        found[name] = str(folder / place)
                        break
        return found

    def suite_path(self, name: str) -> Path:
        """Return a suite's file: a path that exists, or the name of a suite in one of the bench folders.

        Raises
        ------
        SuiteError
            There is no such suite.
        """
        as_path = Path(name)
        if as_path.suffix == ".toml" and is_file(as_path):
            return as_path
        stems = {key.rsplit("/", 1)[-1]: path for key, path in self.suites.items()}
        for known in (self.suites, stems):
            if name in known:
                return known[name]
        if as_path.suffix == ".toml":
            raise SuiteError(f"there is no suite file {name}; name a stock suite without folder and suffix")
        raise SuiteError(
            f"unknown suite {name!r}{did_you_mean(name, self.suites)}; or give the path of a .toml file"
        )
