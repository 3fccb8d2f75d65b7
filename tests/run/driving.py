"""What tests of executors share: a driver without order, archive or limits, and jobs of toy cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bench.core.cell import Cell
from bench.run.executors.base import Event, Executor, Extracted, Finished, Job, Lost
from bench.run.executors.remote import Remote
from bench.run.setup import Setup
from bench.suite.registry import Registry
from bench.suite.suite import Limits
from tests.factory import make_cell

METHODS = {
    "brightness": "return Scores(test.features('pixels[size=4]').mean(1))",
    "crashes": "raise RuntimeError('the planted failure')",
    "kills": "import os; os.kill(os.getpid(), 9)",
    "hangs": "return Scores([float(sum(range(10**14)))] * len(test))",
    "waits": (
        "import pathlib, time\n"
        "        pathlib.Path(self.path + '.here').write_text('')\n"
        "        while not pathlib.Path(self.path).exists():\n"
        "            time.sleep(0.01)\n"
        "        return Scores(test.features('pixels[size=4]').mean(1))"
    ),
    "null": "return Scores([0.0] * len(test))",
    "spins": (
        "import time\n"
        "        until = time.perf_counter() + 1e-3\n"
        "        while time.perf_counter() < until:\n"
        "            pass\n"
        "        return Scores([0.0] * len(test))"
    ),
}


def bench_folder(folder: Path) -> Path:
    """Write a bench folder with the methods of `METHODS`."""
    (folder / "methods").mkdir(parents=True)
    for name, body in METHODS.items():
        (folder / "methods" / f"{name}.py").write_text(
            "from bench import Method, Scores\n\n"
            f"class Toy{name.title()}(Method):\n"
            "    def __init__(self, path: str = '', level: int = 0) -> None:\n        self.path = path\n"
            "    def fit(self, train):\n        pass\n"
            f"    def score(self, test):\n        {body}\n"
        )
    return folder


def setup_of(folder: Path, **limits: Any) -> Setup:
    registry = Registry([folder])
    return Setup(folders=tuple(map(str, registry.folders)), limits=Limits(**limits))


def cell(folder: Path, method: str, task: str = "0", *, backbone: str = "", **params: Any) -> Cell:
    """Return a cell as a plan has it, with the hashes of the code."""
    return make_cell(task, method, backbone=backbone, code=_code(folder, method), **params)


@cache
def _code(folder: Path, method: str) -> tuple[tuple[str, str], ...]:
    registry = Registry([folder])
    return (("dataset", registry.datasets["digits"].code), ("method", registry.methods[method].code))


@cache
def remote_of(setup: str) -> Remote:
    """Return this process's worker, made once."""
    return Remote(setup)


def drive(
    executor: Executor,
    jobs: Iterable[Job],
    *,
    seconds: float = 90.0,
    after: Callable[[Event], None] = lambda _: None,
    again: tuple[str, ...] = ("unstarted",),
) -> list[Event]:
    """Run jobs to their end, those lost for one of the reasons in `again` anew; return all events."""
    todo, seen = list(jobs), list[Event]()
    out = {job.id: {each.key for each in job.cells} for job in todo}
    ids = iter(range(10_000_000, 20_000_000))
    known = {job.id: job for job in todo}
    until = time.monotonic() + seconds
    while todo or any(out.values()):
        assert time.monotonic() < until, f"still out after {seconds} s: {len(todo)} jobs, {out}"
        moved = True
        while todo and moved:
            moved = False
            for slot in executor.idle():
                if todo and executor.fits(todo[0], slot):
                    executor.submit(todo.pop(0), slot)
                    moved = True
        for event in executor.events(1.0):
            seen.append(event)
            after(event)
            if isinstance(event, Finished):
                out[event.job].remove(event.record.cell.key)
            elif isinstance(event, Extracted):
                out[event.job].clear()
            elif isinstance(event, Lost):
                out[event.job] -= {each.key for each in event.cells}
                if event.why in again:
                    job = replace(known[event.job], id=next(ids), cells=event.cells)
                    known[job.id], out[job.id] = job, {each.key for each in job.cells}
                    todo.append(job)
    return seen


def jobs_of(cells: Iterable[Cell]) -> list[Job]:
    return [Job(id=at, cells=(each,)) for at, each in enumerate(cells)]


def finished(events: Iterable[Event]) -> dict[str, Finished]:
    return {event.record.cell.key: event for event in events if isinstance(event, Finished)}


def lost(events: Iterable[Event]) -> list[Lost]:
    return [event for event in events if isinstance(event, Lost)]
