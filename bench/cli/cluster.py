"""Running on a cluster: what ``--executor ray`` and ``--executor slurm`` need beside the other options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cli.execute import Options
    from bench.run.executors.base import Executor
    from bench.run.setup import Setup

CLUSTERS = ("ray", "slurm")
#: An extraction is cut into at most so many parts for Slurm, whose size is not known.
SLURM_DEVICES = 16
#: CPUs of a Slurm job by default.
SLURM_CPUS = 4


@dataclass(frozen=True, slots=True)
class Remote:
    """A started executor, and how many devices to plan for."""

    executor: Executor
    devices: int


def cluster_device(options: Options) -> list[str]:
    """Return ``["cuda"]`` or ``["cpu"]``: what is wanted of the cluster, whatever this machine has.

    Raises
    ------
    AnobenchError
        A single GPU is named, a library is missing, or no cluster answers.
    """
    if options.device not in ("auto", "cpu", "cuda"):
        raise AnobenchError(
            f"--device {options.device}: expected auto, cpu or cuda; a cluster hands out its GPUs itself"
        )
    if options.device != "auto" or options.executor == "slurm":
        return ["cuda" if options.device == "cuda" else "cpu"]
    from bench.core.optional import optional_import
    from bench.run.executors.ray.connect import connect

    ray = optional_import("ray", "ray", "the executor ray")
    connect(ray, options.address)
    return ["cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"]


def cluster_executor(setup: Setup, options: Options, root: Path) -> Remote:
    """Connect to the cluster.

    Parameters
    ----------
    root : Path
        The archive's.

    Raises
    ------
    AnobenchError
        A library is missing, no cluster answers, or an option is not one.
    """
    if options.executor == "ray":
        from bench.run.executors.ray.executor import RayCluster

        ray = RayCluster(setup, address=options.address, cpus=options.cpus or 1)
        ray.start()
        return Remote(ray, len(ray.slots()))
    from bench.run.executors.slurm.executor import Slurm

    given = _options(options.slurm)
    slurm = Slurm(setup, root / "spool", options=given, cpus=options.cpus or SLURM_CPUS)
    slurm.start()
    return Remote(slurm, SLURM_DEVICES)


def _options(given: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise AnobenchError(f"--slurm {text}: expected KEY=VALUE, e.g. partition=gpu or time=240")
        options[name.strip().replace("-", "_")] = value.strip()
    return options
