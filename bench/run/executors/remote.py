"""What runs on another machine: a worker made from a setup, that does jobs and returns what they gave.

Ray's actors and Slurm's jobs share it. It makes sure that the machine has the same adapters as the driver: a
record's key stands for their code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.run.executors.base import Event, Extracted, Finished, Job, Lost
from bench.run.executors.worker import extract_job, results_of
from bench.run.setup import Setup
from bench.suite.registry import stock_folder
from bench.train import checkpoint

#: Where data and caches lie: the driver's folders, unless the machine has its own.
PLACES = ("ANOBENCH_DATA", "ANOBENCH_CACHE", "ANOBENCH_CACHE_LIMIT", "HF_HOME")
#: What numerical libraries read, and records name: as the driver has it, whatever the cluster sets.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: The driver's stock folder, in a setup for other machines: each has its own.
STOCK = "<stock>"


def travelling(setup: Setup) -> str:
    """Return a setup's JSON for another machine."""
    stock = str(stock_folder().resolve())
    return replace(setup, folders=tuple(STOCK if each == stock else each for each in setup.folders)).to_json()


def environ() -> dict[str, str | None]:
    """Return the variables of this process that a worker elsewhere should know."""
    return {name: os.environ.get(name) for name in (*PLACES, *THREADS)}


def settle(given: Mapping[str, str | None]) -> None:
    """Take over the driver's variables; before numerical libraries are loaded."""
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
        As `travelling` wrote it.

    Raises
    ------
    AnobenchError
        A bench folder is not there, a backbone's weights are missing, or anobench is of another version.
    """

    def __init__(self, setup: str) -> None:
        found = Setup.from_json(setup)
        stock = str(stock_folder().resolve())
        folders = tuple(stock if each == STOCK else each for each in found.folders)
        for folder in folders:
            if not Path(folder).is_dir():
                raise AnobenchError(
                    f"the bench folder {folder} is not there on {_host()}; put it where all machines see it"
                )
        self._setup = replace(found, folders=folders)
        self.runner = self._setup.runner()
        self._sent: set[str] = set()
        self._checked: set[tuple[object, ...]] = set()

    def events(self, job: Job) -> Iterator[Event]:
        """Do a job; yield a `Finished` for each cell, or an `Extracted`, and what was interrupted.

        Raises
        ------
        AnobenchError
            This machine has another adapter under that name than the driver.
        """
        left = list(job.cells)
        for cell in left:
            self._check(cell)
        try:
            if checkpoint.stop_asked():
                raise checkpoint.StopRequested
            if job.part is not None:
                yield Extracted(job=job.id, reason=extract_job(self.runner, job))
                return
            for record, scores in results_of(self.runner, job, self._setup.repeats):
                left = [cell for cell in left if cell.key != record.cell.key]
                truth = self.runner.truths.get(record.truth) if record.truth not in self._sent else None
                self._sent.add(record.truth)
                log = record.error["traceback"] if record.error else ""
                yield Finished(job=job.id, record=record, scores=scores, truth=truth, log=log)
        except checkpoint.StopRequested:
            yield Lost(job=job.id, cells=tuple(left), why="interrupted", reason="the run was stopped")

    def _check(self, cell: Cell) -> None:
        """Refuse a cell whose method or data set is other code here than where it was planned."""
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
