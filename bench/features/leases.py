"""Pins: which keys of the feature store running processes use.

A process marks each key that it reads by a file named after host, process number and start time. A pin is
valid while its process runs; one of another host, for some hours after its last renewal.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import platform
import re
import time
from pathlib import Path

_ELSEWHERE_HOURS = 12
_RENEW_SECONDS = 600

_pins: dict[Path, float] = {}


@functools.cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", platform.node()) or "host"


def _started(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _own_pin() -> str:
    return f".pin-{_host()}-{os.getpid()}-{_started(os.getpid())}"


def pin(folder: Path) -> None:
    """Mark a key as used by this process, until it ends."""
    path = folder / _own_pin()
    if time.monotonic() - _pins.get(path, -float("inf")) < _RENEW_SECONDS:
        return
    if not _pins:
        atexit.register(unpin_all, os.getpid())
    with contextlib.suppress(OSError):  # a read-only cache needs no pin
        path.touch()
        _pins[path] = time.monotonic()


def unpin_all(pid: int | None = None) -> None:
    """Remove this process's pins (not, in a forked child, its parent's)."""
    if pid not in (None, os.getpid()):
        return
    for path in list(_pins):
        with contextlib.suppress(OSError):
            path.unlink()
        del _pins[path]


def touch(folder: Path) -> None:
    """Record the time of use."""
    with contextlib.suppress(OSError):
        os.utime(folder / "key.json")


def pinned(folder: Path, *, by_others: bool = False) -> bool:
    """Return whether a running process uses the key; removes pins of dead processes."""
    own, used = _own_pin(), False
    for path in folder.glob(".pin-*"):
        if by_others and path.name == own:
            continue
        with contextlib.suppress(OSError, ValueError):
            host, pid, started = path.name.removeprefix(".pin-").rsplit("-", 2)
            if host != _host():
                counts = time.time() - path.stat().st_mtime < _ELSEWHERE_HOURS * 3600
            else:
                counts = abs((_started(int(pid)) or -10) - int(started)) <= 1
            used |= counts
            if not counts:
                path.unlink()
    return used
