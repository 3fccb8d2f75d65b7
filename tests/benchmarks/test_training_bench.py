"""A training step of networks from scratch at 32 px, against loading image by image as their authors do.

The reference takes the same step of a network of torch's own layers, contiguous in memory; its mini-batch is
augmented and normalised one image after the other on the host. Made whole, mini-batches take a small part of
that time; of the whole step on a CPU the network takes nearly all, whose convolutions are near what a
processor can do.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from bench import (
    Geometry,
    LeNetInputs,
    PixelRows,
    endless_rows,
    lenet_autoencoder,
    squared_error,
)
from bench.train.geometric import WideResNet, as_input, crops_and_flips
from bench.train.lenet import EnlargedDeconvolution
from bench.train.training import generator_for
from tests.pictures import images, surfaces

PIXELS = surfaces(512, side=32)
TRAIN = images(PIXELS)
ROUNDS = 5
Loss = Callable[[torch.Tensor], torch.Tensor]
Rows = Callable[[int], torch.Tensor]


def contrast_normalised(tensor: torch.Tensor) -> torch.Tensor:
    centred = tensor - tensor.mean()
    return centred / centred.abs().mean()


def one_by_one(rows: NDArray[np.int64], bounds: tuple[float, float]) -> torch.Tensor:
    """Return Deep SVDD's inputs: each a PIL image, a tensor, contrast normalisation, an affine map."""
    found = []
    for row in rows:
        picture = Image.fromarray(PIXELS[row])
        tensor = torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).contiguous().float() / 255
        found.append((contrast_normalised(tensor) - bounds[0]) / (bounds[1] - bounds[0]))
    return torch.stack(found)


def four_turns(rows: NDArray[np.int64], rng: np.random.Generator, shifts: tuple[int, ...]) -> torch.Tensor:
    """Return MHRot's inputs: each image cropped, flipped, moved with mirrored borders, turned four times."""
    found = []
    for row in rows:
        picture = np.asarray(Image.fromarray(PIXELS[row]))
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        top, left = rng.integers(0, 9, 2)
        picture = np.pad(picture, ((4, 4), (4, 4), (0, 0)))[top : top + 32, left : left + 32]
        down, right = (shifts[at] for at in rng.integers(0, len(shifts), 2))
        mirrored = np.pad(picture, ((8, 8), (8, 8), (0, 0)), mode="reflect")
        picture = mirrored[8 - down : 40 - down, 8 - right : 40 - right]
        tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1).float()[None].numpy() / 255
        turned = [np.rot90(tensor, turns, axes=(2, 3)) for turns in range(4)]
        found.append(torch.from_numpy(np.concatenate(turned)))
    return 2 * torch.cat(found) - 1


def step_of(module: nn.Module, loss: Loss, rows: Rows) -> Callable[[int], None]:
    """Return a step of Adam on the loss of a mini-batch, made from its rows."""
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-4)

    def step(at: int) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(rows(at)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def compare(benchmark: Any, ours: Callable[[int], None], reference: Callable[[int], None]) -> None:
    """Time steps of both in turn; put by how many of ours one of the reference takes."""
    ours(0), reference(0)
    if not benchmark.enabled:
        benchmark(ours, 1)
        return
    times: list[float] = []
    for at in range(ROUNDS):
        began = time.perf_counter()
        reference(at)
        times.append(time.perf_counter() - began)
    benchmark.pedantic(ours, args=(1,), rounds=ROUNDS)
    benchmark.extra_info |= {
        "reference ÷ ours": round(min(times) / benchmark.stats.stats.min, 2),
        "ms a step": round(1e3 * benchmark.stats.stats.min, 1),
    }


@pytest.mark.parametrize("what", ["autoencoder", "one-class"])
def test_a_step_of_deep_svdd(benchmark: Any, what: str) -> None:
    """Mini-batches of 200, as published."""
    inputs, model = LeNetInputs(TRAIN, "cifar10", "gcn"), lenet_autoencoder("cifar10", 0)

    def loss(net: nn.Module) -> Loss:
        def error(x: torch.Tensor) -> torch.Tensor:
            return squared_error(x, net(x)).mean()

        return error if what == "autoencoder" else lambda x: net(x).square().sum(1).mean()

    net = model if what == "autoencoder" else model[0]
    plain = nn.Sequential(*map(of_plain_layers, model)) if what == "autoencoder" else of_plain_layers(net)
    compare(
        benchmark,
        step_of(net, loss(net), lambda at: inputs[rows_of(at, 200)]),
        step_of(plain, loss(plain), lambda at: one_by_one(rows_of(at, 200), inputs.bounds)),
    )


def of_plain_layers(net: nn.Sequential) -> nn.Sequential:
    """Return a contiguous copy that enlarges images before it convolves them."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(net):
        if isinstance(layer, EnlargedDeconvolution):
            plain = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 5, padding=2, bias=False)
            plain.load_state_dict(layer.state_dict())
            layers += [nn.Upsample(scale_factor=2), plain]
        else:
            layers.append(layer)
    return nn.Sequential(*layers).to(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("width", [4, 1])
def test_a_step_of_mhrot(benchmark: Any, width: int) -> None:
    """Mini-batches of 128, all turns counted; WRN-16-4 as published, and a narrow network."""
    geometry, pixels, rng = Geometry((0, -8, 8)), PixelRows(TRAIN), np.random.default_rng(0)
    plain = WideResNet(16, width, sum(geometry.heads), 0.3)
    net = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    labels = geometry.labels(torch.zeros(32, dtype=torch.int64))

    def ours(at: int) -> torch.Tensor:
        drawn = generator_for(0, "augment", at)
        move = torch.randint(9, (32,), generator=drawn)
        return as_input(geometry.transformed(crops_and_flips(pixels[rows_of(at, 32)], 4, drawn), move))

    def loss(net: nn.Module) -> Loss:
        return lambda x: -geometry.logs(net(x), labels).mean()

    def theirs(at: int) -> torch.Tensor:
        return four_turns(rows_of(at, 32), rng, geometry.shifts)

    compare(benchmark, step_of(net, loss(net), ours), step_of(plain, loss(plain), theirs))


@pytest.mark.parametrize("what", ["deep_svdd", "mhrot"])
def test_a_mini_batch_alone(benchmark: Any, what: str) -> None:
    """What differs between the two, without the network's part of the step."""
    if what == "deep_svdd":
        inputs = LeNetInputs(TRAIN, "cifar10", "gcn")
        compare(
            benchmark,
            lambda at: [inputs[rows_of(at, 200)]].clear(),
            lambda at: [one_by_one(rows_of(at, 200), inputs.bounds)].clear(),
        )
        return
    geometry, pixels, rng = Geometry((0, -8, 8)), PixelRows(TRAIN), np.random.default_rng(0)

    def ours(at: int) -> None:
        drawn = generator_for(0, "augment", at)
        move = torch.randint(9, (32,), generator=drawn)
        as_input(geometry.transformed(crops_and_flips(pixels[rows_of(at, 32)], 4, drawn), move))

    compare(benchmark, ours, lambda at: [four_turns(rows_of(at, 32), rng, geometry.shifts)].clear())


def rows_of(at: int, many: int) -> NDArray[np.int64]:
    return endless_rows(len(PIXELS), many, at, 0, "bench")
