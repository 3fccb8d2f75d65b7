"""Checks of what limits a GPU: decoding, copies, and the memory that processes take and give back."""

from __future__ import annotations

import io
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from bench.data.resize import resize_by_float, to_tensor
from bench.data.source import EncodedSource, decoding_threads
from bench.features.device import free_cached, synchronise
from bench.run.cost import CONTEXT_BYTES
from bench.run.executors.devices import free_bytes

#: Side of the images that are decoded, and how many.
SIDE, FILES = 512, 32


class CheckFailed(Exception):
    """A check found something else than it should."""


class NotHere(Exception):
    """A check needs something that is not here; says what."""


def small_network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU()
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 128)).eval()


def decoding(device: torch.device) -> str:
    """Images a second from encoded files, by kind, with the threads that this process may use."""
    del device
    threads = f"{decoding_threads()} thread{'s' if decoding_threads() > 1 else ''}"
    rates = [f"{kind} {_decoded_a_second(kind):.0f}/s" for kind in ("JPEG", "PNG")]
    return f"{SIDE} x {SIDE} by {threads}: {', '.join(rates)}"


def _decoded_a_second(kind: str) -> float:
    # Smooth and rough, as photographs are.
    line = np.linspace(0, 200, SIDE)
    noise = np.random.default_rng(0).integers(0, 56, (SIDE, SIDE, 3))
    held = io.BytesIO()
    Image.fromarray((line[:, None, None] / 2 + line[None, :, None] / 2 + noise).astype(np.uint8)).save(
        held, kind
    )
    content = held.getvalue()
    source = EncodedSource("check", "check", 2**20, lambda _: content, str)  # too many to be kept
    source.read(np.arange(1))
    started = time.perf_counter()
    source.read(np.arange(FILES))
    return FILES / (time.perf_counter() - started)


def speed(device: torch.device) -> str:
    """Images a second by part: to the device, resized there, through a network, and back."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)
    network, rates = small_network().to(device), dict[str, float]()

    def timed(name: str, what: Callable[[], torch.Tensor]) -> torch.Tensor:
        what()
        synchronise(device)
        started = time.perf_counter()
        found = what()
        synchronise(device)
        rates[name] = len(pixels) / (time.perf_counter() - started)
        return found

    with torch.inference_mode():
        there = timed("copied", lambda: to_tensor(pixels, device))
        small = timed("resized", lambda: resize_by_float(there, (224, 224), "bilinear"))
        features = timed("network", lambda: network(small.float() / 255))
        timed("back", features.cpu)
    return ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())


def idle_memory_is_given_back(device: torch.device) -> str:
    """A process that took 60 % of the free memory and is idle leaves 50 % to another."""
    free = torch.cuda.mem_get_info(device)[0]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        kept = pool.apply(_takes_and_gives_back, (str(device), int(0.6 * free)))
        try:
            torch.empty(free // 2, dtype=torch.uint8, device=device)
        except RuntimeError as error:
            raise CheckFailed(
                f"an idle process that had taken 60 % leaves no 50 %: {str(error).splitlines()[0]}"
            ) from None
        finally:
            free_cached()
    return f"an idle process keeps {kept / 2**20:.0f} MiB of torch's, and 50 % of the memory is there"


def _takes_and_gives_back(device: str, size: int) -> int:
    held = torch.empty(size, dtype=torch.uint8, device=device)
    del held
    free_cached()
    return int(torch.cuda.memory_reserved(device))


def peaks_against_nvml(device: torch.device) -> str:
    """What a process takes of a card besides what torch counts is no more than is assumed.

    Raises
    ------
    NotHere
        Without NVML nobody knows.
    """
    before = free_bytes(str(device))
    if before is None:
        raise NotHere("needs NVML: python -m pip install nvidia-ml-py")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        after, reserved = pool.apply(_peak_and_free, (str(device),))
    beside = before - after - reserved
    said = f"1 GiB of torch's is {reserved / 2**20:.0f} MiB, and {beside / 2**20:.0f} MiB come with it"
    if beside > CONTEXT_BYTES:
        raise CheckFailed(f"{said}: more than the {CONTEXT_BYTES / 2**20:.0f} MiB that packing assumes")
    return said


def _peak_and_free(device: str) -> tuple[int, int]:
    """Return the card's free memory, by NVML, beside 1 GiB of this process's, and torch's peak."""
    held = torch.ones(2**28, device=device)
    held.sum().item()
    return free_bytes(device) or 0, int(torch.cuda.max_memory_reserved(device))


def mps_runs() -> bool:
    """Return whether processes share GPUs through NVIDIA's MPS here."""
    return (Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")) / "control").exists()
