"""What a record was computed on: versions, code, hardware, determinism flags. Plain JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

#: Packages whose version can change a score.
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "pillow",
    "datasets",
)


def versions() -> dict[str, str]:
    """Return the versions of `PACKAGES`, as far as they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return ``commit`` and ``dirty`` of the checkout that contains `folder`, or None."""

    git = ("git", "-C", str(folder))
    try:
        commit = _output(*git, "rev-parse", "HEAD")
        # Runs write results; the code stays the same.
        status = _output(
            *git, "status", "--porcelain", "--untracked-files=all", "--", ".", ":(exclude)results"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}


def cpu_name() -> str:
    """Return the processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe(device: str) -> dict[str, Any]:
    """Return the environment of this process on `device` (imports torch)."""
    import torch

    import bench

    gpu: dict[str, Any] | None = None
    if device.startswith("cuda"):
        gpu = {
            "name": torch.cuda.get_device_name(device),
            "memory_bytes": torch.cuda.get_device_properties(device).total_memory,
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return {
        "anobench": bench.__version__,
        "git": git_state(Path(bench.__file__).resolve().parent),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "cpu": {"name": cpu_name(), "cores": os.cpu_count()},
        "gpu": gpu,
        "device": device,
        "threads": {"torch": torch.get_num_threads(), "omp": os.environ.get("OMP_NUM_THREADS")},
        "determinism": {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        },
    }


def _driver() -> str | None:
    try:
        return (
            _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
            .splitlines()[0]
            .strip()
        )
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
