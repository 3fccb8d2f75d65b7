"""The slurm executor with submitit's local executor: processes of this machine stand for Slurm's jobs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.errors import AnobenchError
from bench.run.executors.base import Event, Extracted, Job, Started
from bench.run.executors.slurm import executor as slurm
from bench.run.executors.slurm.executor import Slurm
from bench.run.executors.slurm.job import Journal
from tests.run.driving import bench_folder, cell, drive, finished, jobs_of, lost, setup_of

pytest.importorskip("submitit", reason="needs submitit: pip install 'anobench[slurm]'")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    return bench_folder(tmp_path / "bench")


@pytest.fixture
def started(folder: Path, tmp_path: Path) -> Iterator[Callable[..., Slurm]]:
    made: list[Slurm] = []

    def start(**limits: Any) -> Slurm:
        made.append(Slurm(setup_of(folder, **limits), tmp_path / "spool", cluster="local", cpus=1))
        made[-1].start()
        return made[-1]

    yield start
    for executor in made:
        executor.close()


def lines_of(executor: Slurm) -> list[dict[str, Any]]:
    """Return what all chunks wrote into their journals."""
    paths = executor._folder.glob("chunk-*/journal.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines() if line]


def test_an_array_for_each_group_and_the_records_of_cells_run_here(
    folder: Path, started: Callable[..., Slurm], tmp_path: Path
) -> None:
    executor = started()
    cells = [cell(folder, "brightness", str(task)) for task in range(3)] + [cell(folder, "crashes")]
    extraction = Job(id=100, cells=(cell(folder, "null", backbone="hog"),), part=(0, 1))
    events = drive(executor, [*jobs_of(cells), extraction])
    found = finished(events)
    assert set(found) == {each.key for each in cells}
    assert [event.reason for event in events if isinstance(event, Extracted)] == [""]
    assert len(executor._tasks) == 2, "one job for the short cells of a group, one for its extraction"
    assert {event.job for event in events if isinstance(event, Started)} == {0, 1, 2, 3, 100}
    assert "the planted failure" in found[cells[-1].key].log
    alone = setup_of(folder).runner()
    for each in cells[:-1]:
        record, scores = alone.run(each)
        assert found[each.key].record.truth == record.truth
        np.testing.assert_array_equal(found[each.key].scores, scores)
        assert found[each.key].truth is not None
    executor.close()
    assert [path.name for path in (tmp_path / "spool").rglob("*")] == ["drivers"]


def test_a_preempted_chunk_goes_on_where_it_was(
    folder: Path, started: Callable[..., Slurm], tmp_path: Path
) -> None:
    executor = started()
    gate = tmp_path / "gate"
    cells = [cell(folder, "brightness"), cell(folder, "waits", path=str(gate)), cell(folder, "null")]
    pids: list[int] = []

    def preempt(event: Event) -> None:
        if isinstance(event, Started) and event.cell == cells[1]:
            pids.append(next(line["pid"] for line in reversed(lines_of(executor)) if "pid" in line))
            if len(pids) == 1:
                os.kill(pids[0], signal.SIGUSR2)
            else:
                gate.write_text("")

    events = drive(executor, jobs_of(cells), after=preempt)
    assert set(finished(events)) == {each.key for each in cells}
    assert lost(events) == []
    assert len(set(pids)) == 2
    started_cells = [line["cell"] for line in lines_of(executor) if "started" in line]
    assert started_cells == [cells[0].key, cells[1].key, cells[1].key, cells[2].key], (
        "what was done is not run again"
    )


def test_what_kills_or_hangs_is_blamed_and_the_others_run(
    folder: Path, started: Callable[..., Slurm]
) -> None:
    executor = started(cell_seconds=1.0, grace_seconds=0.5)
    short = [cell(folder, "null", str(at)) for at in range(4)]
    kills, hangs = cell(folder, "kills"), cell(folder, "hangs")
    events = drive(executor, jobs_of([short[0], kills, short[1], hangs, *short[2:]]))
    assert set(finished(events)) == {each.key for each in short}
    blamed = {event.cells: event.why for event in lost(events) if event.why != "unstarted"}
    assert blamed == {(kills,): "died", (hangs,): "timeout"}


def test_what_a_dead_driver_left_is_taken_over(
    folder: Path, started: Callable[..., Slurm], tmp_path: Path
) -> None:
    cells = [cell(folder, "brightness", str(task)) for task in range(2)] + [cell(folder, "crashes")]
    runner = setup_of(folder).runner()
    spool = tmp_path / "spool"
    lives = "from bench.run.claims import Claims; from pathlib import Path; import sys\n"
    lives += "print(Claims(Path(sys.argv[1])).name, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", lives, spool / "drivers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    gone, alive = spool / ("0" * 32), spool / other.stdout.readline().strip()
    left, others = Archive(gone / "chunk-0"), Archive(alive / "chunk-0")
    record, scores = runner.run(cells[1])
    others.write(record, scores, runner.truths.get(record.truth))
    for each in (cells[0], cells[2]):
        record, scores = runner.run(each)
        left.write(record, scores, runner.truths.get(record.truth))
    executor = started()
    events = drive(executor, jobs_of(cells))
    assert set(finished(events)) == {each.key for each in cells}
    started_cells = {event.cell for event in events if isinstance(event, Started)}
    assert started_cells == set(cells[1:]), (
        "neither a failure is taken over, nor what belongs to another driver"
    )
    executor.close()
    other.communicate("")
    assert not gone.exists()
    assert others.load(cells[1].key) is not None


def test_a_stop_ends_it_and_a_kill_at_once(
    folder: Path, started: Callable[..., Slurm], tmp_path: Path
) -> None:
    executor = started()
    cells = [cell(folder, "waits", path=str(tmp_path / "never")), cell(folder, "null")]
    for job in jobs_of(cells):
        executor.submit(job, executor.idle()[0])
    while not (tmp_path / "never.here").exists():
        executor.events(0.1)
    executor.stop()
    assert executor.idle() == []
    executor.kill()
    gone = lost(executor.events(1.0))
    assert {event.cells[0] for event in gone} == set(cells)
    assert {event.why for event in gone} == {"interrupted"}
    executor.close()
    assert all(task.ended for task in executor._tasks)


def test_without_slurm_it_says_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(AnobenchError, match=r"no sbatch here.*--executor pool"):
        Slurm(setup_of(folder), tmp_path / "spool").start()


@pytest.mark.parametrize("options", [{"time": "long"}, {"partitoin": "gpu"}])
def test_an_option_that_is_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    executor = Slurm(setup_of(folder), tmp_path / "spool", options=options)
    with pytest.raises(AnobenchError, match="--slurm .*" + next(iter(options.values()))):
        executor.start()
    executor.close()


def test_chunks_are_as_long_as_they_should_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "CHUNK_SECONDS", 10.0)
    where = (cell(folder, "null"),)
    jobs = [Job(id=at, cells=where, seconds=seconds) for at, seconds in enumerate((20, 4, 4, 4, 1))]
    jobs += [Job(id=9, cells=where, fresh=True), Job(id=10, cells=where)]
    cut = [[job.id for job in chunk] for chunk in slurm._chunks(jobs)]
    assert cut == [[0], [1, 2], [3, 4], [9], [10]]
    monkeypatch.setattr(slurm, "MOST_CHUNKS", 2)
    assert len(list(slurm._chunks(jobs[:5]))) <= 3


def test_a_journal_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer, reader = Journal(path), Journal(path)
    assert list(reader.read()) == []
    writer.add(started=1)
    with path.open("ab") as file:
        file.write(b'{"finished": ')
    assert list(reader.read()) == [{"started": 1}]
    writer.add(finished=1)
    assert list(reader.read()) == [{"finished": 1}]


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        ({"gres": "gpu:a100:2"}, True),
        ({"gpus": "1"}, True),
        ({"gpus_per_task": "1"}, True),
        ({"tres_per_node": "gres/gpu:1"}, True),
        ({"partition": "gpu", "time": "60"}, False),
    ],
)
def test_a_user_who_asks_for_gpus_is_not_asked_for_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], asks: bool
) -> None:
    import submitit

    asked: dict[str, Any] = {}
    monkeypatch.setattr(submitit.AutoExecutor, "update_parameters", lambda _, **all_: asked.update(all_))
    setup = replace(setup_of(folder), device="cuda")
    executor = Slurm(setup, tmp_path / "spool", options=given, cluster="local", cpus=1)
    executor.start()
    executor.close()
    assert ("gpus_per_node" in asked) == (not asks)
