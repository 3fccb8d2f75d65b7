"""The reference workload: a fixed piece of work whose seconds say how fast a machine is just now.

Seconds of a cell over those of the reference, both timed in the same run, compare between runs on one kind
of machine (`bench.report.compare.speed`). It is what methods do most: products of matrices, sorting, and
Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Rows and columns of its matrices, and turns of its loop.
SIZE, TURNS = 384, 20_000


def reference_seconds(device: torch.device, clock: Callable[[], float]) -> float:
    """Return the seconds that the reference workload takes now.

    Parameters
    ----------
    device : torch.device
    clock : callable
        Returns seconds once the device has finished its work.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(SIZE, SIZE, generator=generator).to(device)
    started = clock()
    product = matrix
    for _ in range(4):
        product = torch.nn.functional.normalize(product @ matrix)
    product.sort(dim=1)
    total = 0
    for turn in range(TURNS):
        total += turn
    return clock() - started
