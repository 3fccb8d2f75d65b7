"""Settings of torch in this process: threads, seeds, determinism, and the allocator on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import platform
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bench.core.errors import AnobenchError, said

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def fix_threads(number: int) -> None:
    """Set the threads of torch, BLAS and OpenMP in this process, as far as they are loaded."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(limits=number)
    torch.set_num_threads(number)


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set the number of torch's threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, for methods that use them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:  # the same, without half a millisecond for the missing GPUs
        torch.default_generator.manual_seed(seed)


def supported_device(name: str) -> torch.device:
    """Return a device by its name, ``"cpu"`` or ``"cuda:1"``.

    Raises
    ------
    AnobenchError
        It is of another kind.
    """
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise AnobenchError(
            f"device {name}: anobench runs on cpu and on cuda (NVIDIA's GPUs, AMD's under ROCm), not on "
            f"{kind}; use cpu"
        )
    return torch.device(name)


def arithmetic(precision: str, device: torch.device) -> str:
    """Return how features are computed: ``"float32"`` on a CPU, ``"float32 on cuda"`` on a GPU.

    A GPU resizes and convolves with other last digits than a CPU, so features of one do not serve the other.
    """
    return precision if device.type == "cpu" else f"{precision} on {device.type}"


def why_no_gpu() -> str:
    """Return why torch can use no GPU here; empty if it can."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built for CPUs; install a build for your driver's CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return said(error).splitlines()[0]
    return "torch sees none (CUDA_VISIBLE_DEVICES?)"


def deterministic() -> None:
    """Ask torch for the same bits every time: deterministic algorithms, no autotuning, no TF32.

    Call it before CUDA starts: cuBLAS reads its workspace's setting once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would also fill each new tensor with NaN: slow, and useful only to find uninitialised reads.
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cache_bytes(device: torch.device) -> int:
    """Return how many bytes of features a process may keep on its device: 1 GiB of a CPU's memory.

    Of a GPU a sixteenth of what is free now, from 256 MiB to 4 GiB: several processes share it.
    """
    if device.type != "cuda":
        return 2**30
    return int(min(max(torch.cuda.mem_get_info(device)[0] // 16, 2**28), 2**32))


def free_cached() -> None:
    """Give back what torch keeps of a GPU's memory for later; without a GPU it does nothing."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


@functools.cache
def tune_allocator() -> bool:
    """Make glibc's allocator keep its memory, once in this process; return whether that was possible.

    By default it returns every large activation to the kernel, and a convolutional network on a CPU spends
    most of its time in page faults (MobileNet-v2 at 224 px: 34 instead of 85 images/s). ``ANOBENCH_MALLOC=0``
    leaves the allocator alone.
    """
    if os.environ.get("ANOBENCH_MALLOC") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, -1), mallopt(_M_TOP_PAD, 64 * 2**20)]
    log.debug("allocator options: %s", done)
    return all(done)


def give_back() -> None:
    """Let the kernel have what `tune_allocator` made the allocator keep: on a CPU, after an extraction."""
    if tune_allocator():
        ctypes.CDLL(None).malloc_trim(0)
