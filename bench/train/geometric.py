"""Telling how an image was moved and turned: the network, the transformations, training and score.

References
----------
Golan, El-Yaniv, "Deep Anomaly Detection Using Geometric Transformations", NeurIPS 2018; Hendrycks, Mazeika,
Kadavath, Song, "Using Self-Supervised Learning Can Improve Model Robustness and Uncertainty", NeurIPS 2019,
section 4.2, and the authors' code; Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from bench.core.determinism import derive_seed
from bench.core.errors import FitError
from bench.data.images import Images
from bench.data.pixelrows import PixelRows, filled_parts
from bench.data.transfer import sent
from bench.train.method import Method, Scores
from bench.train.training import Training, epoch_rows, generator_for

#: Epochs of the schedules.
GEOMETRIC_EPOCHS = {"paper": 100, "short": 10}
#: Quarter turns.
TURNS = (0, 1, 2, 3)
#: Where the rate of a cosine ends.
LAST_RATE = 1e-6
#: Images scored at once; the last part is filled up.
_AT_ONCE = 64


class WideResNet(nn.Module):
    """A wide residual network on small images, with one linear layer for all heads.

    Parameters
    ----------
    depth : int
        6 n + 4, with n blocks in each of three stages.
    width : int
        Times 16, 32 and 64 channels.
    outputs : int
    dropout : float
        Between a block's two convolutions.
    """

    def __init__(self, depth: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        channels, blocks = 16, []
        for stage, made in enumerate((16 * width, 32 * width, 64 * width)):
            for number in range((depth - 4) // 6):
                stride = 2 if stage and not number else 1
                blocks.append(_Block(channels, made, stride, dropout))
                channels = made
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm2d(channels)
        self.heads = nn.Linear(channels, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.heads.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs (b, outputs) of images (b, 3, s, s) in [-1, 1]."""
        maps = F.relu(self.norm(self.blocks(self.first(x))))
        out: torch.Tensor = self.heads(maps.mean((2, 3)))
        return out


class _Block(nn.Module):
    """Two convolutions after BatchNorm and ReLU; where the shape changes, the shortcut is one as well."""

    def __init__(self, given: int, made: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(given), nn.BatchNorm2d(made)
        self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.short = nn.Conv2d(given, made, 1, stride, bias=False) if given != made else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.norm1(x))
        out: torch.Tensor = self.conv2(self.dropout(F.relu(self.norm2(self.conv1(active)))))
        return out + (x if self.short is None else self.short(active))


