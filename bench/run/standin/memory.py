"""The memory of a stand-in device, and counts of what the device did."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
from torch.multiprocessing.reductions import StorageWeakRef

_HERE = str(Path(__file__).parent)
#: Folders whose lines are named.
_OURS = (str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "methods"))


@dataclass(slots=True)
class Counts:
    """What the device did, by the line that asked (``"item bench/train/heads.py:80"``).

    Attributes
    ----------
    kernels : Counter
        Operators that compute, by their name; views are none.
    waits : Counter
        Calls for which the host waits, copies to the host apart.
    to_device, to_host : Counter
        Copies; ``pinned`` before those to the device for which the host does not wait.
    synchronised : int
        Calls of `torch.cuda.synchronize`.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    to_device: Counter[str] = field(default_factory=Counter)
    to_host: Counter[str] = field(default_factory=Counter)
    synchronised: int = 0

    def clear(self) -> None:
        """Start again from zero."""
        for each in (self.kernels, self.waits, self.to_device, self.to_host):
            each.clear()
        self.synchronised = 0

    def totals(self) -> dict[str, int]:
        """Return the sums: kernels, waits, to_device, to_host."""
        names = ("kernels", "waits", "to_device", "to_host")
        return {name: getattr(self, name).total() for name in names}


def asking_line(watched: Collection[str] = ()) -> str:
    """Return the innermost line of ours, ``bench/train/heads.py:80``; empty if there is none.

    Files that are watched count as ours, too, by their full names.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name in watched:
            return f"{name}:{frame.f_lineno}"
        if name.startswith(_OURS) and not name.startswith(_HERE):
            return f"{Path(name).relative_to(Path(_OURS[0]).parent).as_posix()}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _weak(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def expired(held: StorageWeakRef) -> bool:
    """Return whether a storage is gone."""
    return bool(held.expired())  # type: ignore[no-untyped-call]


class DeviceMemory:
    """Which storages are the device's own, and how many bytes they have."""

    def __init__(self, memory: int, watched: Collection[str] = ()) -> None:
        self.watched = frozenset(watched)
        self.memory, self.bytes, self.peak, self.counts = memory, 0, 0, Counts()
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}
        self._pinned: dict[int, StorageWeakRef] = {}
        #: Whether what runs now is part of a transfer.
        self.transfers = False
        #: Whether what runs now is one of the device's calls under `torch.func`, whose rules make tensors of
        #: their own, beside their input.
        self.batches = False

    def has(self, tensor: torch.Tensor) -> bool:
        held = self._held.get(storage_of(tensor)._cdata)
        return held is not None and not expired(held[0])

    def take(self, tensor: torch.Tensor) -> None:
        """Make a tensor's storage the device's.

        Raises
        ------
        torch.OutOfMemoryError
            There is no memory for it.
        """
        if self.has(tensor):
            return
        storage = storage_of(tensor)
        size = storage.nbytes()
        if self.bytes + size > self.memory or len(self._held) % 4096 == 0:
            self.sweep()
        if self.bytes + size > self.memory:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
        self._held[storage._cdata] = _weak(storage), size
        self.bytes += size
        self.peak = max(self.peak, self.bytes)

    def sweep(self) -> int:
        """Forget storages that are gone; return the bytes of the others."""
        self._held = {key: held for key, held in self._held.items() if not expired(held[0])}
        self.bytes = sum(size for _, size in self._held.values())
        return self.bytes

    def pin(self, tensor: torch.Tensor) -> None:
        storage = storage_of(tensor)
        self._pinned[storage._cdata] = _weak(storage)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        held = self._pinned.get(storage_of(tensor)._cdata)
        return held is not None and not expired(held)

    def copied(self, name: str, source: torch.Tensor, *, to_device: bool, unhurried: bool = False) -> None:
        """Count a copy between the host and the device."""
        if to_device:
            kind = "pinned " if unhurried and self.is_pinned(source) else ""
            self.counts.to_device[f"{kind}{name} {asking_line(self.watched)}"] += 1
        else:
            self.counts.to_host[f"{name} {asking_line(self.watched)}"] += 1

    def moved(self, source: torch.Tensor, make: Callable[[], torch.Tensor], on: bool) -> torch.Tensor:
        """Return a copy of a tensor, on the device or not, that counts as no kernel."""
        self.transfers = True
        try:
            out = make()
            if storage_of(out)._cdata == storage_of(source)._cdata:
                out = out.clone()
        finally:
            self.transfers = False
        if on:
            self.take(out)
        return out


def storage_of(tensor: torch.Tensor) -> torch.UntypedStorage:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()
