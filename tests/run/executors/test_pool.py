"""The pool on real processes: what a worker does wrong stays with its cell."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cell import Record
from bench.core.errors import AnobenchError
from bench.run.executors import process
from bench.run.executors.base import Event, Job, Lost, Slot
from bench.run.executors.inline import Inline
from bench.run.executors.pool import Pool
from bench.run.executors.process import Process
from bench.run.executors.wire import KeptMemory
from bench.run.timing import PACKED
from bench.suite.suite import Limits
from tests.run.faulty import Trial, children


def how(record: Record) -> str:
    return str(dict(record.cell.params)["how"])


def test_each_fault_stays_with_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One suite with every fault, while the calendar's clock jumps back and forth by years."""
    jumps = itertools.cycle([0.0, 4e9, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    bad = ["crashes", "hangs", "sleeps", "leaks"]
    methods = [f"fault[how={name},at={tmp_path}]" for name in (*bad, "crashes_once")]
    methods += [f"fault[how=ok,number={number}]" for number in range(8)]
    limits = Limits(cell_seconds=5.0, grace_seconds=1.5, cell_memory=1.5)
    trial = Trial(tmp_path, methods, datasets=["toy[task=a]"], limits=limits)
    yielded = {how(record): record for record in trial.run(trial.pool())}
    records = {how(record): record for record in trial.records().values()}
    assert len(trial.records()) == len(trial.cells)
    assert records.keys() == yielded.keys()
    assert {name for name, record in records.items() if record.status == "failed"} == set(bad)
    errors = {name: record.error for name, record in records.items() if record.error is not None}
    assert {name: error["kind"] for name, error in errors.items()} == {
        "crashes": "died",
        "hangs": "timeout",
        "sleeps": "timeout",
        "leaks": "memory",
    }
    assert "SIGSEGV" in errors["crashes"]["reason"]
    assert "its process was killed" in errors["hangs"]["reason"]
    assert "limits.cell_memory" in errors["leaks"]["reason"]
    for name in bad:
        assert records[name].environment["device"] == "cpu"
        log = (trial.archive.root / "logs" / f"{records[name].cell.key}.log").read_text()
        assert f"fitting {name}" in log
    for name in ("crashes", "hangs"):
        assert 'fault.py", line' in errors[name]["traceback"], "the stack at the end"
    assert len(list((trial.archive.root / "logs").iterdir())) == len(bad)
    tries = {name: len((tmp_path / f"{name}-0").read_text().split()) for name in (*bad, "crashes_once")}
    assert tries.pop("leaks") in (1, 2), "a second try only if its worker had run something else"
    assert tries == dict.fromkeys(tries, 2) | {"hangs": 1, "sleeps": 1}
    assert not children()


def test_what_finds_the_device_full_beside_others_runs_again_alone(tmp_path: Path) -> None:
    methods = [f"fault[how={name},at={tmp_path}]" for name in ("fills_the_device", "meets")]
    trial = Trial(tmp_path, methods, datasets=["toy[task=a]"])
    records = {how(record): record for record in trial.run(trial.pool())}
    assert {record.status for record in records.values()} == {"ok"}
    assert len((tmp_path / "fills_the_device-0").read_text().split()) == 2
    assert PACKED not in records["fills_the_device"].flags, "tried again alone"
    assert not children()


def test_the_same_records_from_any_executor_and_a_killed_worker(tmp_path: Path) -> None:
    """A worker is killed whatever it is at, between cells too; records are those of one process."""
    methods = [f"fault[how=spins,number={number}]" for number in range(40)]
    alone, pooled = Trial(tmp_path / "alone", methods), Trial(tmp_path / "pooled", methods)
    assert len(list(alone.run(Inline(alone.setup.runner())))) == len(alone.cells)
    done = 0
    for done, _ in enumerate(pooled.run(pooled.pool()), 1):
        if done == 10:
            children()[0].kill()
    assert done == len(pooled.cells)
    ours, theirs = pooled.records(), alone.records()
    assert ours.keys() == theirs.keys()
    for key, record in ours.items():
        assert comparable(record) == comparable(theirs[key])
        assert (pooled.archive.scores(record) == alone.archive.scores(theirs[key])).all()
    assert not children()


def comparable(record: Record) -> Record:
    """Return a record without its times and what belongs to them."""
    flags = tuple(flag for flag in record.flags if flag != PACKED)
    return replace(record, timing=None, memory={}, created="", flags=flags)


def test_the_timing_lane_runs_cells_alone_and_repeated(tmp_path: Path) -> None:
    trial = Trial(tmp_path, [f"fault[how=ok,at={tmp_path},number={n}]" for n in range(3)])
    trial.setup = replace(trial.setup, repeats=3)
    records = list(trial.run(trial.pool(), alone=True))
    assert len(records) == len(trial.cells)
    for record in records:
        assert record.flags == ("timed alone: the median of 3 runs after a warm-up",)
        assert record.timing is not None
        assert record.timing.reference is not None
        assert record.timing.reference > 0
    tries = [len((tmp_path / f"ok-{n}").read_text().split()) for n in range(3)]
    assert tries == [4 * 2] * 3, "a warm-up and three runs of two tasks"


def test_which_jobs_may_stand_beside_or_behind_which(tmp_path: Path) -> None:
    """By slots alone: no worker starts."""
    trial = Trial(tmp_path, ["fault[how=ok]"])
    plain = Job(id=1, cells=tuple(trial.cells[:1]), seconds=0.1, device_bytes=2**30)
    alone, fresh, long = (
        replace(plain, **{name: value})
        for name, value in (("alone", True), ("fresh", True), ("seconds", 9.0))
    )
    part, unknown = replace(plain, part=(0, 2)), replace(plain, device_bytes=None)

    def fits(job: Job, *, device: str, before: Job | None = None, beside: Job | None = None) -> bool:
        pool = Pool(trial.setup, [device], 2)
        here, there = pool._workers
        pool._free_bytes["cuda:1"] = 4 * 2**30  # what the first worker on it reports
        here.jobs.extend([before] if before else [])
        there.jobs.extend([beside] if beside else [])
        found = pool.fits(job, here.slot)
        pool.close()
        return found

    for device in ("cpu", "cuda:0", "cuda:1"):
        assert all(fits(job, device=device) for job in (plain, alone, fresh, long, part, unknown))
        assert not fits(alone, device=device, beside=plain)
        assert not fits(plain, device=device, beside=alone)
        assert not any(fits(job, device=device, before=plain) for job in (alone, fresh, long))
        assert fits(plain, device=device, before=plain)
        assert fits(part, device=device, beside=plain), "an extraction does not wait for memory"
    assert fits(plain, device="cpu", beside=plain)
    assert fits(unknown, device="cpu", beside=unknown), "a CPU's memory is not asked for"
    assert not fits(plain, device="cuda:0", beside=plain), "its memory is not known yet"
    assert fits(plain, device="cuda:1", beside=plain)
    assert not fits(unknown, device="cuda:1", beside=plain)
    assert not fits(plain, device="cuda:1", beside=replace(plain, device_bytes=4 * 2**30))


def test_methods_that_compute_on_the_cpu_have_places_beside_the_gpus(tmp_path: Path) -> None:
    trial = Trial(tmp_path, ["fault[how=ok]"])
    pool = Pool(trial.setup, ["cuda:0"], 1, cpu_places=2)
    gpu, *places = pool._workers
    pool._free_bytes["cuda:0"] = 20 * 2**30
    job = Job(id=1, cells=tuple(trial.cells[:1]), seconds=9.0, device_bytes=2**30)
    on_cpu, part = replace(job, on_cpu=True), replace(job, part=(0, 2))
    names = [slot.name for slot in pool.slots()]
    assert names == ["cuda:0 #1", "cuda:0 #2", "cuda:0 #3"], "their features are those of the GPU"
    assert [pool.fits(job, each.slot) for each in pool._workers] == [True, False, False]
    assert [pool.fits(part, each.slot) for each in pool._workers] == [True, False, False]
    assert [pool.fits(on_cpu, each.slot) for each in pool._workers] == [False, True, True]
    gpu.jobs.append(job)
    places[0].jobs.append(on_cpu)
    assert pool.fits(on_cpu, places[1].slot), "the GPU's worker is busy, and so is another place"
    gpu.jobs.clear()
    places[1].jobs.append(on_cpu)
    assert pool.fits(on_cpu, gpu.slot), "it has nothing better to do"
    pool._free_bytes["cuda:0"] = 3 * 2**30
    places[1].jobs.clear()
    gpu.jobs.append(job)
    assert not pool.fits(on_cpu, places[1].slot), "its features take memory, and its context"
    pool.close()


def test_an_assert_costs_its_cell_and_no_other(tmp_path: Path) -> None:
    """The process is dead for CUDA: it ends, and what it had not done runs in another."""
    methods = [f"fault[how=asserts,at={tmp_path}]"]
    methods += [f"fault[how=ok,at={tmp_path},number={number}]" for number in range(8)]
    trial = Trial(tmp_path, methods, datasets=["toy[task=a]"])
    records = list(trial.run(trial.pool(workers=1)))
    assert len(records) == len(trial.cells)
    failed = [record for record in records if record.status == "failed"]
    assert [how(record) for record in failed] == ["asserts"]
    assert failed[0].error is not None
    assert failed[0].error["kind"] == "device"
    assert "device-side assert" in failed[0].error["reason"]
    assert "in asserts" in failed[0].error["traceback"]
    assert len((tmp_path / "asserts-0").read_text().split()) == 2, "tried again, in a new process"
    assert not children()


def test_a_device_that_never_comes_up_costs_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two, one has no driver: its workers die before they are ready."""
    monkeypatch.setattr(process, "own_device", lambda name: ({"cuda:0": "cpu"}.get(name, "cuda"), None))
    trial = Trial(tmp_path, [f"fault[how=ok,number={number}]" for number in range(6)])
    records = list(trial.run(Pool(trial.setup, ["cuda:0", "cuda:1"], 1)))
    assert [record.status for record in records] == ["ok"] * len(trial.cells)
    assert not children()


def test_a_device_that_never_comes_up_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Process, "exit_reason", lambda _: "its process ended with exit status 1")
    trial = Trial(tmp_path, ["fault[how=ok]"])
    pool = Pool(trial.setup, ["cuda:0", "cuda:1"], 1)
    job = Job(id=1, cells=tuple(trial.cells[:1]))
    good, broken = pool._workers

    def die(worker: Process) -> list[Event]:
        worker.jobs.append(job)
        return pool._reap(worker)

    for _ in range(3):
        lost = die(broken)
        assert [(each.why, each.cells) for each in lost if isinstance(each, Lost)] == [
            ("unstarted", job.cells)
        ]
    assert "cuda:1 is left out: 3 workers in a row ended before they could run anything" in caplog.text
    assert pool.idle() == [good.slot]
    die(good)
    die(good)
    with pytest.raises(AnobenchError, match="3 worker processes in a row on cuda:0 ended before"):
        die(good)
    pool.close()


def test_a_device_that_loses_its_workers_is_left_out_and_the_last_one_ends_the_run(tmp_path: Path) -> None:
    trial = Trial(tmp_path, ["fault[how=ok]"])
    pool = Pool(trial.setup, ["cuda:0", "cuda:1"], 1)
    job = Job(id=1, cells=tuple(trial.cells[:1]))
    ecc = Lost(job=1, cells=job.cells, why="device", reason="CUDA error: uncorrectable ECC error encountered")
    code = replace(ecc, reason="CUDA error: device-side assert triggered")

    def lose(worker: Process, lost: Lost) -> list[Event]:
        worker.jobs.append(job)
        worker.ready = worker.running = True
        return list(pool._understand(worker, lost))

    first, second = pool._workers
    assert pool.fits(replace(job, avoid="cuda:0"), second.slot)
    assert not pool.fits(replace(job, avoid="cuda:0"), first.slot)
    for _ in range(4):
        assert lose(first, code), "an assert is the code's fault"
    assert len(pool.idle()) == 2
    for _ in range(3):
        lose(first, ecc)
    assert pool.idle() == [second.slot]
    assert pool.fits(replace(job, avoid="cuda:1"), second.slot), "there is no other"
    lose(second, ecc)
    lose(second, ecc)
    with pytest.raises(AnobenchError, match="3 worker processes in a row on cuda:1 lost it"):
        lose(second, ecc)
    pool.close()


class Alive:
    """A process as far as packing asks."""


def test_idle_workers_and_other_programs_count_when_cells_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, ["fault[how=ok]"])
    pool = Pool(trial.setup, ["cuda:0"], 3)
    here, busy, idle = pool._workers
    job = Job(id=1, cells=tuple(trial.cells[:1]), seconds=0.1, device_bytes=2**30)
    pool._free_bytes["cuda:0"] = 5 * 2**30
    busy.jobs.append(job)
    free = 5 * 2**30
    monkeypatch.setattr("bench.run.executors.pool.free_bytes", lambda _: free)
    assert pool.fits(job, here.slot)
    monkeypatch.setattr(idle, "_process", Alive())
    assert list(pool._understand(idle, KeptMemory(device_bytes=2 * 2**30))) == []
    assert not pool.fits(job, here.slot), "the idle one keeps features on the device"
    list(pool._understand(idle, KeptMemory(device_bytes=2**20)))
    assert pool.fits(job, here.slot)
    free = 2**29
    assert not pool.fits(job, here.slot), "another program has the rest of the memory"
    busy.jobs.clear()
    assert pool.fits(job, here.slot), "nothing would make more room"
    monkeypatch.setattr(idle, "_process", None)
    pool.close()


def test_alone_on_a_gpu_means_without_idle_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, ["fault[how=ok]"])
    pool = Pool(trial.setup, ["cuda:0", "cuda:1"], 2)
    ended: list[str] = []
    monkeypatch.setattr(Process, "end", lambda self: ended.append(self.slot.name))
    monkeypatch.setattr(Process, "give", lambda *_: None)
    job = Job(id=1, cells=tuple(trial.cells[:1]))
    pool.submit(job, pool.slots()[0])
    assert ended == []
    pool.submit(replace(job, alone=True), pool.slots()[0])
    assert ended == ["cuda:0 #2"]


def test_the_timing_lane_has_the_host_to_itself(tmp_path: Path) -> None:
    trial = Trial(tmp_path, ["fault[how=ok]"])
    job = Job(id=1, cells=tuple(trial.cells[:1]), alone=True)
    for repeats in (0, 3):
        pool = Pool(replace(trial.setup, repeats=repeats), ["cuda:0", "cuda:1"], 1)
        pool._workers[0].jobs.append(job)
        assert pool.fits(job, pool.slots()[1]) == (not repeats)
        pool.close()


def test_a_deadline_is_that_of_the_job_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    trial = Trial(tmp_path, ["fault[how=ok]"])
    cells, part = Job(id=1, cells=tuple(trial.cells)), Job(id=2, cells=tuple(trial.cells), part=(0, 1))
    worker = Process(Slot(name="cpu #1", device="cpu"), replace(trial.setup, repeats=2), tmp_path, "mark")
    limits = Limits(cell_seconds=5.0, grace_seconds=1.0)
    worker.jobs.extend([cells, part])
    assert worker.started(limits) is cells
    assert worker._deadline == 100 + 5 * len(trial.cells) * 3 + 1, "a warm-up and two runs of each cell"
    worker.over()
    assert worker._deadline is None
    worker.started(limits)
    assert worker._deadline is None, "extractions take what they take"
