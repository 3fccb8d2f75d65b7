"""What can happen to a driver: a kill, a signal, a full disk, another driver. On real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench
from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.run.executors.inline import Inline
from tests.run.faulty import Trial, bench_folder, children

#: A deadline, for a machine that has much else to do; nothing waits so long otherwise (seconds).
PATIENCE = 300.0


def until(true: Callable[[], Any]) -> None:
    """Look again and again until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts ``anobench run`` in `tmp_path` on suite files of the faulty folder."""
    bench_folder(tmp_path / "bench")
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[str]] = []

    def begin(methods: list[str], *words: str, code: str = "") -> subprocess.Popen[str]:
        suite = tmp_path / "bench" / "suites" / "trial.toml"
        suite.write_text(f'datasets = ["toy"]\nmethods = {methods!r}\n'.replace("'", '"'))
        command = f"{code}\nfrom bench.cli import main\nif __name__ == '__main__':\n    main()\n"
        # A file, since that is what workers import again.
        (tmp_path / "begin.py").write_text(command)
        driver = subprocess.Popen(
            [sys.executable, "begin.py", "run", str(suite), "--bench", "bench", "--device", "cpu", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(bench.__file__).resolve().parent.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(driver)
        return driver

    yield begin
    for driver in started:
        driver.kill()
        driver.communicate()


def starts(folder: Path, how: str) -> list[str]:
    """Return the process numbers of the cells of a kind, one for each start."""
    return [line for file in folder.glob(f"{how}-*") for line in file.read_text().split()]


def keys(folder: Path) -> set[str]:
    """Return the keys of readable records; there may be no others."""
    archive = Archive(folder / "results")
    found = set(archive.load_all(archive.keys()))
    assert not archive.unreadable
    return found


def test_a_killed_driver_takes_its_workers_with_it_and_goes_on_later(start: Start, tmp_path: Path) -> None:
    methods = [f"fault[how=waits,at={tmp_path},number={n}]" for n in range(2)] + ["fault", "random"]
    driver = start(methods, "--executor", "pool", "--workers", "2")
    until(lambda: len(starts(tmp_path, "waits")) == 2)
    workers = psutil.Process(driver.pid).children(recursive=True)
    assert len(workers) >= 2
    driver.kill()
    driver.communicate()
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    before = keys(tmp_path)
    assert len(before) < 8
    (tmp_path / "go").touch()
    again = start(methods, "--executor", "inline")
    _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert len(keys(tmp_path)) == 8


#: Kills the driver and its workers where a record has its temporary name still.
KILLS_ALL = """
import os, psutil, signal
replace, seen = os.replace, []
def killing(source, target):
    if str(target).endswith(".json") and "plans" not in str(target) and "status" not in str(target):
        seen.append(target)
        if len(seen) == 3:
            for child in psutil.Process().children(recursive=True):
                child.kill()
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
if __name__ == '__main__':
    os.replace = killing
"""


def test_killing_all_while_a_record_is_written_tears_nothing(start: Start, tmp_path: Path) -> None:
    methods = [f"fault[number={n}]" for n in range(6)]
    killed = start(methods, "--executor", "pool", "--workers", "1", code=KILLS_ALL)
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    assert len(keys(tmp_path)) < 12
    again = start(methods)
    _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert len(keys(tmp_path)) == 12


def test_sigterm_lets_running_cells_end_and_starts_no_other(start: Start, tmp_path: Path) -> None:
    methods = [f"fault[how=waits,at={tmp_path},number={n}]" for n in range(4)]
    driver = start(methods, "--executor", "pool", "--workers", "1")
    until(lambda: list(tmp_path.glob("waits-*")))
    driver.send_signal(signal.SIGTERM)
    assert driver.stderr is not None
    assert "terminated" in driver.stderr.readline()
    (tmp_path / "go").touch()
    _, said = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 143
    assert "1 of 8 cells are kept" in said
    assert len(keys(tmp_path)) == 1


def test_two_drivers_share_the_cells_and_both_finish(start: Start, tmp_path: Path) -> None:
    methods = [f"fault[how=meets,at={tmp_path},number={n}]" for n in range(10)]
    drivers = [start(methods, "--executor", "inline") for _ in range(2)]
    for driver in drivers:
        _, said = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, said
    runs = starts(tmp_path, "meets")
    assert len(runs) == 20, "each cell ran once"
    assert len(set(runs)) == 2, "both drivers had some"
    assert len(keys(tmp_path)) == 20
    assert not list((tmp_path / "results" / "records" / "status").iterdir())


def test_a_full_disk_ends_the_run_and_leaves_complete_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, [f"fault[number={n}]" for n in range(6)])
    real, written = os.fsync, []

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArchiveError, match="No space left"):
            list(trial.run(Inline(trial.setup.runner())))
    kept = trial.records()
    assert 0 < len(kept) < len(trial.cells)
    for record in kept.values():
        trial.archive.scores(record)
        trial.archive.truth(record)
    assert not list(trial.archive.root.glob("??/.*"))
    assert not children()
    trial.cells = [cell for cell in trial.cells if cell.key not in kept]
    list(trial.run(Inline(trial.setup.runner())))
    assert not trial.archive.unreadable
