"""From the host to the device: without waiting for it, and as few times as possible."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray

#: Parts of a packet start at multiples of so many bytes, as the largest numbers need.
_ALIGNED = 16


def sent(device: torch.device, *parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return tensors of the host on the device: one copy from pinned memory, which the host does not await.

    Parameters
    ----------
    device : torch.device
        If it is the host, the tensors come back as they are.
    *parts : Tensor
        Of the host.
    """
    if device.type == "cpu":
        return parts
    starts, size = [], 0
    for part in parts:
        starts.append(size)
        size += -(-part.nbytes // _ALIGNED) * _ALIGNED
    packet = torch.empty(size, dtype=torch.uint8)
    for start, part in zip(starts, parts, strict=True):
        _within(packet, start, part).copy_(part)
    there = packet.pin_memory().to(device, non_blocking=True)
    return tuple(_within(there, start, part) for start, part in zip(starts, parts, strict=True))


def rows_of(values: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    """Return rows, numbered on the host, of a tensor (n, ...), copied: (len(rows), ...), on its device."""
    return values[sent(values.device, torch.from_numpy(np.ascontiguousarray(rows)))[0]]


def _within(packet: torch.Tensor, start: int, like: torch.Tensor) -> torch.Tensor:
    return packet[start : start + like.nbytes].view(like.dtype).view(like.shape)


@functools.lru_cache(maxsize=256)
def constant(device: torch.device, *values: float) -> torch.Tensor:
    """Return numbers on the device, float32, shape (n,), which are sent there once; do not change them."""
    with torch.inference_mode(False):  # for trainings, too
        return sent(device, torch.tensor(values, dtype=torch.float32))[0]
