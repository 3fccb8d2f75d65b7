"""What options of a run mean: devices and durations."""

from __future__ import annotations

import os
import sys

from bench.core.errors import AnobenchError


def pick_devices(asked: str) -> list[str]:
    """Return the torch devices that were asked for; ``auto`` and ``cuda`` are all GPUs, else the CPU.

    Raises
    ------
    AnobenchError
        A GPU was asked for that is not there.
    """
    if asked == "cpu" or (asked == "auto" and not _may_have_gpus()):
        return ["cpu"]
    import torch

    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = [f"cuda:{index}" for index in range(number)]
    if asked == "auto":
        return every or ["cpu"]
    if asked == "cuda" and every:
        return every
    if asked in every:
        return [asked]
    if not asked.startswith("cuda") or not (asked[4:] == "" or asked[5:].isdigit()):
        raise AnobenchError(f"--device {asked}: expected auto, cpu, cuda or cuda:N")
    raise AnobenchError(
        f"--device {asked}: torch finds {number} GPUs; use --device cpu, or see anobench doctor"
    )


def _may_have_gpus() -> bool:
    """Return False where there is surely none, without importing torch."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))  # noqa: PTH110


def seconds_of(text: str | None) -> float | None:
    """Read ``"90s"``, ``"20min"``, ``"2h"``, ``"1.5d"``.

    Raises
    ------
    AnobenchError
        It is something else.
    """
    if text is None:
        return None
    units = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number = text.strip().rstrip("smindh ")
    unit = text.strip()[len(number) :].strip()
    try:
        seconds = float(number) * units[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise AnobenchError(f"--budget {text}: expected a number with a unit, e.g. 90s, 20min, 2h or 1d")
    return seconds
