"""What only a GPU can prove, as checks of a few seconds each; without one, what a stand-in can show.

Each check returns what it found in a line, or fails with one. `anobench doctor --gpu` prints them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.core.devicefaults import is_device_lost, is_out_of_memory
from bench.core.errors import said as said_by
from bench.data.given import PixelSource
from bench.data.images import Images
from bench.data.resize import resize, resize_by_float, to_tensor
from bench.features.backbone import Backbones
from bench.features.device import deterministic, free_cached
from bench.features.provider import FeatureProvider
from bench.run.gpuspeed import (
    CheckFailed,
    NotHere,
    decoding,
    idle_memory_is_given_back,
    mps_runs,
    peaks_against_nvml,
    small_network,
    speed,
)
from bench.run.standin import Counts, standin
from bench.run.standin.steps import count_steps
from bench.run.trial import good, to_be_scored
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod
from bench.train.method import Method

#: Methods with heads on frozen features, and parameters for a few mini-batches.
HEADS: Mapping[str, Mapping[str, Any]] = {
    "plume": {"epochs": 2, "batch": 20, "lr": 0.01},
    "cap": {"epochs": 2, "batch": 20},
    "deep_svdd_features": {"epochs": 2, "batch": 20},
    "sla2p": {"transforms": 16, "dimensions": 16},
}
#: The largest difference between scores of a CPU and a GPU, as a share of the largest score.
MOST_OFF = 0.05
#: Those that are trained several at a time.
TOGETHER = ("plume", "cap", "deep_svdd_features")
FEATURES = "pixels[size=8]"
#: The largest difference between features of a CPU and a GPU, as a share of the largest feature.
MOST_APART = 1e-4


def first_line(error: BaseException) -> str:
    return said_by(error).splitlines()[0]


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: ``pass``, ``fail``, or ``skip`` where it needs a GPU."""

    name: str
    device: str
    outcome: str
    said: str
    seconds: float


def run_checks(devices: Sequence[str]) -> Iterator[Checked]:
    """Run the checks on GPUs, ``["cuda:0"]``; without any on a stand-in, as far as it can tell."""
    deterministic()
    for name in devices or ("stand-in",):
        real = name != "stand-in"
        for title, check, where in CHECKS:
            started = time.perf_counter()
            if where == "gpu" and not real:
                yield Checked(title, name, "skip", "needs a GPU", 0.0)
                continue
            try:
                with nullcontext() if real or where == "host" else standin():
                    outcome, said = "pass", check(torch.device(name if real else "cuda:0"))
            except NotHere as missing:
                outcome, said = "skip", str(missing)
            except Exception as error:  # whatever is wrong is what the check is for
                outcome, said = "fail", f"{type(error).__name__}: {first_line(error)}"
            yield Checked(title, name, outcome, said, time.perf_counter() - started)


def _images(pixels: np.ndarray, device: torch.device) -> tuple[Images, PixelSource]:
    source = PixelSource("check", list(pixels))
    return Images.of(source).bind(FeatureProvider(Backbones({}, None), device, cache=None)), source


def _made(name: str, device: torch.device, seed: int = 0) -> Method:
    parameters = {**HEADS[name], "backbone": FEATURES}
    method = ResolvedMethod(Registry().methods[name], parameters).make()
    method.device, method.seed = device, seed
    return method


def _scores(name: str, device: str) -> np.ndarray:
    """Return the scores of a freshly fitted method, (n,), float64."""
    deterministic()
    on, method = torch.device(device), _made(name, torch.device(device))
    # Of the features' own side: a device resizes with up to one grey level of difference, which training
    # carries on.
    (train, source), (test, other) = (
        _images(each[:, ::4, ::4], on) for each in (good(40), to_be_scored()[0])
    )
    method.fit(train)
    image = method.score(test).image
    del source, other  # images hold no source
    return np.asarray(image.cpu() if isinstance(image, torch.Tensor) else image, np.float64)


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.cpu().double() - expected.double()).abs().max() / expected.abs().max())


def memory_and_products(device: torch.device) -> str:
    """The device computes a product of matrices, and says how much memory is free."""
    a = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    apart = _apart(a.to(device) @ a.to(device).T, (a.double() @ a.double().T))
    free, total = torch.cuda.mem_get_info(device)
    if apart > MOST_APART:
        raise CheckFailed(f"a product of matrices is {apart:.1g} off")
    name = torch.cuda.get_device_name(device)
    return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free; products within {apart:.1g}"


