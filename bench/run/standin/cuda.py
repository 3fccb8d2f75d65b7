"""The stand-in itself: the two modes, and what stands in for `torch.cuda`, generators and autocast."""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any
from unittest import mock

import torch
from torch.nn.utils import clip_grad

from bench.data.transfer import constant
from bench.run.standin.memory import Counts, DeviceMemory
from bench.run.standin.modes import GPU, HOST, Calls, Kernels, is_gpu

#: Added to the seeds of the device's generators: a GPU draws other numbers than a host.
_OTHER = 0x5EED
#: In `clip_grad`.
_GROUPS = "_group_tensors_by_device_and_dtype"


def _generators() -> type:
    plain = torch.Generator

    class Generator(plain):  # type: ignore[misc,valid-type]
        """A generator of the host, or of the device, which draws other numbers."""

        def __new__(cls, device: Any = "cpu") -> Generator:
            made = plain.__new__(cls)
            made._on_gpu = is_gpu(device)
            return made

        @property
        def device(self) -> torch.device:
            return GPU if self._on_gpu else HOST

        def manual_seed(self, seed: int) -> Generator:
            super().manual_seed((seed + _OTHER) % 2**63 if self._on_gpu else seed)
            return self

    return Generator


def _autocasts() -> type:
    plain = torch.autocast

    class Autocast(plain):  # type: ignore[misc,valid-type]
        """The host's autocast, asked for as the device's."""

        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    return Autocast


def _cuda(device: DeviceMemory, number: int) -> dict[str, Callable[..., Any]]:
    """Return what stands in for functions of `torch.cuda`."""

    def synchronize(*_: Any) -> None:
        device.counts.synchronised += 1

    def reset(*_: Any) -> None:
        device.peak = device.sweep()

    properties = types.SimpleNamespace(
        name="stand-in", total_memory=device.memory, major=9, minor=0, multi_processor_count=1
    )
    nothing = lambda *_, **__: None  # noqa: E731
    return {
        "is_available": lambda: True, "is_initialized": lambda: True, "device_count": lambda: number,
        "current_device": lambda: 0, "set_device": nothing, "_lazy_init": nothing, "init": nothing,
        "synchronize": synchronize, "empty_cache": nothing, "ipc_collect": nothing,
        "manual_seed": nothing, "manual_seed_all": nothing, "is_current_stream_capturing": lambda: False,
        "get_device_name": lambda *_: properties.name, "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (9, 0), "is_bf16_supported": lambda *_, **__: True,
        "mem_get_info": lambda *_: (device.memory - device.sweep(), device.memory),
        "memory_allocated": lambda *_: device.sweep(), "memory_reserved": lambda *_: device.sweep(),
        "max_memory_allocated": lambda *_: device.peak, "max_memory_reserved": lambda *_: device.peak,
        "reset_peak_memory_stats": reset,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8), "set_rng_state": nothing,
    }  # fmt: skip


def _groups(device: DeviceMemory) -> Callable[..., Any]:
    """Return how clipping sorts gradients by device, which torch does without asking them in Python."""
    plain = getattr(clip_grad, _GROUPS)

    def groups(lists: Any, *given: Any, **named: Any) -> Any:
        found = plain(lists, *given, **named)
        return {
            (GPU if device.has(tensors[0][0]) else where, dtype): (tensors, places)
            for (where, dtype), (tensors, places) in found.items()
        }

    return groups


@contextlib.contextmanager
def standin(*, memory: int = 2**40, devices: int = 1, watched: Collection[str] = ()) -> Iterator[Counts]:
    """Have a device ``cuda:0`` inside the block, in this thread.

    Parameters
    ----------
    memory : int
        Bytes of the device; beyond them `torch.OutOfMemoryError` is raised, as by CUDA.
    devices : int
        Of what `torch.cuda` speaks; tensors live on the first.
    watched : collection of str
        Files whose lines are counted besides ours: adapters of elsewhere.

    Yields
    ------
    Counts
        Of what the block does.
    """
    # Else the first mode imports it, and it finds functions that are not torch's.
    importlib.import_module("torch._dynamo")
    device = DeviceMemory(memory, watched)
    with contextlib.ExitStack() as stack:
        constant.cache_clear()  # tensors of another stand-in
        stack.callback(constant.cache_clear)
        for name, value in _cuda(device, devices).items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(torch.optim.Optimizer, name):  # by the version of torch; asks the driver
                stack.enter_context(mock.patch.object(torch.optim.Optimizer, name))
        stack.enter_context(mock.patch.object(torch, "Generator", _generators()))
        stack.enter_context(mock.patch.object(clip_grad, _GROUPS, _groups(device)))
        stack.enter_context(mock.patch.object(torch, "autocast", _autocasts()))
        stack.enter_context(Kernels(device))
        stack.enter_context(Calls(device))
        yield device.counts
