"""What a cell costs: its peak memory; and a limit on its seconds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import Interruption

if TYPE_CHECKING:
    import torch

#: Between two attempts to interrupt a cell (seconds).
AGAIN = 1.0
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Peak memory since construction.

    On Linux this resets the process's high-water mark in the kernel; where that is impossible the host's peak
    is None rather than that of an earlier cell.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        try:
            _CLEAR_REFS.write_text("5")
            self._host = True
        except OSError:
            self._host = False
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, int | None]:
        """Return ``host_peak_bytes`` (resident set) and ``device_peak_bytes`` (taken by torch)."""
        host = None
        if self._host:
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    host = int(line.split()[1]) * 1024
        device = None
        if self._device.type == "cuda":
            import torch

            device = int(torch.cuda.max_memory_reserved(self._device))
        return {"host_peak_bytes": host, "device_peak_bytes": device}


class CellTimeout(Interruption):
    """A cell took longer than the suite allows."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `CellTimeout` after so many seconds, where Python code runs: a call into C code ends first."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not usable:
        yield
        return

    def interrupt(*_: object) -> None:
        raise CellTimeout(f"took longer than the suite's limit of {seconds:g} s (limits.cell_seconds)")

    before = signal.signal(signal.SIGALRM, interrupt)
    # Again and again: a method may catch the first.
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
