"""Seconds and peak memory of a piece of work, with the device synchronised at both ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.features.device import synchronise

if TYPE_CHECKING:
    import torch

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def synchronised_seconds(device: torch.device) -> float:
    """Return a clock's seconds once the device has done what it was told."""
    synchronise(device)
    return time.perf_counter()


class Stopwatch:
    """Seconds between ``start`` (at construction) and ``stop``, synchronised."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = synchronised_seconds(device)

    def stop(self) -> float:
        return synchronised_seconds(self._device) - self._start


class PeakMemory:
    """Peak memory since construction.

    On Linux the kernel's high-water mark of this process is reset, so that each cell has its own; where that
    is not possible the host's peak is None rather than that of an earlier cell.
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
        """Return ``host_peak_bytes`` (resident set) and ``device_peak_bytes`` (allocated by torch)."""
        host = None
        if self._host:
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    host = int(line.split()[1]) * 1024
        device = None
        if self._device.type == "cuda":
            import torch

            device = int(torch.cuda.max_memory_allocated(self._device))
        return {"host_peak_bytes": host, "device_peak_bytes": device}
