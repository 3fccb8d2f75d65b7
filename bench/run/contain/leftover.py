"""Processes and threads that a method leaves behind: found, named, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path

#: A variable that all processes of a run inherit, however far they get away from it.
MARK = "ANOBENCH_RUN"


#: Linux: processes whose parent has ended become this one's children.
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1


def adopt_orphans(*, adopt: bool = True) -> None:
    """Have daemons that a method leaves behind become this process's children, where that is possible."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def new_mark() -> str:
    """Return a name for the processes of this one: its number, when it started, and what no other has."""
    return f"{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex}"


def _started(pid: int) -> str:
    """Return when a process started, in the system's ticks; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def end_abandoned() -> int:
    """Kill processes that carry the mark of a run that is gone; return how many there were."""
    killed = 0
    for pid in _pids() if sys.platform == "linux" else ():
        for line in _environment(pid).split(b"\0"):
            name, _, mark = line.decode("ascii", "replace").partition("=")
            number, _, rest = mark.partition("-")
            if name == MARK and number.isdigit() and _started(int(number)) != rest.partition("-")[0]:
                killed += _kill(pid)
    return killed


def _kill(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def end_children(pids: Iterable[int]) -> None:
    """Kill children of this process and theirs, and forget them."""
    import psutil

    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for each in psutil.Process(pid).children(recursive=True):
                _kill(each.pid)
        _kill(pid)
        with contextlib.suppress(OSError):
            os.waitpid(pid, 0)


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """Have processes that start inside the block carry a mark in their environment."""
    before = os.environ.get(MARK)
    os.environ[MARK] = mark
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(MARK, None)
        else:
            os.environ[MARK] = before


def end_marked(mark: str) -> int:
    """Kill all processes that carry a mark, this one apart; return how many there were."""
    killed = 0
    for pid in _pids():
        if pid != os.getpid() and f"{MARK}={mark}".encode() in _environment(pid).split(b"\0"):
            killed += _kill(pid)
    return killed


def _pids() -> list[int]:
    import psutil

    return list(psutil.pids())


def _environment(pid: int) -> bytes:
    import psutil

    try:
        found = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return b""
    return b"\0".join(f"{name}={value}".encode() for name, value in found.items())


def children() -> set[int]:
    """Return this process's children; empty, cheaply, without any."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError, OSError):
        return set()
    import psutil

    found = set()
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(
                    child.cmdline()
                ):
                    found.add(child.pid)
    return found


def threads() -> set[threading.Thread]:
    """Return Python's running threads."""
    return set(threading.enumerate())


def die_with_parent() -> None:
    """End this process with the driver's, however that ends; Linux does so even inside C code."""
    parent = parent_process()
    assert parent is not None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent.pid:  # it ended before this call
                os._exit(1)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
