"""GPUs: how busy they are, according to NVML where it is installed (``nvidia-ml-py``), and a worker's own."""

from __future__ import annotations

import functools
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


def usage(devices: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return ``("cuda:0", "87 % busy, 12.3 of 80.0 GiB")`` for each GPU among `devices`, if NVML is there."""
    asked = sorted(device for device in devices if device.startswith("cuda"))
    nvml = _nvml() if asked else None
    if nvml is None:
        return ()
    shown = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    found = []
    for device in asked:
        index = int(device.partition(":")[2] or 0)
        name = shown[index] if index < len(shown) else str(index)
        try:
            handle = (
                nvml.nvmlDeviceGetHandleByIndex(int(name))
                if name.isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(name)
            )
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
    shown = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    number = int(index or 0)
    return "cuda", shown[number] if number < len(shown) else str(number)
