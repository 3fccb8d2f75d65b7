"""DevNet for images: scores that deviate for a few labelled anomalies (Pang et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator

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
    UnitInterval,
    derive_seed,
    deviation_loss,
    endless_rows,
    explained_gradient,
    filled_parts,
    generator_for,
    mean_of_highest,
    resize,
    restored,
    rotate_some,
    train_with_adam,
)

#: Reference scores drawn for each mini-batch, from a standard normal prior.
REFERENCES = 5000
#: Images read at once in scoring; the last part is filled up.
READ_BATCH = 16


class DevNet(Method):
    """Mean of the highest absolute scores that a 1 x 1 convolution finds in a network's last maps.

    Half of each mini-batch are training images, half labelled anomalies. Against the mean and standard
    deviation of scores drawn from a normal prior, the former are to deviate little, the latter by `margin`
    standard deviations. The whole network is trained. Images are scored at several sizes.

    Parameters
    ----------
    size : int
        Side in pixels to which images are resized.
    scales : int
        Sizes, each half the one before; the score is the mean over them.
    topk : float
        Share of the positions of a map in its mean; 0 for the mean of all scores, not their absolute values.
    margin : float
        a of the deviation loss.
    epochs, steps_per_epoch : int
    batch : int
        Training images in a mini-batch, with as many labelled anomalies.
    lr, weight_decay, clip
        Adam; the rate falls to a tenth every 10 epochs; largest norm of the gradient.
    degrees : float
        Training images are turned by an angle up to this, either way.
    maps : bool
        Also explain: the gradient of the score by the input, its absolute values added over the channels,
        brought to [0, 1] image by image, and smoothed with a Gaussian of 4 pixels.

    Notes
    -----
    The labelled anomalies are those of ``[few_shot]`` in the suite, 10 in the paper, from the test set, which
    they leave. Few of them appear many times in a mini-batch. The published network is ResNet-18 at 448 px.
    A missing last block (of weights that end early) starts from chance, and a network whose BatchNorm was
    folded into its convolutions first gets statistics from training images; the record says so of both.
    Turned images are interpolated bilinearly (nearest in the code).

    References
    ----------
    Pang, Ding, Shen, van den Hengel, "Explainable Deep Few-shot Anomaly Detection with Deviation Networks",
    arXiv:2108.00462, sections 3.2 to 3.4, equations 1 to 6; ``Choubo/deviation-network-image``.
    """

    stochastic = True
    few_shot = "needed"
    needs = "network"
    training_only = ("normal", "anomalous")

    def __init__(
        self,
        backbone: str = "default",
        size: PositiveInt = 448,
        scales: PositiveInt = 2,
        topk: UnitInterval = 0.1,
        margin: PositiveFloat = 5.0,
        epochs: NonNegativeInt = 50,
        steps_per_epoch: PositiveInt = 20,
        batch: PositiveInt = 24,
        lr: NonNegativeFloat = 2e-4,
        weight_decay: NonNegativeFloat = 1e-5,
        clip: PositiveFloat = 1.0,
        degrees: NonNegativeFloat = 180.0,
        maps: bool = False,
    ) -> None:
        self.backbone, self.size, self.scales, self.topk, self.margin = backbone, size, scales, topk, margin
        self.steps, self.steps_per_epoch = epochs * steps_per_epoch, steps_per_epoch
        self.batch, self.lr, self.weight_decay, self.clip = batch, lr, weight_decay, clip
        self.degrees, self.maps = degrees, maps

    def fit(self, train: Images) -> None:
        self.notes = ()
        if self.labelled is None or not len(self.labelled):
            raise FitError(
                "devnet: there are no labelled anomalies; add [few_shot] with anomalies = 10 to the suite"
            )
        smallest = self.size // 2 ** (self.scales - 1)
        if smallest < 32:
            raise FitError(
                f"devnet: size={self.size} leaves {smallest} px at the smallest of {self.scales} scales, and "
                "the network needs 32; give a larger size or fewer scales"
            )
        self.normal, self.anomalous = (PixelRows(images, self.shrink) for images in (train, self.labelled))
        self.model = self.build(train.network(self.backbone))
        train_with_adam(
            self,
            self.model,
            self.loss,
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
            lr=self.lr,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )

    def build(self, net: Trainable) -> DeviationNet:
        """Put the scoring layer on a network, after restoring what it is missing."""
        feed = net.preprocess.normalise
        last, notes = restored(net, self.normal, feed, derive_seed(self.seed, "block 4"))
        self.notes += notes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "scores"))
            model = DeviationNet(net, last, self.normal[np.arange(1)], scales=self.scales, topk=self.topk)
        return model.to(self.device)

    def shrink(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize images, uint8."""
        return resize(pixels, (self.size, self.size))

    def mini_batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pixels (2b, 3, s, s) in 0..255, float32, of a step, and its labels (2b,)."""
        parts = [
            rows[endless_rows(len(rows), self.batch, step, self.seed, half)]
            for rows, half in ((self.normal, "normal"), (self.anomalous, "anomalous"))
        ]
        pixels = torch.cat(parts).float()
        labels = torch.arange(2 * self.batch, device=self.device) >= self.batch
        if self.degrees:
            pixels = rotate_some(pixels, 1.0, self.degrees, generator_for(self.seed, "turn", step))
        return pixels, labels.float()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss of a step."""
        pixels, labels = self.mini_batch(step)
        drawn = torch.randn(REFERENCES, generator=generator_for(self.seed, "references", step))
        deviation = (self.model(pixels) - float(drawn.mean())) / float(drawn.std())
        return deviation_loss(deviation, labels, self.margin).mean()

    def score(self, test: Images) -> Scores:
        rows = PixelRows(test, self.shrink)
        parts = (self._part(rows[part], n) for part, n in filled_parts(len(rows), READ_BATCH))
        return Scores.streamed(parts) if self.maps else Scores(_joined(parts))

    def _part(self, pixels: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (n,) of the first n images, and their maps (n, s, s), if they are wanted."""
        pixels = pixels.float()
        if not self.maps:
            with torch.no_grad():
                return self.model(pixels)[:n], pixels[:0, 0]
        inputs = self.model.net.preprocess.normalise(pixels).requires_grad_()
        scores = self.model.of_inputs(inputs)
        (gradient,) = torch.autograd.grad(scores.sum(), inputs)
        return scores.detach()[:n], explained_gradient(gradient[:n])


class DeviationNet(nn.Module):
    """A network whose last maps a 1 x 1 convolution scores, at several sizes of the image.

    Parameters
    ----------
    net : Trainable
        Its module becomes part of this one, all of it trainable.
    last : nn.Module, optional
        Computes the maps at stride 32 if the network does not.
    pixels : Tensor, shape (1, 3, s, s)
        A sample image, to find the number of channels.
    scales : int
    topk : float
    """

    def __init__(
        self, net: Trainable, last: nn.Module | None, pixels: torch.Tensor, *, scales: int, topk: float
    ) -> None:
        super().__init__()
        self.net, self.backbone, self.last = net, net.module.requires_grad_(True), last
        self.scales, self.topk = scales, topk
        if last is not None:
            last.eval()  # the sample must not change its statistics
        with torch.no_grad():
            channels = self.features(net.preprocess.normalise(pixels)).shape[1]
        self.scoring = nn.Conv2d(channels, 1, 1)

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the maps at stride 32."""
        if self.last is None:
            return self.net.maps(inputs, [4])[4]
        found: torch.Tensor = self.last(self.net.maps(inputs, [3])[3])
        return found

    def of_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return scores (b,) of normalised images (b, 3, s, s)."""
        found = []
        for scale in range(self.scales):
            side = inputs.shape[-1] // 2**scale
            scores = self.scoring(self.features(F.interpolate(inputs, side) if scale else inputs)).flatten(1)
            found.append(mean_of_highest(scores.abs(), self.topk) if self.topk else scores.mean(1))
        return torch.stack(found, 1).mean(1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return scores (b,) of pixels (b, 3, s, s) in 0..255."""
        return self.of_inputs(self.net.preprocess.normalise(pixels))


def _joined(parts: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    return torch.cat([scores for scores, _ in parts])
