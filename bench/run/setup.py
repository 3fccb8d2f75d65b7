"""Setup: what a worker in another process or on another node needs to make the same `Runner`; plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import TypeAdapter

from bench.core.determinism import CELL_THREADS
from bench.core.errors import ArchiveError
from bench.data.source import set_decoding_threads
from bench.features.backbone import Backbones, NetworkTable
from bench.run.spool import SpoolFolder
from bench.suite.keys import How
from bench.suite.registry import Registry
from bench.suite.suite import Limits, Suite

if TYPE_CHECKING:
    from bench.run.runner import Runner

#: Schema of `Setup.to_json`.
SETUP_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What makes a runner.

    Attributes
    ----------
    folders : tuple of str
        The bench folders in the order of search, including the stock folder; absolute paths.
    backbones : tuple of (name, JSON)
        The suite's own tables.
    suite_folder : str or None
        Relative paths of weights start here.
    limits : Limits
    storage : {"float32", "float16"}
        Type in which features are stored.
    device : str
        ``"cpu"``, ``"cuda:1"``; an executor with several gives each worker its own.
    threads : int
        Of a cell (`bench.features.device`).
    path_folders : tuple of str
        Where relative paths of images start.
    extraction_threads : int or None
        Of forward passes on the CPU, and to decode and resize images; None is all cores.
    repeats : int
        Timed runs of each cell after a warm-up (`bench.run.timing`); 0 is one run without a warm-up.
    calibration : tuple of (int, str), or None
        Folds of the training images, and how they are used, for calibration scores (`bench.run.calibrate`).
    maps : str
        The folder for anomaly maps (`bench.run.spool`); empty if nobody reads them.
    """

    folders: tuple[str, ...]
    backbones: tuple[tuple[str, str], ...] = ()
    suite_folder: str | None = None
    limits: Limits = field(default_factory=Limits)
    storage: Literal["float32", "float16"] = "float32"
    device: str = "cpu"
    threads: int = CELL_THREADS
    extraction_threads: int | None = None
    repeats: int = 0
    path_folders: tuple[str, ...] = ()
    calibration: tuple[int, How] | None = None
    maps: str = ""

    @classmethod
    def of(cls, suite: Suite, folders: Iterable[Path], **more: Any) -> Self:
        """Return the setup of a suite; `more` are further attributes."""
        file = suite.file
        return cls(
            folders=tuple(str(folder.resolve()) for folder in folders),
            backbones=tuple(
                (name, table.model_dump_json(exclude_unset=True)) for name, table in file.backbones.items()
            ),
            suite_folder=None if suite.folder is None else str(suite.folder),
            **{
                "limits": file.limits,
                "storage": file.feature_storage,
                "calibration": file.thresholds and (file.thresholds.folds, file.thresholds.how),
                **more,
            },
        )

    def runner(self) -> Runner:
        """Return a runner in this process.

        Raises
        ------
        AnobenchError
            A bench folder or a backbone has changed.
        """
        from bench.run.runner import Runner

        set_decoding_threads(self.extraction_threads)
        runner = Runner(
            self.registry(),
            self.known_backbones(),
            device=self.device,
            limits=self.limits,
            storage=self.storage,
            threads=self.threads,
            extraction_threads=self.extraction_threads,
        )
        runner.calibration = self.calibration
        runner.spool = SpoolFolder(Path(self.maps)) if self.maps else None
        return runner

    def known_backbones(self) -> Backbones:
        """Return the suite's own backbones and the built-in ones."""
        tables = {name: NetworkTable.model_validate_json(text) for name, text in self.backbones}
        return Backbones(tables, None if self.suite_folder is None else Path(self.suite_folder))

    def registry(self) -> Registry:
        """Return the registry over `folders`."""
        found = Registry()
        found.folders = [Path(folder) for folder in self.folders]
        found.path_folders = [Path(folder) for folder in self.path_folders]
        return found

    def to_json(self) -> str:
        data = TypeAdapter(type(self)).dump_python(self, mode="json")
        return json.dumps({"schema": SETUP_VERSION, **data}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ArchiveError
            Not a setup, or of another schema version.
        """
        try:
            data = json.loads(text)
            if data.pop("schema") != SETUP_VERSION:
                raise ArchiveError("it has another schema; install the same anobench on all machines")
            return TypeAdapter(cls).validate_python(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"not a worker's setup ({type(error).__name__}: {error})") from None
