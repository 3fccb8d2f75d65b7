"""A run's progress: the time left, and the status in a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.core.errors import ArchiveError
from bench.run.executors.base import Extracted, Finished, Job, Progress, Slot, Started
from bench.run.progress import ProgressTracker, Snapshot
from tests.factory import make_cell, make_record

SLOTS = [Slot(name=f"cpu #{n}", device="cpu") for n in (1, 2)]
CELL = make_cell("a", "dn2", dataset="toy", backbone="hog")
RECORD = make_record(CELL)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_what_cells_really_took(clock: list[float]) -> None:
    tracker = ProgressTracker("trial", SLOTS, total=5)
    assert tracker.left_seconds() is None
    # An extraction thought to take an hour takes a second: that says nothing of cells.
    tracker.submitted(Job(id=0, cells=(CELL,), part=(0, 1), seconds=3600.0))
    tracker.event(Started(job=0, cell=CELL, slot=SLOTS[0]))
    clock[0] = 1.0
    tracker.event(Extracted(job=0))
    tracker.submitted(Job(id=1, cells=(CELL,), seconds=10.0))
    tracker.event(Started(job=1, cell=CELL, slot=SLOTS[0]))
    clock[0] = 21.0
    tracker.event(Finished(job=1, record=RECORD, scores=None))
    tracker.finished(RECORD)
    tracker.update(40.0)
    assert tracker.left_seconds() == pytest.approx(2 * 40.0 / 2), "twice as slow as thought, on two slots"


def test_a_snapshot_says_what_runs_where(clock: list[float]) -> None:
    tracker = ProgressTracker("trial", SLOTS, total=2, _began=0.0)
    tracker.submitted(Job(id=3, cells=(CELL,)))
    tracker.event(Started(job=3, cell=CELL, slot=SLOTS[1]))
    tracker.event(Progress(job=3, kind="training", what="Cap", done=1200, total=5000))
    clock[0] = 7.0
    tracker.finished(RECORD)
    tracker.finished(make_record(CELL, status="failed"))
    assert tracker.snapshot() == Snapshot(
        suite="trial",
        driver="",
        total=2,
        done=2,
        failed=1,
        seconds=7.0,
        left_seconds=0.0,
        running=(("cpu #2", str(CELL), 7.0, "1,200 of 5,000"),),
        devices=(),
    )


def test_the_status_is_written_now_and_then_and_goes_with_the_run(clock: list[float], tmp_path: Path) -> None:
    tracker = ProgressTracker("trial", SLOTS, total=2, file=tmp_path / "status" / "trial.json")
    tracker.update(0.0)
    assert tracker.file is not None
    first = tracker.file.read_text()
    clock[0] = 1.0
    tracker.update(0.0)
    assert tracker.file.read_text() == first
    clock[0] = 3.0
    tracker.update(0.0, "budget")
    assert Snapshot.from_json(tracker.file.read_text()).ending == "budget"
    tracker.close()
    assert not tracker.file.exists()


def test_another_file_is_no_status() -> None:
    with pytest.raises(ArchiveError, match="not a run's status"):
        Snapshot.from_json("[]")


def test_a_status_survives_its_file() -> None:
    now = Snapshot(
        suite="trial",
        driver="a",
        total=9,
        done=4,
        failed=1,
        seconds=3.5,
        left_seconds=None,
        running=(("cpu #1", "dn2 · toy/a", 1.5, "3 of 9"),),
        devices=(("cuda:0", "87 % busy"),),
    )
    assert Snapshot.from_json(now.to_json()) == now


@pytest.mark.parametrize("kind", ["features", "training"])
def test_the_rest_of_an_extraction_is_estimated_from_its_speed(clock: list[float], kind: str) -> None:
    tracker = ProgressTracker("trial", SLOTS, total=1)
    tracker.event(Started(job=0, cell=CELL, slot=SLOTS[0]))
    clock[0] = 10.0  # building the network says nothing of its speed
    tracker.event(Progress(job=0, kind=kind, what="toy/train", done=64, total=1064))
    assert "left" not in tracker.note(0)
    clock[0] = 20.0
    tracker.event(Progress(job=0, kind=kind, what="toy/train", done=164, total=1064))
    assert tracker.note(0).endswith("164 of 1,064, about 2 min left")
    # Another source starts anew.
    tracker.event(Progress(job=0, kind=kind, what="toy/test", done=64, total=500))
    assert "left" not in tracker.note(0)
    assert tracker.note(1) == ""
