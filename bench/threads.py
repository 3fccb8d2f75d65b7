"""How many threads numerical libraries use: few and fixed for cells, many for forward passes.

Decompositions (Cholesky, eigenvalues, singular values), k-means and the gradients of convolutions give other
last bits with another number of threads, so that a cell's number must not depend on the machine's cores or on
how many workers share them. Forward passes of frozen networks give the same bits with any number.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

#: Threads that a cell computes with.
CELL_THREADS = 1


def fix_threads(number: int) -> None:
    """Set the threads of torch, BLAS and OpenMP in this process, as far as they are loaded."""
    import threadpoolctl
    import torch

    threadpoolctl.threadpool_limits(limits=number)
    torch.set_num_threads(number)


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Let torch use so many threads inside the block; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
