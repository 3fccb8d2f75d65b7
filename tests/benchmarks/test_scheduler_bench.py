"""The scheduler: what the pool gains over one process, what it loses between cells, and whether it holds out.

The soak takes its number of cells from ``ANOBENCH_SOAK`` (500 by default, 5000 is the aim): each crash costs
the start of a worker, which imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.core.cell import Record
from bench.run.executors.base import Job
from bench.run.executors.inline import Inline
from bench.run.executors.pool import Pool
from bench.suite.suite import Limits
from tests.run.faulty import Trial, children

WORKERS = 2


def warmed(trial: Trial) -> Pool:
    """Return a pool whose workers have started and run a cell each: that is paid once, whatever the suite."""
    pool = trial.pool(WORKERS)
    warm = trial.cells[0]
    for number, place in enumerate(pool.slots()):
        pool.submit(Job(id=-1 - number, cells=(warm,)), place)
    ended = 0
    while ended < WORKERS:
        ended += sum(type(event).__name__ == "Finished" for event in pool.events(1.0))
    return pool


def timed(records: Iterator[Record]) -> tuple[float, float, int]:
    """Return the seconds until all records are there, those inside cells, and their number."""
    started = time.perf_counter()
    walls = [record.timing.wall if record.timing else 0.0 for record in records]
    return time.perf_counter() - started, sum(walls), len(walls)


def test_pool_against_inline(benchmark: Any, tmp_path: Path) -> None:
    """Aim: 200 mixed cells on two cores at least 1.7 times as fast; at most 3 % lost between cells."""
    cells = 200 if benchmark.enabled else 20
    methods = [f"fault[how=works,number={10 + (n * 37) % 290}{n % 10}]" for n in range(cells // 2)]
    ones, twos = Trial(tmp_path / "inline", methods), Trial(tmp_path / "pool", methods)
    runner = ones.setup.runner()
    runner.run(ones.cells[0])
    pool = warmed(twos)
    alone, inside, _ = timed(ones.run(Inline(runner)))
    pooled, busy, n = benchmark.pedantic(lambda: timed(twos.run(pool)), rounds=1)
    assert n == len(twos.cells) == cells
    lost = 1 - busy / (WORKERS * pooled)
    benchmark.extra_info.update(speedup=alone / pooled, lost=lost)
    print(
        f"\n{cells} mixed cells: inline {alone:.1f} s ({inside:.1f} in cells), pool of {WORKERS} "
        f"{pooled:.1f} s: {alone / pooled:.2f} times as fast, {lost:.1%} lost between cells; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def test_many_tiny_cells(benchmark: Any, tmp_path: Path) -> None:
    """Aim: 10,000 cells of a millisecond through the pool at 500 a second or more."""
    cells = 10_000 if benchmark.enabled else 200
    trial = Trial(tmp_path, [f"fault[how=spins,number={n}]" for n in range(cells // 2)])
    pool = warmed(trial)
    seconds, busy, n = benchmark.pedantic(lambda: timed(trial.run(pool)), rounds=1)
    assert n == len(trial.cells) == cells
    benchmark.extra_info.update(cells_a_second=n / seconds)
    print(
        f"\n{n} cells of 1 ms: {n / seconds:.0f} a second, {busy / n * 1e3:.1f} ms each in their workers; "
        f"load {os.getloadavg()[0]:.1f}"
    )


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_soak(benchmark: Any, tmp_path: Path) -> None:
    """Aim: with 2 % crashing, 1 % hanging, 1 % leaking, all others have records and memory is flat."""
    cells = int(os.environ.get("ANOBENCH_SOAK", "500" if benchmark.enabled else "100"))
    kinds = {0: "crashes", 1: "crashes", 2: "hangs", 3: "leaks"}
    methods = [f"fault[how={kinds.get(n % 100, 'spins')},number={n}]" for n in range(cells)]
    limits = Limits(cell_seconds=5.0, grace_seconds=1.0, cell_memory=1.5)
    trial = Trial(tmp_path, methods, datasets=["toy[task=a]"], limits=limits)
    memory: list[int] = []

    def soak() -> int:
        good = 0
        for number, record in enumerate(trial.run(trial.pool(WORKERS))):
            good += record.status == "ok"
            if number % (cells // 50) == 0:
                memory.append(psutil.Process().memory_info().rss)
        return good

    good = benchmark.pedantic(soak, rounds=1)
    bad = sum(n % 100 in kinds for n in range(cells))
    assert good == cells - bad
    assert len(trial.records()) == cells
    assert not children()
    growth = memory[-1] / memory[len(memory) // 4]
    benchmark.extra_info.update(memory_growth=growth)
    print(
        f"\nsoak of {cells} cells, {bad} of them bad: every other record is there, no process left; "
        f"the driver's memory at the end is {growth:.3f} of that at a quarter; load {os.getloadavg()[0]:.1f}"
    )