def pixels_and_features(device: torch.device) -> str:
    """The same pixels give the features of a CPU, within rounding: resized and through a network."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), dtype=np.uint8)
    here, there = to_tensor(pixels, torch.device("cpu")), to_tensor(pixels, device)
    levels = (
        (resize_by_float(there, (32, 32), "bilinear").cpu().int() - resize(here, (32, 32)).int()).abs().max()
    )
    network, given = small_network(), here.float() / 255
    with torch.inference_mode():
        expected = network(given)
        apart = _apart(network.to(device)(given.to(device)), expected)
    if int(levels) > 1 or apart > MOST_APART:
        raise CheckFailed(f"resized pixels differ by {int(levels)} grey levels, features by {apart:.1g}")
    return f"resized pixels within {int(levels)} grey level, features within {apart:.1g}"


def places_in_a_batch(device: torch.device) -> str:
    """The features of an image do not depend on its place in a batch of 256."""
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        found = small_network().to(device)(image.expand(256, -1, -1, -1).contiguous())
    different = int((found != found[:1]).any(1).sum())
    if different:
        raise CheckFailed(f"the bits of an image's features differ at {different} of 256 places")
    return "the same bits at 256 places"


def scores_as_on_a_cpu(device: torch.device) -> str:
    """Methods with heads score as on a CPU, but for rounding."""
    apart = {}
    for name in HEADS:
        found, expected = (torch.from_numpy(_scores(name, each)) for each in (str(device), "cpu"))
        apart[name] = _apart(found, expected)
    said = ", ".join(f"{name} {value:.1g}" for name, value in apart.items())
    if max(apart.values()) > MOST_OFF:
        raise CheckFailed(f"the largest differences to a CPU's scores are {said}")
    return f"largest differences: {said}"


def twice_and_in_another_process(device: torch.device) -> str:
    """The same cell has the same bits, twice in this process and once in another."""
    wrong = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for name in HEADS:
            here = [_digest(name, str(device)) for _ in range(2)]
            digests = {*here, pool.apply(_digest, (name, str(device)))}
            wrong += [name] * (len(digests) > 1)
    if wrong:
        raise CheckFailed(f"scores of {', '.join(wrong)} differ from run to run")
    return f"the same bits for {', '.join(HEADS)}"


def _digest(name: str, device: str) -> str:
    return hashlib.sha256(_scores(name, device).tobytes()).hexdigest()


def memory_runs_out(device: torch.device) -> str:
    """Where memory runs out the error is known as such, and work goes on."""
    held, error, known = list[torch.Tensor](), None, False
    step = max(1, torch.cuda.mem_get_info(device)[0] // 8)
    try:
        for _ in range(16):
            held.append(torch.empty(step, dtype=torch.uint8, device=device))
    except RuntimeError as raised:
        error = raised
        known = is_out_of_memory(raised) and not is_device_lost(raised)
    held.clear()
    free_cached()
    if error is None or not known:
        raise CheckFailed(f"16 times an eighth of the memory gave {error!r}")
    total = float(torch.ones(1000, device=device).sum())
    if total != 1000:
        raise CheckFailed(f"after it ran out, a sum of 1000 ones is {total}")
    return f"after {first_line(error)[:60]} … the device works"


def an_assert_is_known(device: torch.device) -> str:
    """An assert on the device is known as its loss; it happens in another process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        known, said = pool.apply(_asserts, (str(device),))
    if not known:
        raise CheckFailed(f"an index out of range gave {said}")
    return said[:100]


def _asserts(device: str) -> tuple[bool, str]:
    try:
        torch.zeros(3, device=device)[torch.tensor([7], device=device)].cpu()
    except RuntimeError as error:
        return is_device_lost(error), first_line(error)
    return False, "no error"


def steps_of_heads(device: torch.device) -> str:
    """The kernels and waits of a step with 1, 8 and 32 heads, counted on the stand-in."""
    del device
    said = []
    for name in TOGETHER:
        each = {heads: _steps(name, heads) for heads in (1, 8, 32)}
        kernels = "/".join(f"{steps[0]:.0f}" for steps in each.values())
        said.append(f"{name} {kernels} kernels, {each[32][1]:.0f} waits")
        if each[32][1] or each[32][0] > 1.5 * each[1][0]:
            raise CheckFailed(f"a step of {said[-1]} with 1/8/32 heads")
    return "with 1/8/32 heads: " + "; ".join(said)


def _steps(name: str, heads: int) -> tuple[float, float]:
    with standin() as counts:
        steps = _count(counts, name, heads)
    return steps.usual("kernels"), steps.stalls


def _count(counts: Counts, name: str, heads: int) -> Any:
    on = torch.device("cuda:0")
    methods = [_made(name, on, seed) for seed in range(heads)]
    given = [_images(good(40, seed), on) for seed in range(heads)]
    together: Any = type(methods[0])
    return count_steps(counts, lambda: together.fit_together(methods, [images for images, _ in given]))


def workers_at_once(device: torch.device) -> str:
    """Cells a minute of 1, 2 and 4 processes on the device, and whether MPS runs; with it, check again."""
    rates = []
    for workers in (1, 2, 4):
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            given = [("cap", str(device))] * workers
            pool.starmap(_digest, given, chunksize=1)
            started = time.perf_counter()
            pool.starmap(_digest, 4 * given, chunksize=1)
            rates.append(60 * 4 * workers / (time.perf_counter() - started))
    cells = "/".join(f"{rate:.0f}" for rate in rates)
    return f"1/2/4 workers: {cells} cells a minute, {'under' if mps_runs() else 'without'} MPS"


#: Title, check, and where it runs: on a ``gpu`` alone, on ``any`` device, or on the ``host``.
CHECKS: tuple[tuple[str, Callable[[torch.device], str], str], ...] = (
    ("memory and products", memory_and_products, "any"),
    ("pixels and features", pixels_and_features, "any"),
    ("places in a batch", places_in_a_batch, "gpu"),
    ("scores as on a CPU", scores_as_on_a_cpu, "any"),
    ("the same bits again", twice_and_in_another_process, "gpu"),
    ("memory runs out", memory_runs_out, "any"),
    ("an assert is known", an_assert_is_known, "gpu"),
    ("steps of heads", steps_of_heads, "host"),
    ("decoding", decoding, "host"),
    ("speed", speed, "gpu"),
    ("idle memory", idle_memory_is_given_back, "gpu"),
    ("peaks against NVML", peaks_against_nvml, "gpu"),
    ("workers at once", workers_at_once, "gpu"),
)