@dataclass(frozen=True, slots=True)
class Geometry:
    """The transformations: each shift down with each shift to the right and each quarter turn.

    Attributes
    ----------
    shifts : tuple of int
        In pixels; ``(0,)`` for none, whose heads there are none of then.
    """

    shifts: tuple[int, ...]

    @property
    def moves(self) -> list[tuple[int, int]]:
        """Return the numbers of the shifts, down and to the right, of each translation."""
        every = range(len(self.shifts))
        return list(itertools.product(every, every))

    @property
    def heads(self) -> tuple[int, ...]:
        """Return the number of outputs of each head."""
        moving = (len(self.shifts),) * 2 if len(self.shifts) > 1 else ()
        return (*moving, len(TURNS))

    def transformed(self, images: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """Return images (4 b, c, s, s): each moved, then as it is, turned once, twice, three times.

        Parameters
        ----------
        images : Tensor, shape (b, c, s, s)
        moves : Tensor, shape (b,), int64, on the host
            Number of each image's translation.
        """
        (pairs,) = sent(images.device, torch.tensor(self.shifts)[torch.tensor(self.moves)[moves]])
        moved = shifted(images, pairs[:, 0], pairs[:, 1])
        return torch.cat([torch.rot90(moved, turns, (2, 3)) for turns in TURNS])

    def labels(self, moves: torch.Tensor) -> torch.Tensor:
        """Return what each head should say of `transformed`, (4 b, heads), int64, on the host."""
        turns = torch.arange(len(TURNS)).repeat_interleave(len(moves))[:, None]
        if len(self.shifts) == 1:
            return turns
        pairs = torch.tensor(self.moves)[moves]
        return torch.cat([pairs.repeat(len(TURNS), 1), turns], 1)

    def logs(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of the probabilities of the labels, on the host, by head: (n, heads)."""
        (labels,) = sent(outputs.device, labels)
        parts = [part.log_softmax(1) for part in torch.split(outputs, list(self.heads), 1)]
        return torch.stack([part.gather(1, labels[:, at : at + 1])[:, 0] for at, part in enumerate(parts)], 1)


def shifted(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Move images (b, c, h, w), each by its own whole pixels (b,); borders are mirrored without the edge."""
    (rows, columns) = (
        _mirrored(torch.arange(side, device=images.device) - by[:, None], side)
        for side, by in zip(images.shape[2:], (down, right), strict=True)
    )
    return _taken(images, rows, columns)


def crops_and_flips(images: torch.Tensor, pad: int, generator: torch.Generator) -> torch.Tensor:
    """Return random crops (b, c, s, s) of images inside `pad` black pixels; half are flipped."""
    b, side = len(images), images.shape[-1]
    at = torch.randint(0, 2 * pad + 1, (2, b), generator=generator)
    at, flip = sent(images.device, at, torch.rand(b, generator=generator) < 0.5)
    line = torch.arange(side, device=images.device)
    rows, columns = (line + each[:, None] for each in at)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    return _taken(F.pad(images, (pad,) * 4), rows, columns)


def _mirrored(at: torch.Tensor, side: int) -> torch.Tensor:
    return (side - 1) - ((side - 1) - at.abs()).abs()


def _taken(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the pixels at rows (b, h) and columns (b, w) of images (b, c, ...)."""
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """Return images (b, c, h, w) in 0..255 in [-1, 1], float32, channels_last (faster on a CPU)."""
    return images.to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricTraining:
    """How such a network is trained: SGD with Nesterov's momentum, its rate on a cosine.

    Attributes
    ----------
    epochs : int
    batch : int
        Images in a mini-batch, all turns counted.
    lr, momentum, weight_decay : float
    every_move : bool
        Each image with each translation in an epoch; otherwise each with one by chance.
    pad : int
        Black pixels around an image before its random crop.
    """

    epochs: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    every_move: bool
    pad: int

    def train(self, method: Method, net: nn.Module, pixels: PixelRows, geometry: Geometry) -> None:
        """Train a network to tell the transformations; it is left in evaluation mode.

        Raises
        ------
        FitError
            Images are too small for the shifts, or a loss was NaN or infinite.
        """
        least = max(map(abs, geometry.shifts)) + 1
        if pixels.shape[-1] < least:
            raise FitError(
                f"{type(method).__name__}: images of {pixels.shape[-1]} px are too small for shifts of "
                f"{least - 1} px; give a larger size or a smaller shift"
            )
        n, moves = len(pixels), len(geometry.moves)
        items, size = n * (moves if self.every_move else 1), max(1, self.batch // len(TURNS))
        steps = self.epochs * -(-items // size)

        def loss(step: int) -> torch.Tensor:
            rows = epoch_rows(items, size, step, derive_seed(method.seed, "items"))
            drawn = generator_for(method.seed, "augment", step)
            by_chance = torch.randint(moves, (len(rows),), generator=drawn)
            move = torch.from_numpy(rows // n) if self.every_move else by_chance
            images = crops_and_flips(pixels[rows % n], self.pad, drawn)
            outputs = net(as_input(geometry.transformed(images, move)))
            return -geometry.logs(outputs, geometry.labels(move)).mean()

        net.train()
        Training(
            method=method,
            optimiser=torch.optim.SGD(
                net.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=True
            ),
            state=net.state_dict(),
            steps=steps,
            rate=lambda step: (
                LAST_RATE + (self.lr - LAST_RATE) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
            ),
        ).run(loss)
        net.eval()


class GeometricMethod(Method):
    """A method whose score is minus the sum of the probabilities of the right answers; see `mhrot`.

    Attributes
    ----------
    size : int
        Side in pixels to which images are resized.
    depth, width, dropout
        Of the wide ResNet.
    """

    size: int
    depth: int
    width: int
    dropout: float
    geometry: Geometry
    training: GeometricTraining

    def fit(self, train: Images) -> None:
        done, paper = self.training.epochs, GEOMETRIC_EPOCHS["paper"]
        self.notes = (f"{done} epochs, {paper} in the paper's schedule",) if done != paper else ()
        if not self.training.every_move:
            self.notes += ("each image with one of nine translations in an epoch",)
        self.net = wide_resnet(self, self.depth, self.width, self.geometry, self.dropout)
        self.training.train(self, self.net, PixelRows(train, (self.size, self.size)), self.geometry)

    def score(self, test: Images) -> Scores:
        pixels = PixelRows(test, (self.size, self.size))
        return Scores(-recognised(self.net, pixels, self.geometry, self.device))


def recognised(net: nn.Module, pixels: PixelRows, geometry: Geometry, device: torch.device) -> torch.Tensor:
    """Return the sum over all transformations and heads of the probability of what was done, (n,)."""
    with torch.no_grad():
        parts = [
            _recognised(net, pixels[rows], geometry, device)[:many]
            for rows, many in filled_parts(len(pixels), _AT_ONCE)
        ]
    return torch.cat(parts)


def _recognised(
    net: nn.Module, images: torch.Tensor, geometry: Geometry, device: torch.device
) -> torch.Tensor:
    total = torch.zeros(len(images), device=device)
    for number in range(len(geometry.moves)):
        move = torch.full((len(images),), number)
        logs = geometry.logs(net(as_input(geometry.transformed(images, move))), geometry.labels(move))
        total += logs.exp().sum(1).view(len(TURNS), -1).sum(0)
    return total


def wide_resnet(method: Method, depth: int, width: int, geometry: Geometry, dropout: float) -> WideResNet:
    """Return a network for these transformations with new weights, on the method's device.

    Raises
    ------
    FitError
        There is no such depth.
    """
    if depth < 10 or depth % 6 != 4:
        raise FitError(f"{type(method).__name__}: depth={depth}; expected 6 n + 4: 10, 16, 22, 28, 34, 40")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(method.seed, "weights"))
        net = WideResNet(depth, width, sum(geometry.heads), dropout).to(method.device)
    return net.to(memory_format=torch.channels_last)
