"""What runs on another machine: a worker that makes its runner from a setup, and runs jobs.

Ray's actors and Slurm's jobs share it. It checks that the machine has the driver's adapters, since a record's
key includes their code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.run.executors.base import Event, Job
from bench.run.executors.worker import events_of
from bench.run.setup import Setup
from bench.suite.registry import stock_folder

#: Where data and caches are: the driver's folders, unless the machine has its own.
FOLDERS = ("ANOBENCH_DATA", "ANOBENCH_CACHE", "ANOBENCH_CACHE_LIMIT", "HF_HOME")
#: What numerical libraries read and records name: the driver's value, whatever the cluster sets.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: The driver's stock folder, in a setup for other machines: each has its own.
STOCK = "<stock>"


def portable_json(setup: Setup) -> str:
    """Return a setup's JSON for another machine."""
    stock = str(stock_folder().resolve())
    return replace(setup, folders=tuple(STOCK if each == stock else each for each in setup.folders)).to_json()


def environ() -> dict[str, str | None]:
    """Return this process's variables for a worker elsewhere."""
    return {name: os.environ.get(name) for name in (*FOLDERS, *THREADS)}


def take_over(given: Mapping[str, str | None]) -> None:
    """Set the driver's variables here; call it before numerical libraries are loaded."""
    for name, value in given.items():
        if name in THREADS:
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        elif value is not None:
            os.environ.setdefault(name, value)


class Remote:
    """A worker on this machine.

    Parameters
    ----------
    setup : str
        From `portable_json`.

    Raises
    ------
    AnobenchError
        A bench folder or a backbone's weights are missing, or anobench has another version.
    """

    def __init__(self, setup: str) -> None:
        found = Setup.from_json(setup)
        stock = str(stock_folder().resolve())
        folders = tuple(stock if each == STOCK else each for each in found.folders)
        for folder in folders:
            if not Path(folder).is_dir():
                raise AnobenchError(
                    f"{_host()} has no bench folder {folder}; put it where all machines see it"
                )
        self._setup = replace(found, folders=folders)
        self.runner = self._setup.runner()
        self._sent: set[str] = set()
        self._checked: set[tuple[object, ...]] = set()

    def events(self, job: Job) -> Iterator[Event]:
        """Run a job, as `events_of` does.

        Raises
        ------
        AnobenchError
            This machine's adapter of that name is not the driver's.
        """
        for cell in job.cells:
            self._check(cell)
        return events_of(self.runner, job, self._setup.repeats, self._sent)

    def _check(self, cell: Cell) -> None:
        """Refuse a cell whose method or data set has different code here than where it was planned."""
        identity = (cell.method, cell.dataset, cell.code)
        if identity in self._checked:
            return
        registry = self.runner.registry
        here = {
            "method": registry.methods.get(cell.method),
            "dataset": registry.datasets.get(cell.dataset.partition("[")[0]),
        }
        for kind, code in cell.code:
            adapter = here.get(kind)
            if kind in here and (adapter is None or adapter.code != code):
                raise AnobenchError(
                    f"{_host()} has {'no' if adapter is None else 'another'} {kind} adapter for {cell} than "
                    "the machine that planned it; install the same anobench and share the bench folders"
                )
        self._checked.add(identity)


def _host() -> str:
    import socket

    return socket.gethostname()
