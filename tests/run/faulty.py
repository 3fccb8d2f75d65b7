"""A bench folder of cells that behave and misbehave, and ways to run it. No test lives here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.run.claims import Claims
from bench.run.cost import Costs
from bench.run.driver import Driver
from bench.run.ending import Ending
from bench.run.executors.base import Executor
from bench.run.executors.pool import Pool
from bench.run.setup import Setup
from bench.run.units import units
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.resolve import Resolver
from bench.suite.suite import Limits, adhoc_suite

DATASET = '''
"""Toy: bright images are anomalous."""
import numpy as np
from bench import (ArraySource, Dataset, Images, Task,)

class Toy(Dataset):
    synthetic = True
    def tasks(self):
        return ["a", "b"]
    def fingerprint(self):
        return "toy"
    def task(self, name):
        rng = np.random.default_rng(ord(name))
        pixels = rng.integers(0, 100, (60, 4, 4, 3), dtype=np.uint8)
        pixels[50:] += 100
        source = ArraySource(f"toy/{name}", f"toy-{name}", 60, lambda: pixels)
        images = Images.of(source)
        labels = np.repeat([0, 1], 10).astype(np.uint8)
        return Task(name=name, train=images[:40], test=images[40:], test_labels=labels,
                    test_types=tuple(["good"] * 10 + ["bright"] * 10), sources=(source,))
'''

#: ``how`` says what it does; ``at`` is a folder through which the test and the cell talk.
METHOD = '''
"""Fault: misbehaves as `how` says."""
import ctypes
import os
import signal
import time
from pathlib import Path

import torch
from bench import Method, Scores

class Fault(Method):
    def __init__(self, how: str = "ok", at: str = "", number: int = 0) -> None:
        self.how, self.at, self.number = how, Path(at), number

    def fit(self, train):
        print(f"fitting {self.how}", flush=True)
        first = not (self.at / f"{self.how}-{self.number}").exists()
        if self.at != Path(""):
            with open(self.at / f"{self.how}-{self.number}", "a") as file:
                file.write(f"{os.getpid()}\\n")
        getattr(self, self.how)(first)
        self.mean = train.features("pixels[size=4]").mean(0)

    def score(self, test):
        far = (test.features("pixels[size=4]") - self.mean).square().sum(1)
        return Scores(torch.linalg.eigvalsh(torch.diag(far)))

    def ok(self, first):
        if self.at != Path("") and (self.at / f"lost-{os.getpid()}").exists():
            raise RuntimeError("CUDA error: device-side assert triggered")

    def asserts(self, first):
        """Lose the device: whatever comes after in this process fails, too."""
        (self.at / f"lost-{os.getpid()}").touch()
        raise RuntimeError("CUDA error: device-side assert triggered")

    def spins(self, first):
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass

    def works(self, first):
        """Compute for so many milliseconds of processor time as the number says, its last digit apart."""
        until = time.process_time() + self.number // 10 / 1000
        while time.process_time() < until:
            pass

    def crashes(self, first):
        os.kill(os.getpid(), signal.SIGSEGV)

    def crashes_once(self, first):
        if first:
            os.kill(os.getpid(), signal.SIGKILL)

    def hangs(self, first):
        # In C code, with the interpreter's lock, deaf to signals: a lock that its own thread holds.
        lock, library = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
        library.pthread_mutex_lock(lock)
        library.pthread_mutex_lock(lock)

    def sleeps(self, first):
        time.sleep(600)

    def leaks(self, first):
        self.leaked = []
        while len(self.leaked) < 160:
            self.leaked.append(bytearray(os.urandom(1)) * 2**24)

    def fills_the_device(self, first):
        if first:
            self.meets(first)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def waits(self, first):
        while not (self.at / "go").exists():
            time.sleep(0.01)

    def meets(self, first):
        """Wait until two processes are at this data set."""
        (self.at / f"here-{os.getpid()}").touch()
        while len(list(self.at.glob("here-*"))) < 2:
            time.sleep(0.01)
'''


def bench_folder(root: Path) -> Path:
    """Return a bench folder with the data set ``toy`` and the method ``fault``."""
    for name in ("methods", "datasets", "suites"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "datasets" / "toy.py").write_text(DATASET)
    (root / "methods" / "fault.py").write_text(METHOD)
    return root


class Trial:
    """Cells of the method ``fault``, an archive, and what runs the one into the other."""

    def __init__(
        self,
        folder: Path,
        methods: Sequence[str],
        *,
        datasets: Sequence[str] = ("toy",),
        limits: Limits | None = None,
    ) -> None:
        self.registry = Registry([bench_folder(folder / "bench")])
        suite = adhoc_suite(list(datasets), list(methods))
        self.plan = make_plan(suite, self.registry)
        assert not self.plan.problems
        self.cells: list[Cell] = [entry.cell for entry in self.plan.entries]
        self.setup = Setup.of(suite, self.registry.folders, limits=limits or Limits())
        self.archive = Archive(folder / "results")

    def pool(self, workers: int = 2) -> Pool:
        return Pool(self.setup, ["cpu"], workers)

    def run(self, executor: Executor, *, ending: Ending | None = None, **more: Any) -> Iterator[Record]:
        """Run all cells; yield records."""
        claims = Claims(self.archive.root / "claims")
        with ending or Ending() as the_ending:
            work = units(self.cells, Costs())
            yield from Driver(
                work, executor, self.archive, Resolver(self.registry), the_ending, claims=claims, **more
            ).run()

    def records(self) -> dict[str, Record]:
        """Return what is on disk, by key."""
        found = self.archive.load_all(cell.key for cell in self.cells)
        assert not self.archive.unreadable, list(self.archive.unreadable)
        return found


def children() -> list[psutil.Process]:
    """Return this process's workers."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "resource_tracker" not in " ".join(child.cmdline()) and child.status() != "zombie":
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
