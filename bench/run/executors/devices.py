"""GPUs: how busy they are, according to NVML where it is installed (``nvidia-ml-py``), and a worker's own."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable
from typing import Any


@functools.cache
def _nvml() -> Any:
    """Return the module with a connection, or None."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, or no driver: either way there is nothing to show
        return None
    return pynvml


def _handle(nvml: Any, device: str) -> Any:
    """Return NVML's handle of a device as torch numbers it: of a GPU, or of a part of one (MIG)."""
    index = int(device.partition(":")[2] or 0)
    shown = _visible()
    name = shown[index] if shown is not None and index < len(shown) else str(index)
    if name.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    return nvml.nvmlDeviceGetHandleByUUID(name)


def _visible() -> list[str] | None:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` names, as CUDA reads it; None if it names all.

    What follows a number that is no GPU's (``-1``) is not seen.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    return list(itertools.takewhile(lambda part: part and not part.startswith("-"), parts))


def free_bytes(device: str) -> int | None:
    """Return a GPU's free memory now, whoever has the rest; None without NVML."""
    nvml = _nvml() if device.startswith("cuda") else None
    if nvml is None:
        return None
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, device)).free)
    except nvml.NVMLError:
        return None


def usage(devices: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return ``("cuda:0", "87 % busy, 12.3 of 80.0 GiB")`` for each GPU among `devices`, if NVML is there."""
    asked = sorted(device for device in devices if device.startswith("cuda"))
    nvml = _nvml() if asked else None
    if nvml is None:
        return ()
    found = []
    for device in asked:
        try:
            handle = _handle(nvml, device)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError:
            continue
        found.append((device, f"{busy} % busy, {memory.used / 2**30:.1f} of {memory.total / 2**30:.1f} GiB"))
    return tuple(found)


def own_device(device: str) -> tuple[str, str | None]:
    """Return a device as its worker sees it, and its ``CUDA_VISIBLE_DEVICES``: its own GPU alone.

    So a record says ``cuda`` whichever GPU it ran on.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return device, None
    shown, number = _visible(), int(index or 0)
    return "cuda", shown[number] if shown is not None and number < len(shown) else str(number)
