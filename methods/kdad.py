"""KDAD: a small network clones a VGG's maps of normal images at several resolutions (Salehi et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Trainable,
    Training,
    anomaly_maps,
    derive_seed,
    epoch_rows,
    filled_parts,
    resize,
    rows_of,
)

#: Epochs of the schedules: CIFAR-10's.
EPOCHS = {"paper": 201, "short": 20}
#: The source's maps of all training images stay in memory up to this size.
KEEP_BYTES = 2**31
#: Images in a pass outside training; the last one is filled up.
AT_ONCE = 16
#: Convolutions of VGG-16 before each of its pools, and the channels of the source's.
STAGES, CHANNELS = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512)
#: Channels of the cloner where it has none of the source's.
NARROW = 16

Maps = list[torch.Tensor]


class KDAD(Method):
    """How far a cloner's maps are from a pretrained network's in direction and in value.

    The source is frozen. The cloner, narrow but where its maps are compared, is trained from scratch on
    normal images: on the sum over four layers of 1 - cos of the whole maps, and λ times their mean squared
    difference. The score is that sum over the last three layers.

    Parameters
    ----------
    source : {"backbone", "random"}
        ``random`` is a VGG-16 with weights by chance, for machines without its weights; the record says so.
    size : int
        Side in pixels of what a random source sees; others have their own.
    lam : float
        λ; a comment of the authors' configuration has 0.5 for MVTec.
    schedule : {"paper", "short"}
        201 epochs, CIFAR-10's (51 for MNIST and Fashion-MNIST, 601 for MVTec), or about a tenth.
    epochs : int, optional
        Another number of epochs.
    batch, lr
        Adam.
    maps : bool
        Also localise: the largest absolute gradient of the score over a pixel's channels, smoothed with a
        Gaussian of 4 pixels.

    Notes
    -----
    The published source is torchvision's VGG-16 (``torchvision:vgg16/IMAGENET1K_V1``), compared after its
    second to fifth pool; of another network the maps at strides 4 to 32 are. Maps are plain gradients,
    without the morphological opening of the code, whose default is guided backpropagation. The code reports
    one of several epochs without saying which; here the last counts.

    References
    ----------
    Salehi, Sadjadi, Baselizadeh, Rohban, Rabiee, "Multiresolution Knowledge Distillation for Anomaly
    Detection", CVPR 2021, equations 1 to 5; ``rohban-lab/Knowledge_Distillation_AD``.
    """

    stochastic = True
    no_backbone_with = {"source": "random"}  # noqa: RUF012
    needs = "network"

    def __init__(
        self,
        backbone: str = "default",
        source: Literal["backbone", "random"] = "backbone",
        size: PositiveInt = 128,
        lam: NonNegativeFloat = 0.01,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 64,
        lr: PositiveFloat = 1e-3,
        maps: bool = False,
    ) -> None:
        self.backbone, self.source, self.size, self.lam = backbone, source, size, lam
        self.epochs = EPOCHS[schedule] if epochs is None else epochs
        self.batch, self.lr, self.maps = batch, lr, maps

    def fit(self, train: Images) -> None:
        done, paper = self.epochs, EPOCHS["paper"]
        self.notes = (f"{done} epochs, {paper} in the paper's schedule",) if done != paper else ()
        self._take_source(train)
        pixels = PixelRows(train, self.shrink)
        if min(pixels.shape[1:]) < 32:
            raise FitError(
                f"kdad: images of {min(pixels.shape[1:])} px; five pools need 32 px: give a larger size"
            )
        sample = self.teacher(self.prepared(pixels[np.arange(1)]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "cloner"))
            cloner = Cloner([maps.shape[1] for maps in sample])
            self.cloner = cloner.to(self.device, memory_format=torch.channels_last)  # faster on a CPU
        self._check_sizes(pixels, sample)
        fits = sum(maps.nbytes for maps in sample) * len(pixels) <= KEEP_BYTES
        kept = self._every(pixels) if fits else None

        def loss(step: int) -> torch.Tensor:
            rows = epoch_rows(len(pixels), self.batch, step, self.seed)
            # BatchNorm needs more than one value a channel, which a last map of 1 x 1 has not.
            rows = np.repeat(rows, 2) if len(rows) == 1 else rows
            inputs = self.prepared(pixels[rows])
            known = self.teacher(inputs) if kept is None else [rows_of(maps, rows) for maps in kept]
            return differences(known, self.cloner(inputs), self.lam).mean()

        optimiser = torch.optim.Adam(self.cloner.parameters(), lr=self.lr)
        steps = self.epochs * -(-len(pixels) // self.batch)
        self.cloner.train()
        Training(method=self, optimiser=optimiser, state=self.cloner.state_dict(), steps=steps).run(loss)
        self.cloner.eval()

    def _take_source(self, train: Images) -> None:
        """Set `shrink`, `prepared` and `run`: images to a size, to the source's input, and to its maps."""
        if self.source == "random":
            self.notes += ("the source is a VGG-16 with weights by chance, not the paper's pretrained one",)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(self.seed, "source"))
                layers = random_vgg().to(self.device, memory_format=torch.channels_last).eval()
            self.shrink = lambda pixels: resize(pixels, (self.size, self.size))
            self.prepared: Callable[[torch.Tensor], torch.Tensor] = lambda pixels: (
                pixels.to(torch.float32, memory_format=torch.channels_last) / 255
            )
            self.run: Callable[[torch.Tensor], Maps] = lambda inputs: pooled_maps(layers, inputs)
            return
        net = train.network(self.backbone)
        self.shrink, self.prepared, self.run = (
            net.preprocess.shrink,
            net.preprocess.normalise,
            source_maps(net),
        )
        if not isinstance(getattr(net.module, "features", None), nn.Sequential):
            self.notes += (f"the source is {net.backbone.name}, not VGG-16",)

    def teacher(self, inputs: torch.Tensor) -> Maps:
        """Return the source's four maps of inputs, without gradients."""
        with torch.no_grad():
            return self.run(inputs)

    def _check_sizes(self, pixels: PixelRows, sample: Maps) -> None:
        own = [tuple(maps.shape[2:]) for maps in self.cloner.eval()(self.prepared(pixels[np.arange(1)]))]
        if own != [tuple(maps.shape[2:]) for maps in sample]:
            raise FitError(
                f"kdad: maps of {self.backbone} have other sizes than the cloner's, for images of "
                f"{pixels.shape[1]} x {pixels.shape[2]} px; give it images of a multiple of 32 px"
            )

    def _every(self, pixels: PixelRows) -> Maps:
        rows = np.arange(len(pixels))
        parts = [self.teacher(self.prepared(pixels[each])) for each in np.split(rows, rows[::AT_ONCE][1:])]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def score(self, test: Images) -> Scores:
        pixels = PixelRows(test, self.shrink)
        parts = (self._part(pixels[rows], n) for rows, n in filled_parts(len(pixels), AT_ONCE))
        return Scores.streamed(parts) if self.maps else Scores(torch.cat([scores for scores, _ in parts]))

    def _part(self, pixels: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores (n,) of the first n images, and their maps (n, s, s), if they are wanted."""
        inputs = self.prepared(pixels)
        if not self.maps:
            with torch.no_grad():
                return self.of_inputs(inputs)[:n], inputs[:0, 0]
        inputs = inputs.requires_grad_()
        scores = self.of_inputs(inputs)
        (gradient,) = torch.autograd.grad(scores.sum(), inputs)
        steep = gradient[:n].abs().amax(1)
        return scores.detach()[:n], anomaly_maps(steep, (steep.shape[1], steep.shape[2]), sigma=4.0)

    def of_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the score (b,) of the source's inputs."""
        return differences(self.run(inputs)[1:], self.cloner(inputs)[1:], self.lam)


class Cloner(nn.Module):
    """VGG-16's thirteen convolutions without biases, narrow but before four of the five pools.

    A BatchNorm follows each convolution but those before a pool.

    Parameters
    ----------
    channels : sequence of int
        Of the maps after the second to fifth pool.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        given = 3
        for number, last in zip(STAGES, (NARROW, *channels), strict=True):
            for made, before_pool in [(NARROW, False)] * (number - 1) + [(last, True)]:
                convolution = nn.Conv2d(given, made, 3, padding=1, bias=False)
                nn.init.xavier_uniform_(convolution.weight)
                layers += [convolution, *([] if before_pool else [nn.BatchNorm2d(made)]), nn.ReLU()]
                given = made
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: torch.Tensor) -> Maps:
        """Return the maps after the second to fifth pool."""
        return pooled_maps(self.layers, inputs)


def pooled_maps(layers: nn.Sequential, inputs: torch.Tensor) -> Maps:
    """Return the maps after the second to fifth pool of VGG's layers."""
    found: Maps = []
    for layer in layers:
        inputs = layer(inputs)
        if isinstance(layer, nn.MaxPool2d):
            found.append(inputs)
    return found[1:5]


def source_maps(net: Trainable) -> Callable[[torch.Tensor], Maps]:
    """Return what gives a network's four maps: after the pools of a VGG, at strides 4 to 32 of others."""
    layers = getattr(net.module, "features", None)
    net.module.requires_grad_(False).eval()
    if isinstance(layers, nn.Sequential) and sum(isinstance(each, nn.MaxPool2d) for each in layers) == 5:
        return lambda inputs: pooled_maps(layers, inputs)
    return lambda inputs: list(net.maps(inputs, [1, 2, 3, 4]).values())


def random_vgg() -> nn.Sequential:
    """Return VGG-16's layers with torchvision's initial weights, frozen."""
    layers: list[nn.Module] = []
    given = 3
    for number, made in zip(STAGES, CHANNELS, strict=True):
        for _ in range(number):
            convolution = nn.Conv2d(given, made, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU()]
            given = made
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).requires_grad_(False)


def differences(known: Maps, cloned: Maps, lam: float) -> torch.Tensor:
    """Return each image's sum over layers of 1 - cos and λ times the mean squared difference, (b,)."""
    total = torch.zeros(len(known[0]), device=known[0].device)
    for a, b in zip(known, cloned, strict=True):
        cosine = F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)
        total = total + (1 - cosine) + lam * (a - b).square().flatten(1).mean(1)
    return total
