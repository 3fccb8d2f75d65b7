"""Reverse distillation: a decoder gives back a teacher's maps of normal images (Deng and Li, 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    Patches,
    PositiveFloat,
    PositiveInt,
    Scores,
    Training,
    anomaly_maps,
    derive_seed,
    endless_rows,
    rows_of,
)

#: The teacher's maps of all training images stay in memory up to this size.
KEEP_BYTES = 2**30

Maps = list[torch.Tensor]


class ReverseDistillation(Method):
    """Where a student, which sees a teacher's maps through a bottleneck, gives back others.

    Maps of three layers are brought to one grid, joined and embedded by a residual stage; a decoder that
    mirrors a ResNet gives the three maps back. It is trained on normal images to agree with the teacher in
    direction, and a place's score is the sum over layers of 1 - cos.

    Parameters
    ----------
    layers : str
        Three layers joined by ``+``, each on half the grid of the one before.
    blocks : {"basic", "bottleneck"}
        Residual blocks: ``basic`` for ResNet-18, ``bottleneck`` for WideResNet50-2.
    depths : str
        Blocks in the stages of the decoder, from the coarsest grid, and of the embedding. By default those of
        ResNet-18 (``2,2,2,2``); WideResNet50-2 has ``3,4,6,3``.
    epochs : int
        200 in the authors' code, the last of which counts.
    batch, lr, beta1, beta2
        Adam; anomalib has ``beta2=0.99``.
    schedule : {"constant", "cosine"}
        ``cosine`` lets the rate fall to 0, for shorter trainings than the paper's.
    combine : {"add", "multiply"}
        Sum of the layers' maps, as in the authors' code, or their product, an option of both.
    sigma : float
        Of the Gaussian that smooths maps, in pixels of the network's input; an image's score is the maximum
        of its smoothed map.

    Notes
    -----
    The teacher is frozen and the images are not augmented, so that its maps come from the feature store and
    a step runs the student alone. Mini-batches are always full (the code's last one of an epoch is the rest).
    WideResNet50-2 at 256 px without a crop, batches of 16 and ``blocks=bottleneck,depths="3,4,6,3"`` are as
    published; with ``epochs=40,schedule=cosine`` and ResNet-18 it is a quick baseline of our own.

    References
    ----------
    Deng, Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022, sections 3.1
    to 3.4; equations 1 to 3. The loss takes a layer's whole flattened map as one vector, as in the code.
    """

    stochastic = True
    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "layer1+layer2+layer3",
        blocks: Literal["basic", "bottleneck"] = "basic",
        depths: str = "2,2,2,2",
        epochs: NonNegativeInt = 200,
        batch: PositiveInt = 16,
        lr: PositiveFloat = 5e-3,
        beta1: NonNegativeFloat = 0.5,
        beta2: NonNegativeFloat = 0.999,
        schedule: Literal["constant", "cosine"] = "constant",
        combine: Literal["add", "multiply"] = "add",
        sigma: NonNegativeFloat = 4.0,
    ) -> None:
        self.patches = Patches(backbone, layers, lambda maps: maps[0])
        if len(self.patches.layers) != 3:
            raise FitError(f"reverse_distillation: layers={layers!r}: expected three layers joined by +")
        self.depths = tuple(int(each) if each.strip().isdigit() else 0 for each in depths.split(","))
        if len(self.depths) != 4 or min(self.depths) < 1:
            raise FitError(f"reverse_distillation: depths={depths!r}: expected four numbers, as 3,4,6,3")
        self.backbone, self.blocks, self.epochs, self.batch = backbone, blocks, epochs, batch
        self.lr, self.betas, self.schedule = lr, (beta1, beta2), schedule
        self.combine, self.sigma = combine, sigma

    def fit(self, train: Images) -> None:
        if not len(train):
            raise FitError("reverse_distillation: there are no training images; expected at least one")
        self.notes = ()
        teacher = _Teacher(train, self.backbone, self.patches.layers)
        channels = [m.shape[1] for m in teacher[np.arange(1)]]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "student"))
            self.student = Student(channels, self.depths, bottleneck=self.blocks == "bottleneck")
        self.student.to(self.device)
        steps = self.epochs * -(-len(train) // self.batch)

        def loss(step: int) -> torch.Tensor:
            maps = teacher[endless_rows(len(train), self.batch, step, self.seed, "epoch")]
            return whole_map_loss(maps, self.student(maps))

        def rate(step: int) -> float:
            falls = self.schedule == "cosine"
            return self.lr * (0.5 + 0.5 * math.cos(math.pi * step / steps) if falls else 1.0)

        optimiser = torch.optim.Adam(self.student.parameters(), lr=self.lr, betas=self.betas)
        self.student.train()
        Training(
            method=self, optimiser=optimiser, state=self.student.state_dict(), steps=steps, rate=rate
        ).run(loss)
        self.student.eval()

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, (view.height, view.width)), covers=view.covers)

    def _parts(self, test: Images, size: tuple[int, int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(test), 16):
            found = test[start : start + 16].feature_maps(self.backbone, self.patches.layers)
            maps = [found[layer] for layer in self.patches.layers]
            smooth = anomaly_maps(self.differences(maps, size), size, sigma=self.sigma)
            yield smooth.amax((1, 2)), smooth

    def differences(self, maps: Maps, size: tuple[int, int]) -> torch.Tensor:
        """Return 1 - cos of all layers, combined, (b, height, width), for a teacher's maps."""
        with torch.no_grad():
            # One by one: the kernels of convolutions may depend on the size of a batch.
            students = [self.student([m[i : i + 1] for m in maps]) for i in range(len(maps[0]))]
        each = []
        for number, own in enumerate(maps):
            student = torch.cat([maps[number] for maps in students])
            apart = 1 - F.cosine_similarity(own, student)
            each.append(anomaly_maps(apart, size, sigma=0, align_corners=True))
        combined = torch.stack(each)
        return combined.sum(0) if self.combine == "add" else combined.prod(0)


class _Teacher:
    """The teacher's maps of images by row, kept in memory if they fit."""

    def __init__(self, images: Images, backbone: str, layers: Sequence[str]) -> None:
        self.images, self.backbone, self.layers = images, backbone, layers
        self.kept: Maps | None = None
        size = sum(m[0].nbytes for m in self[np.arange(1)])
        if size * len(images) <= KEEP_BYTES:
            parts = [self[np.arange(at, min(at + 16, len(images)))] for at in range(0, len(images), 16)]
            self.kept = [torch.cat(layer) for layer in zip(*parts, strict=True)]

    def __getitem__(self, rows: NDArray[np.int64]) -> Maps:
        if self.kept is not None:
            return [rows_of(layer, rows) for layer in self.kept]
        found = self.images[rows].feature_maps(self.backbone, self.layers)
        return [found[layer] for layer in self.layers]


def whole_map_loss(teacher: Maps, student: Maps) -> torch.Tensor:
    """Return the mean over images of 1 - cos of whole maps, each read as one vector, summed over layers."""
    each = [
        1 - F.cosine_similarity(t.flatten(1), s.flatten(1)) for t, s in zip(teacher, student, strict=True)
    ]
    return torch.stack(each).mean(1).sum()


class Student(nn.Module):
    """The trained bottleneck and decoder: three maps (b, c, h, w), fine to coarse, to three of their shapes.

    Parameters
    ----------
    channels : sequence of int
        Of the three maps.
    depths : sequence of int
        Blocks of the decoder's stages from the coarsest grid, and of the embedding.
    bottleneck : bool
        Bottleneck blocks, with a width of half their output, as in WideResNet50-2; else basic blocks.
    """

    def __init__(self, channels: Sequence[int], depths: Sequence[int], *, bottleneck: bool) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.from_fine = nn.Sequential(*_halve(fine, middle), *_halve(middle, coarse))
        self.from_middle = nn.Sequential(*_halve(middle, coarse))
        self.embed = _stage(3 * coarse, 2 * coarse, depths[3], "down", bottleneck)
        self.decode = nn.ModuleList(
            _stage(given, out, depth, "up", bottleneck)
            for given, out, depth in zip(
                (2 * coarse, coarse, middle), (coarse, middle, fine), depths[:3], strict=True
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Maps) -> Maps:
        fine, middle, coarse = maps
        grid = coarse.shape[-2:]
        joined = [_fitted(self.from_fine(fine), grid), _fitted(self.from_middle(middle), grid), coarse]
        found, out = self.embed(torch.cat(joined, 1)), []
        for stage, like in zip(self.decode, (coarse, middle, fine), strict=True):
            found = _fitted(stage(found), like.shape[-2:])
            out.append(found)
        return out[::-1]


class _Block(nn.Module):
    """A residual block; the first of a stage halves or doubles the grid."""

    def __init__(self, given: int, out: int, way: str, bottleneck: bool) -> None:
        super().__init__()
        width = out // 2 if bottleneck else out
        if bottleneck:
            body = [nn.Conv2d(given, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            body += [_scale(width, width, way, 3), nn.BatchNorm2d(width), nn.ReLU()]
            body += [nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)]
        else:
            body = [_scale(given, out, way, 3), nn.BatchNorm2d(out), nn.ReLU()]
            body += [_scale(out, out, "", 3), nn.BatchNorm2d(out)]
        self.body = nn.Sequential(*body)
        self.short: nn.Module = nn.Identity()
        if way or given != out:
            self.short = nn.Sequential(_scale(given, out, way, 1), nn.BatchNorm2d(out))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(maps) + self.short(maps))


def _scale(given: int, out: int, way: str, kernel: int) -> nn.Module:
    if way == "up":
        return nn.ConvTranspose2d(given, out, 2, 2, bias=False)
    return nn.Conv2d(given, out, kernel, 2 if way == "down" else 1, kernel // 2, bias=False)


def _stage(given: int, out: int, depth: int, way: str, bottleneck: bool) -> nn.Sequential:
    rest = [_Block(out, out, "", bottleneck) for _ in range(depth - 1)]
    return nn.Sequential(_Block(given, out, way, bottleneck), *rest)


def _halve(given: int, out: int) -> list[nn.Module]:
    return [_scale(given, out, "down", 3), nn.BatchNorm2d(out), nn.ReLU()]


def _fitted(maps: torch.Tensor, grid: torch.Size) -> torch.Tensor:
    """Bring maps to a grid that odd sides made larger or smaller by a place."""
    return (
        maps if maps.shape[-2:] == grid else F.interpolate(maps, grid, mode="bilinear", align_corners=False)
    )
