"""Running on a cluster: what ``--executor ray`` and ``--executor slurm`` need beside the other options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import AnobenchError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.run.executor import Executor
    from bench.run.setup import Setup

CLUSTERS = ("ray", "slurm")
#: An extraction is cut into at most so many parts for Slurm, whose size is not known.
SLURM_DEVICES = 16


def cluster_device(executor: str, device: str, address: str | None) -> str:
    """Return ``"cuda"`` or ``"cpu"``: what is wanted of the cluster, whatever this machine has.

    Raises
    ------
    AnobenchError
        A single GPU is named, a library is missing, or no cluster answers.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise AnobenchError(f"--device {device}: expected auto, cpu or cuda; the cluster hands out its GPUs itself")
    if device != "auto" or executor == "slurm":
        return "cuda" if device == "cuda" else "cpu"
    from bench.run.extras import extra
    from bench.run.rayconnect import connect

    ray = extra("ray", "ray", "the executor ray")
    connect(ray, address)
    return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"


def cluster_executor(
    setup: Setup, kind: str, address: str | None, slurm: Sequence[str], cpus: int | None, root: Path
) -> tuple[Executor, int]:
    """Return a started executor, and how many devices to plan for.

    Parameters
    ----------
    slurm : sequence of str
        ``"partition=gpu"``, ``"time=240"``, …
    cpus : int or None
        Of each worker.
    root : Path
        The archive's.

    Raises
    ------
    AnobenchError
        A library is missing, no cluster answers, or an option is not one.
    """
    executor: Executor
    if kind == "ray":
        from bench.run.raycluster import RayCluster

        executor = RayCluster(setup, address=address, cpus=cpus or 1)
        executor.start()
        return executor, len(executor.places())
    from bench.run.slurm import Slurm

    executor = Slurm(setup, root / "spool", options=_options(slurm), cpus=cpus or 4)
    executor.start()
    return executor, SLURM_DEVICES


def _options(given: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise AnobenchError(f"--slurm {text}: expected KEY=VALUE, e.g. partition=gpu or time=240")
        options[name.strip().replace("-", "_")] = value.strip()
    return options
