"""``anobench doctor``: what is installed, where data and weights are, what is missing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import BenchFolders, Json, registry
from bench.core.errors import AnobenchError


def doctor(
    bench: BenchFolders = [],  # noqa: B006
    gpu: Annotated[bool, typer.Option("--gpu", help="Check the GPUs; minutes.")] = False,
    beside: Annotated[
        Path | None, typer.Option("--out", "-o", help="With --gpu: write the outcomes here as JSON, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Check the installation: versions, devices, adapters, data and weights, and how to get what is missing.

    Exit status 1 if an adapter cannot be used or the cache cannot be written; with --gpu, if a check fails.
    """
    # The doctor only looks; it must not start a download.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from bench.cli.console import hand_json

    if gpu:
        raise typer.Exit(_gpus(beside, json=json))
    if beside is not None:
        raise AnobenchError("--out: it goes with --gpu, whose outcomes it gets")
    said = _Said(shown=not json)
    _installation(said)
    wrong = _folders(said) + _adapters(bench, said)
    _weights(said)
    if json:
        hand_json("doctor", {"wrong": wrong, "sections": said.sections})
    raise typer.Exit(1 if wrong else 0)


class _Said:
    """What the doctor says, by section; printed at once unless it is wanted as JSON."""

    def __init__(self, *, shown: bool) -> None:
        self.shown, self.sections = shown, dict[str, list[str]]()

    def heading(self, text: str) -> None:
        from bench.cli.console import out

        self.sections[text] = []
        if self.shown:
            out.print(f"\n{text}", style="bold")

    def print(self, text: str) -> None:
        from bench.cli.console import out

        next(reversed(self.sections.values())).append(text)
        if self.shown:
            out.print(text)


def _installation(out: _Said) -> None:
    import bench as package
    from bench.run.environment import cpu_name, git_state, versions

    out.heading("Installation")
    folder = Path(package.__file__).resolve().parent
    git = git_state(folder)
    checkout = f", commit {git['commit'][:12]}{' (changed)' if git['dirty'] else ''}" if git else ""
    out.print(f"anobench {package.__version__} in {folder}{checkout}")
    out.print(f"Python {platform.python_version()} on {platform.platform()}")
    out.print(", ".join(f"{name} {version}" for name, version in versions().items()))
    out.heading("Devices")
    out.print(f"CPU: {cpu_name()}, {os.cpu_count()} cores")
    import torch

    from bench.features.device import why_no_gpu

    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        out.print(f"cuda:{index}: {torch.cuda.get_device_name(index)}, {memory:.0f} GiB")
    if why := why_no_gpu():
        out.print(f"GPU: none that torch can use; runs use the CPU ({why})")


def _gpus(beside: Path | None, *, json: bool) -> int:
    """Run the checks of GPUs and show them; return 1 if one fails."""
    from bench.cli.console import hand_json, out, table
    from bench.core.errors import plain_text
    from bench.features.device import why_no_gpu
    from bench.run.environment import describe
    from bench.run.gpucheck import Checked, run_checks

    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    why = why_no_gpu()
    devices = [] if why else [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if why and not json:
        out.print(
            f"no GPU that torch can use ({why}): what follows is a stand-in's, which says nothing of speed"
        )
    shown, found = table("GPU checks", "device", "check", "outcome", "s", "found"), list[Checked]()
    for each in run_checks(devices):
        found.append(each)
        shown.add_row(each.device, each.name, each.outcome, f"{each.seconds:.1f}", plain_text(each.said, 500))
    about = {"environment": describe(devices[0] if devices else "cpu"), "no gpu": why, "checks": found}
    if json:
        hand_json("doctor --gpu", about)
    else:
        out.print(shown)
    if beside is not None:
        hand_json("doctor --gpu", about, beside)
    return int(any(each.outcome == "fail" for each in found))


def _folders(out: _Said) -> int:
    from bench.core.errors import AnobenchError
    from bench.core.files import cache_folder, data_folders, write_atomically

    out.heading("Data, weights, cache")
    wrong = 0
    try:
        folders = data_folders()
        for folder in folders:
            out.print(f"ANOBENCH_DATA: {folder}")
            for path in sorted([*folder.glob("weights/*.safetensors"), *folder.glob("weights/*.pt*")]):
                out.print(f"  weights/{path.name}")
        if not folders:
            out.print("ANOBENCH_DATA is not set: only embedded data sets and downloads are available")
    except AnobenchError as error:
        out.print(f"wrong: {error}")
        wrong += 1
    cache = cache_folder()
    try:
        write_atomically(cache / ".probe", b"")
        (cache / ".probe").unlink()
        out.print(f"cache: {cache} (set ANOBENCH_CACHE to move it)")
    except AnobenchError:
        out.print(f"wrong: the cache {cache} cannot be written; set ANOBENCH_CACHE to a folder that can")
        wrong += 1
    return wrong


def _weights(out: _Said) -> None:
    """Say of each backbone with a name of its own whether its weights are here, without downloading any."""
    from bench.features.backbone import Backbones
    from bench.features.presets import PRESETS
    from bench.features.weights import is_here, why_not_had

    out.heading("Weights of the built-in backbones")
    for name, spec in PRESETS.items():
        backbone = Backbones().get(name)
        source = spec.timm or spec.torchvision
        if is_here(backbone):
            out.print(f"ok     {name}: {source}")
        elif why := why_not_had(backbone):
            out.print(f"absent {why}")
        else:
            out.print(f"absent {name}: {source}, downloaded when a run needs it")


def _adapters(folders: list[Path], out: _Said) -> int:
    from bench.core.errors import AnobenchError
    from bench.suite.libraries import missing

    found = registry(folders)
    wrong = 0
    out.heading("Methods")
    for adapter in found.methods.values():
        try:
            adapter.load()
            lacking = missing(adapter.imports)
            needs = f": needs {', '.join(lacking)}" if lacking else ""
            out.print(f"{'lacks ' if lacking else 'ok    '} {adapter.name}{needs}")
        except AnobenchError as error:
            wrong += 1
            out.print(f"wrong  {error}")
    out.heading("Data sets")
    for adapter in found.datasets.values():
        try:
            cls = adapter.load()
        except AnobenchError as error:
            wrong += 1
            out.print(f"wrong  {error}")
            continue
        if adapter.missing():
            out.print(f"ok     {adapter.name} (needs parameters)")
            continue
        try:
            dataset = cls()
            tasks = dataset.tasks()
            # Tasks may be known without the data; the fingerprint reads it (once, then it is cached).
            dataset.fingerprint()
            note = " (synthetic)" if dataset.synthetic else ""
            out.print(f"ok     {adapter.name}: {len(tasks)} tasks{note}")
        except AnobenchError as error:
            out.print(f"absent {adapter.name}: {error}")
    for adapter in found.shadowed:
        out.print(f"hidden {adapter.path}: an earlier folder has an adapter of the same name")
    return wrong
