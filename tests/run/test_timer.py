"""A process that times cells dies, or says what is no answer: how, when and its last words are said."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import pytest

from bench.run.timer import CodeSide, Timer, TimingError

#: Answers until it is asked for a cell, as `bench.run.timeworker` does.
WORKER = """
import ctypes, json, os, signal, subprocess, sys, time
sys.stdin.readline()
print(json.dumps({"clock": "processor"}), flush=True)
sys.stdin.readline()
print("about to", file=sys.stderr, flush=True)
"""
PLACE = ("digits", "3", "dn2", "k=2", "hog", "0.0", "")


def started(folder: Path, text: str) -> Timer:
    """Return a timer whose process has this code for its worker."""
    room = folder / "bench" / "run"
    room.mkdir(parents=True)
    for each in (folder / "bench", room):
        (each / "__init__.py").touch()
    (room / "timeworker.py").write_text(text)
    return Timer(CodeSide(name="main", folder=folder, path=(folder,), suite="quickstart"), {}, "cpu", None)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (
            "raise ValueError('the planted error')",
            r"ended with exit status 1 while it timed digits/3 of dn2; .*: Traceback.* \| "
            "ValueError: the planted error$",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            r"was killed by signal 9 \(SIGKILL\), as a system does that runs out of memory while it timed",
        ),
        (
            "ctypes.string_at(0)",
            r"was killed by signal 11 \(SIGSEGV\) while .*: Fatal Python error: Segmentation fault \| .*"
            "in string_at",
        ),
        ("os._exit(0)", r"ended with exit status 0 while .*: about to$"),
        # Its child has the pipe of the answers, and does not end.
        (
            "print(os.fork() and os.kill(os.getpid(), 9) or time.sleep(20))",
            r"was killed by signal 9 \(SIGKILL\)",
        ),
        ("print('a library greets', flush=True); sys.stdin.read()", "says 'a library greets', which is no"),
    ],
)
def test_how_it_died_is_said(way: str, says: str, tmp_path: Path) -> None:
    timer = started(tmp_path, WORKER + way)
    assert timer.clock() == "processor"
    with pytest.raises(TimingError) as caught:
        timer.seconds(PLACE, 1)
    timer.close()
    assert re.search(rf"^main: the process that times cells {says}", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise SystemExit(7)", "ended with exit status 7 while it got ready; .*: nothing$"),
        ("import sys; sys.stdin.readline(); print({})", r"cannot time cells: it answers \{\}$"),
    ],
)
def test_it_is_never_ready(text: str, says: str, tmp_path: Path) -> None:
    timer = started(tmp_path, text)
    with pytest.raises(TimingError, match=says):
        timer.clock()
    timer.close()


def test_a_process_with_many_open_files_times_too(tmp_path: Path) -> None:
    """Descriptors above 1,023, which select() does not know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        timer = started(tmp_path, WORKER + "print('{\"seconds\": 0.5}')")
        assert timer.clock() == "processor"
        assert timer.seconds(PLACE, 1) == 0.5
        timer.close()
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_without_seconds_is_a_reason(tmp_path: Path) -> None:
    timer = started(tmp_path, WORKER + "print('{\"second\": 1}')")
    timer.clock()
    assert timer.seconds(PLACE, 1) == 'it answers {"second": 1}'
    timer.close()


def test_no_process_can_be_started(tmp_path: Path) -> None:
    side = CodeSide(name="main", folder=tmp_path / "gone", path=(), suite="quickstart")
    with pytest.raises(TimingError, match=r"main: no process to time cells can be started: .*No such file"):
        Timer(side, {}, "cpu", None)
