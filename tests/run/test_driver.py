"""The driver's policy, with an executor that does what the test says. No process, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.truth import Truth
from bench.run.claims import Claims
from bench.run.cost import Costs, Peaks, Size
from bench.run.driver import Driver
from bench.run.ending import Ending
from bench.run.executors.base import Event, Extracted, Finished, Job, Lost, Slot, Started
from bench.run.timing import PACKED
from bench.run.units import units
from bench.suite.registry import Registry
from bench.suite.resolve import Resolver
from tests.factory import make_cell, make_record, make_timing

SLOTS = (Slot(name="cuda:0 #1", device="cuda:0"), Slot(name="cuda:0 #2", device="cuda:0"))


TRUTH = Truth(
    labels=np.array([0, 1], np.uint8), sources=("a",), which=np.zeros(2, np.uint8), rows=np.arange(2)
)


def cell(seed: int) -> Cell:
    return make_cell("a", "random", dataset="toy", seed=seed)


def record(which: Cell, **more: Any) -> Record:
    return make_record(which, **({"metrics": {"auroc": 0.5}} | more))


class Scripted:
    """An executor whose jobs end as `ends` says: called with the job and how often its cell was tried."""

    def __init__(self, ends: Callable[[Job, int], Sequence[Event]]) -> None:
        self._ends, self._tries, self._jobs = ends, dict[str, int](), deque[tuple[Job, Slot]]()
        self.taken: list[Job] = []
        self.most_at_once = 0
        self.stopped = 0

    def start(self) -> None: ...

    def slots(self) -> Sequence[Slot]:
        return SLOTS

    def idle(self) -> Sequence[Slot]:
        busy = {slot for _, slot in self._jobs}
        return [slot for slot in SLOTS if slot not in busy]

    def fits(self, job: Job, slot: Slot) -> bool:  # noqa: ARG002
        return not (job.alone and self._jobs)

    def submit(self, job: Job, slot: Slot) -> None:
        self.taken.append(job)
        self._jobs.append((job, slot))
        self.most_at_once = max(self.most_at_once, len(self._jobs))

    def events(self, timeout: float) -> Sequence[Event]:  # noqa: ARG002
        job, slot = self._jobs.popleft()
        key = job.cells[0].key
        self._tries[key] = self._tries.get(key, 0) + 1
        return [Started(job=job.id, cell=job.cells[0], slot=slot), *self._ends(job, self._tries[key])]

    def stop(self) -> None:
        self.stopped += 1

    def kill(self) -> None: ...

    def close(self) -> None: ...


def drive(folder: Path, executor: Scripted, n: int = 4, **more: Any) -> list[Record]:
    cells = [cell(seed) for seed in range(n)]
    with Ending() as ending:
        driver = Driver(
            units(cells, more.pop("costs", Costs()), on_cpu=more.pop("on_cpu", lambda _: False)),
            executor,
            Archive(folder),
            Resolver(Registry()),
            more.pop("ending", ending),
            claims=Claims(folder / "claims"),
            **more,
        )
        return sorted(driver.run(), key=lambda each: each.cell.seed or 0)


def good(job: Job, **more: Any) -> list[Event]:
    more = {"truth": TRUTH, "scores": np.arange(2.0)} | more
    return [Finished(job=job.id, record=record(each, truth=TRUTH.identity), **more) for each in job.cells]


def lost(job: Job, why: Any, **more: Any) -> list[Event]:
    return [Lost(job=job.id, cells=job.cells, why=why, reason="so it was", **more)]


@pytest.mark.parametrize(
    ("why", "fresh", "tries"),
    [
        ("died", True, 2),
        ("device", True, 2),
        ("memory", False, 2),
        ("memory", True, 1),
        ("timeout", False, 1),
        ("node", False, 6),
    ],
)
def test_what_is_tried_again_and_how_often(tmp_path: Path, why: str, fresh: bool, tries: int) -> None:
    executor = Scripted(lambda job, _: lost(job, why, fresh=fresh, log="what it said"))
    made = drive(tmp_path, executor, 1)
    assert len(executor.taken) == tries
    assert [each.error for each in made] == [
        {"kind": why, "reason": "so it was", "traceback": "what it said"}
    ]
    assert (tmp_path / "records" / "logs" / f"{cell(0).key}.log").read_text() == "what it said"


def test_one_whose_turn_never_came_is_not_blamed(tmp_path: Path) -> None:
    executor = Scripted(lambda job, n: good(job) if n > 9 else lost(job, "unstarted"))
    assert [each.status for each in drive(tmp_path, executor)] == ["ok"] * 4


def test_what_died_is_tried_in_a_new_worker(tmp_path: Path) -> None:
    executor = Scripted(lambda job, n: good(job) if n > 1 else lost(job, "died"))
    assert [each.status for each in drive(tmp_path, executor, 1)] == ["ok"]
    assert [job.fresh for job in executor.taken] == [False, True]


def test_what_lost_its_gpu_is_tried_on_another(tmp_path: Path) -> None:
    executor = Scripted(lambda job, n: good(job) if n > 1 else lost(job, "device"))
    assert [each.status for each in drive(tmp_path, executor, 1)] == ["ok"]
    assert [(job.fresh, job.avoid) for job in executor.taken] == [(False, ""), (True, "cuda:0")]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("OutOfMemoryError", "CUDA out of memory"),
        ("RuntimeError", "CUDA error: out of memory"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("AcceleratorError", "CUDA error: out of memory"),
    ],
)
def test_memory_that_ran_out_beside_others_is_known_by_all_its_names(
    tmp_path: Path, kind: str, reason: str
) -> None:
    error = {"kind": kind, "reason": reason, "traceback": ""}
    full = lambda job: record(job.cells[0], status="failed", metrics={}, error=error)  # noqa: E731
    executor = Scripted(
        lambda job, n: (
            good(job) if n > 1 else [Finished(job=job.id, record=full(job), scores=None, packed=True)]
        )
    )
    assert [each.status for each in drive(tmp_path, executor, 1)] == ["ok"]
    assert [job.alone for job in executor.taken] == [False, True]


def test_out_of_memory_beside_others_halves_and_is_tried_alone(tmp_path: Path) -> None:
    error = {"kind": "OutOfMemoryError", "reason": "CUDA out of memory", "traceback": ""}

    def ends(job: Job, tries: int) -> Sequence[Event]:
        if job.cells[0].seed or tries > 1:
            return good(job, packed=not job.alone)
        full = record(job.cells[0], status="failed", metrics={}, error=error)
        return [Finished(job=job.id, record=full, scores=None, packed=True)]

    executor = Scripted(ends)
    made = drive(tmp_path, executor, 8)
    assert [each.status for each in made] == ["ok"] * 8
    again = [job for job in executor.taken if job.cells[0].seed == 0]
    assert [job.alone for job in again] == [False, True]
    at = executor.taken.index(again[0])
    assert executor.most_at_once == 2
    assert at == 0


class TwoGpus(Scripted):
    """Two devices of two slots each; a job alone needs the whole of its device."""

    devices: list[tuple[int, str]]

    def slots(self) -> Sequence[Slot]:
        return [Slot(name=f"cuda:{gpu} #{n}", device=f"cuda:{gpu}") for n in (1, 2) for gpu in (0, 1)]

    def idle(self) -> Sequence[Slot]:
        busy = {slot for _, slot in self._jobs}
        return [slot for slot in self.slots() if slot not in busy]

    def fits(self, job: Job, slot: Slot) -> bool:
        beside = [other for other, there in self._jobs if there.device == slot.device]
        return not (job.alone and beside) and not any(other.alone for other in beside)


def test_a_job_that_waits_for_a_whole_device_stalls_no_other_device(tmp_path: Path) -> None:
    error = {"kind": "OutOfMemoryError", "reason": "CUDA out of memory", "traceback": ""}

    def ends(job: Job, tries: int) -> Sequence[Event]:
        running = {slot.device for _, slot in executor._jobs}
        seen.append((bool(driver_waits), len(running)))
        if job.cells[0].seed == 0 and tries == 1:
            driver_waits.append(True)
            full = record(job.cells[0], status="failed", metrics={}, error=error)
            return [Finished(job=job.id, record=full, scores=None, packed=True)]
        if job.alone:
            driver_waits.clear()
        return good(job)

    seen: list[tuple[bool, int]] = []
    driver_waits: list[bool] = []
    executor = TwoGpus(ends)
    made = drive(tmp_path, executor, 40)
    assert [each.status for each in made] == ["ok"] * 40
    at = next(at for at, job in enumerate(executor.taken) if job.alone)
    assert 1 < at < 30, "it did not have to wait for the end"
    assert any(waiting and devices == 1 for waiting, devices in seen), "its device was emptied"
    between = executor.taken[4:at]
    assert between, "the other device went on meanwhile"


def test_a_device_that_was_full_is_filled_again_after_a_while(tmp_path: Path) -> None:
    error = {"kind": "OutOfMemoryError", "reason": "CUDA out of memory", "traceback": ""}
    at_once: list[int] = []

    def ends(job: Job, tries: int) -> Sequence[Event]:
        at_once.append(len(executor._jobs) + 1)
        if job.cells[0].seed == 0 and tries == 1:
            full = record(job.cells[0], status="failed", metrics={}, error=error)
            return [Finished(job=job.id, record=full, scores=None, packed=True)]
        return good(job)

    executor = Scripted(ends)
    drive(tmp_path, executor, 30)
    assert at_once[0] == 2
    assert 1 in at_once[1:8], "half as many"
    assert at_once[-4:-1] == [2, 2, 2], "and all of them again"


def test_times_taken_beside_others_are_marked(tmp_path: Path) -> None:
    def ends(job: Job, _: int) -> Sequence[Event]:
        packed = job.cells[0].seed == 1
        timed = record(job.cells[0], timing=make_timing(), truth=TRUTH.identity)
        return [Finished(job=job.id, record=timed, scores=np.arange(2.0), truth=TRUTH, packed=packed)]

    made = drive(tmp_path, Scripted(ends), 2)
    assert [each.flags for each in made] == [(), (PACKED,)]


def test_too_many_failures_end_the_run(tmp_path: Path) -> None:
    executor = Scripted(lambda job, _: lost(job, "timeout"))
    with Ending() as ending:
        made = drive(tmp_path, executor, 20, max_failures=3, ending=ending)
        assert ending.why == "failures"
    assert 3 <= len(made) <= 4, "what was in flight came to its end"
    assert executor.stopped == 1


def test_what_was_interrupted_has_no_record(tmp_path: Path) -> None:
    with Ending() as ending:

        def ends(job: Job, _: int) -> Sequence[Event]:
            ending.ask("budget")
            return lost(job, "interrupted")

        assert drive(tmp_path, Scripted(ends), 5, ending=ending) == []
    assert not Archive(tmp_path).keys()


def test_an_extraction_whose_worker_died_is_given_out_again_and_its_cells_wait(tmp_path: Path) -> None:
    def ends(job: Job, tries: int) -> Sequence[Event]:
        if job.part is None:
            return good(job)
        return lost(job, "died") if tries == 1 else [Extracted(job=job.id)]

    cells = [cell(seed) for seed in range(3)]
    executor = Scripted(ends)
    with Ending() as ending:
        work = units(cells, Costs(), extracts=lambda _: True)
        driver = Driver(
            work,
            executor,
            Archive(tmp_path),
            Resolver(Registry()),
            ending,
            claims=Claims(tmp_path / "claims"),
        )
        made = list(driver.run())
    assert len(made) == 3
    assert [job.part is None for job in executor.taken] == [False, False, True, True, True]


def test_the_peak_of_earlier_cells_is_what_later_ones_ask_for(tmp_path: Path) -> None:
    def ends(job: Job, _: int) -> list[Event]:
        memory = {"device_peak_bytes": 1000 + (job.cells[0].seed or 0)}
        return [Finished(job=job.id, record=record(each, memory=memory), scores=None) for each in job.cells]

    executor = Scripted(ends)
    drive(tmp_path / "unknown", executor, n=4)
    asked = [job.device_bytes for job in executor.taken]
    assert asked[:2] == [None, None], "nothing is known of the first two, which run at once"
    assert asked[2] == 1000 + (executor.taken[0].cells[0].seed or 0)
    assert asked[3] == max(1000 + (job.cells[0].seed or 0) for job in executor.taken[:2])
    guessing = Scripted(ends)
    costs = Costs(sizes={("toy", "a"): Size(5, 5)}, only_reads=lambda _: True)
    drive(tmp_path / "guessed", guessing, n=4, costs=costs)
    guesses = [job.device_bytes for job in guessing.taken]
    assert guesses[:2] == [costs.guessed_bytes([cell(0)])] * 2, "a guess, with which both run at once"
    assert guesses[2:] == asked[2:], "what ran counts, though it is less"


def test_a_peak_on_one_data_set_is_taken_for_the_next() -> None:
    """The first cell of a method on each data set would have to run alone otherwise."""
    peaks = Peaks()
    peaks.learn(record(make_cell("a", "random", dataset="toy"), memory={"device_peak_bytes": 7}))
    assert peaks.of([make_cell("b", "random", dataset="other")]) == 7
    assert peaks.of([make_cell("b", "else", dataset="other")]) is None


def test_jobs_say_which_methods_compute_on_the_cpu(tmp_path: Path) -> None:
    executor = Scripted(lambda job, _: good(job))
    drive(tmp_path, executor, n=4, on_cpu=lambda each: each.seed == 2)
    assert [job.on_cpu for job in executor.taken] == [job.cells[0].seed == 2 for job in executor.taken]
