"""What a run shows: words, a table that fits its terminal, and lines now and then elsewhere."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from bench.run import live
from bench.run.executors.base import Finished, Job, Progress, Slot, Started
from bench.run.progress import ProgressTracker, Snapshot
from tests.factory import make_cell, make_record

CELL = make_cell("a", "dn2", dataset="toy", backbone="hog")
NOW = Snapshot(
    suite="trial",
    driver="a",
    total=800,
    done=120,
    failed=2,
    seconds=60.0,
    left_seconds=300.0,
    running=(("cpu #2", f"{CELL} {'of a long name ' * 9}", 1.4, "3 of 9"), ("cpu #1", "first", 100.0, "")),
    devices=(("cuda:0", "87 % busy"),),
)


def lines(now: Snapshot, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(live.drawn(now))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert live.duration(seconds) == words


def test_the_headline_says_how_far_a_run_is() -> None:
    assert live.headline(NOW) == "120 of 800 cells, 2 failed, about 5 min left"
    assert live.headline(replace(NOW, failed=0, ending="budget")) == "120 of 800 cells, ending (budget)"
    assert live.headline(replace(NOW, done=800, failed=0)) == "800 of 800 cells"


@pytest.mark.parametrize("width", [60, 120])
def test_each_cell_has_one_line_on_any_terminal(width: int) -> None:
    first, second, device, bar = lines(NOW, width)
    assert first.split() == ["cpu", "#1", "first", "2", "min"]
    assert second.startswith("cpu #2  dn2")
    assert "…" in second
    assert device.split() == ["cuda:0", "87", "%", "busy"]
    assert bar.startswith("━━━━")
    assert "120 of 800 cells, 2 failed, a" in bar
    assert len(bar) <= width


def test_the_bar_is_forty_wide_before_the_headline() -> None:
    *_, bar = lines(replace(NOW, running=(), devices=()), 120)
    assert bar.index("120 of 800 cells") == 40 + 2


def test_more_cells_than_rows_are_counted() -> None:
    many = tuple((f"cpu #{n:02}", "x", 1.0, "") for n in range(live.MOST_ROWS + 3))
    shown = lines(replace(NOW, running=many, devices=()), 80)
    assert len(shown) == live.MOST_ROWS + 2
    assert shown[-2].strip() == "and 3 more"


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(
        live, "err", Console(file=said, width=200, soft_wrap=True, markup=False, highlight=False)
    )
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tracker = ProgressTracker("trial", [Slot(name="cpu", device="cpu")], total=3)
    failed = replace(
        make_record(CELL, status="failed"), error={"kind": "error", "reason": "no memory\nat line 3"}
    )
    with live.view(tracker) as shown:
        tracker.submitted(Job(id=0, cells=(CELL,)))
        tracker.event(Started(job=0, cell=CELL, slot=tracker.slots[0]))
        for seconds in (1.0, live.PLAIN_INTERVAL, live.PLAIN_INTERVAL + 1):
            clock[0] = seconds
            shown.on_progress(Progress(job=0, kind="features", what="toy · hog", done=64, total=100))
        tracker.event(Finished(job=0, record=failed, scores=None))
        tracker.finished(failed)
        shown.on_record(failed)
        for _ in range(2):
            tracker.finished(make_record(CELL))
            shown.on_record(make_record(CELL))
    assert said.getvalue().splitlines() == [
        "features of toy · hog: 64/100 images",
        f"failed: {CELL}: no memory",
        f"3 of 3 cells, 1 failed: {CELL}",
    ]
