"""Which executor runs a suite, on which devices and with how many workers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench.core.determinism import cores
from bench.core.errors import AnobenchError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from bench.core.cell import Cell
    from bench.run.cost import Costs
    from bench.run.executors.base import Executor, Progress
    from bench.run.setup import Setup

CLUSTERS = ("ray", "slurm")
#: What ``auto`` is.
DEFAULT = "pool"
EXECUTORS = ("auto", "inline", "pool", *CLUSTERS)
#: Seconds before a worker's first cell: the interpreter, torch, the adapters.
START_SECONDS = 5.0
#: Workers on one GPU by default: more would wait for each other or for the cores.
GPU_WORKERS = 4
#: Workers on one GPU beside these, at most, for methods that compute on the CPU: each has a context of CUDA.
CPU_PLACES = 12
#: An extraction is cut into at most so many parts for Slurm, whose size is not known.
SLURM_DEVICES = 16
#: CPUs of a Slurm job by default.
SLURM_CPUS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a suite; the command line's options of the same names.

    Attributes
    ----------
    executor : {"auto", "inline", "pool", "ray", "slurm"}
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    workers : int, optional
        Processes on each GPU, or on the CPU.
    together : int, optional
        Heads fitted in the same steps, where a method offers it.
    threads : int, optional
        Of a cell on the CPU.
    budget : float, optional
        Seconds after which the run ends.
    max_failures : int, optional
    timing : {"packed", "exclusive"}
    memory_limit : float, optional
        GiB of memory of a worker.
    address : str, optional
        Of a Ray cluster.
    slurm : tuple of str
        ``KEY=VALUE`` for sbatch.
    cpus : int, optional
        Of each worker on a cluster.
    keep : {"", "maps"}
        Keep all anomaly maps (`bench.run.keep`).
    """

    executor: str = "auto"
    device: str = "auto"
    workers: int | None = None
    together: int | None = None
    threads: int | None = None
    budget: float | None = None
    max_failures: int | None = None
    timing: Literal["packed", "exclusive"] = "packed"
    memory_limit: float | None = None
    address: str | None = None
    slurm: tuple[str, ...] = ()
    cpus: int | None = None
    keep: Literal["", "maps"] = ""

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise AnobenchError(
                f"--executor {self.executor}: expected one of {', '.join(EXECUTORS)}"
                f"{did_you_mean(self.executor, EXECUTORS)}"
            )
        if self.timing not in ("packed", "exclusive"):
            raise AnobenchError(f"--timing {self.timing}: expected packed or exclusive")
        if self.keep not in ("", "maps"):
            raise AnobenchError(f"--keep {self.keep}: expected maps")

    @property
    def clustered(self) -> bool:
        return self.executor in CLUSTERS


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An executor, and the number of devices to plan for."""

    executor: Executor
    devices: int
    #: Stops what runs in this process at once, from inside a signal handler.
    at_once: Callable[[], None] | None = None


def choose_executor(
    options: Options,
    setup: Setup,
    devices: Sequence[str],
    costs: Costs,
    todo: Sequence[Cell],
    root: Path,
    on_progress: Callable[[Progress], None],
    on_cpu: Callable[[Cell], bool] = lambda _: False,
) -> Chosen:
    """Return the executor; one for a cluster is started, to see that the cluster answers.

    Parameters
    ----------
    root : Path
        The archive's.
    on_progress : callable
        Called with the progress of long trainings and extractions in this process.
    on_cpu : callable
        Whether a cell's method computes on the CPU, whatever the device is.

    Raises
    ------
    AnobenchError
        A library is missing, no cluster answers, or an option cannot be used.
    """
    if options.executor == "ray":
        from bench.run.executors.ray.executor import RayCluster

        ray = RayCluster(setup, address=options.address, cpus=options.cpus or 1)
        ray.start()
        return Chosen(ray, len(ray.slots()))
    if options.executor == "slurm":
        from bench.run.executors.slurm.executor import Slurm

        given = _sbatch_options(options.slurm)
        slurm = Slurm(setup, root / "spool", options=given, cpus=options.cpus or SLURM_CPUS)
        slurm.start()
        return Chosen(slurm, SLURM_DEVICES)
    pooled, workers = _pooled(options, setup, devices, costs, todo)
    if pooled:
        from bench.run.executors.pool import Pool

        threads = max(1, cores() // (workers * len(devices)))
        default = options.workers is None and workers > 1
        places = _cpu_places(devices, workers, sum(map(on_cpu, todo))) if default else 0
        pool = Pool(replace(setup, extraction_threads=threads), devices, workers, places)
        return Chosen(pool, len(devices) * workers)
    from bench.run.executors.inline import Inline

    inline = Inline(setup.runner(), repeats=setup.repeats, on_progress=on_progress)
    return Chosen(inline, 1, inline.kill)


def _pooled(
    options: Options, setup: Setup, devices: Sequence[str], costs: Costs, todo: Sequence[Cell]
) -> tuple[bool, int]:
    """Return whether to start workers, and how many on each device.

    Cells run in a process of their own by default: a method can then end or change no more than that. One
    worker costs a short run about a second, since its driver imports no torch.
    """
    most = GPU_WORKERS if devices[0] != "cpu" else cores()
    default = 1 if options.timing == "exclusive" else min(cores(), most)
    workers = min(options.workers or default, len(todo))
    # A process's memory cannot be limited from inside.
    asked = options.workers is not None or setup.limits.cell_memory is not None
    executor = DEFAULT if options.executor == "auto" and not asked else options.executor
    if executor == "inline" or options.executor == "pool" or options.workers is not None:
        return executor != "inline", workers
    at_once = workers * len(devices)
    seconds = sum(costs.cell(cell).seconds for cell in todo)
    pays = seconds * (1 - 1 / max(1, at_once)) > 2 * START_SECONDS
    return True, workers if pays or len(devices) > 1 else 1


def _cpu_places(devices: Sequence[str], workers: int, cells: int) -> int:
    """Return how many workers more each GPU gets for so many cells of methods that compute on the CPU."""
    if devices[0] == "cpu":
        return 0
    left = cores() - workers * len(devices)
    return max(0, min(left // len(devices), CPU_PLACES, -(-cells // len(devices))))


def pick_devices(options: Options) -> list[str]:
    """Return the torch devices to run on; ``auto`` and ``cuda`` are all GPUs, else the CPU.

    For a cluster it is ``["cuda"]`` or ``["cpu"]``, whatever this machine has.

    Raises
    ------
    AnobenchError
        There is no such GPU, a library is missing, or no cluster answers.
    """
    asked = options.device
    if options.clustered:
        return _cluster_device(options)
    if asked == "cpu" or (asked == "auto" and not _may_have_gpus()):
        return ["cpu"]
    # As NVML numbers GPUs; before CUDA starts, here and in workers.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    import torch

    from bench.features.device import supported_device, why_no_gpu

    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = [f"cuda:{index}" for index in range(number)]
    if asked == "auto" and not every:
        log.warning(
            "a GPU's driver is here, but torch can use no GPU (%s): this run uses the CPU", why_no_gpu()
        )
    if asked == "auto":
        return every or ["cpu"]
    if asked == "cuda" and every:
        return every
    if asked in every:
        return [asked]
    if asked.partition(":")[0] in ("mps", "xpu", "hip", "xla", "hpu", "npu", "privateuseone"):
        supported_device(asked)
    if not asked.startswith("cuda") or not (asked[4:] == "" or asked[5:].isdigit()):
        raise AnobenchError(f"--device {asked}: expected auto, cpu, cuda or cuda:N")
    raise AnobenchError(
        f"--device {asked}: torch finds {number} GPUs{f' ({why_no_gpu()})' if not number else ''}; use "
        "--device cpu, or see anobench doctor"
    )


def _cluster_device(options: Options) -> list[str]:
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


def _may_have_gpus() -> bool:
    """Return False where there is certainly no GPU, without importing torch."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))  # noqa: PTH110


def _sbatch_options(given: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise AnobenchError(f"--slurm {text}: expected KEY=VALUE, e.g. partition=gpu or time=240")
        options[name.strip().replace("-", "_")] = value.strip()
    return options
