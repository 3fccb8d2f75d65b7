"""The LeNets of Deep SVDD and Deep SAD, their autoencoders, what they are fed, and their schedule.

No layer has a bias and no BatchNorm a scale or shift: with them a network could map all images to one point.

References
----------
Ruff et al., "Deep One-Class Classification", ICML 2018, section 4 and supplement, whose code has the networks
for MNIST and CIFAR-10; Ruff et al., "Deep Semi-Supervised Anomaly Detection", ICLR 2020, whose code has that
for Fashion-MNIST.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bench.core.determinism import derive_seed
from bench.core.errors import FitError
from bench.data.images import Images
from bench.data.pixelrows import PixelRows
from bench.train.training import Training, epoch_rows

if TYPE_CHECKING:
    from bench.train.method import Method

LeNetKind = Literal["cifar10", "mnist", "fashion_mnist"]
#: Channels and side in pixels of what a network is fed.
INPUTS: dict[LeNetKind, tuple[int, int]] = {"cifar10": (3, 32), "mnist": (1, 28), "fashion_mnist": (1, 28)}
#: Gain for leaky ReLUs of slope 0.01.
GAIN = math.sqrt(2 / (1 + 0.01**2))
#: Mean absolute deviation, in grey values, below which an image is constant: one differing pixel makes 6e-4.
CONSTANT = 1e-4
#: A short schedule is one of so many parts of the paper's.
SHORT = 10
#: Images in a forward pass outside training; always so many, since rounding can depend on the number.
_AT_ONCE = 256


def lenet(kind: LeNetKind) -> nn.Sequential:
    """Return φ: images (b, c, s, s) to representations (b, d), d = 128 for CIFAR-10, else 32 and 64."""
    if kind == "cifar10":
        return nn.Sequential(*_down(3, 32), *_down(32, 64), *_down(64, 128), nn.Flatten(), _dense(2048, 128))
    if kind == "mnist":
        return nn.Sequential(*_down(1, 8), *_down(8, 4), nn.Flatten(), _dense(196, 32))
    hidden = (_dense(1568, 128), _norm1d(128), nn.LeakyReLU(), _dense(128, 64))
    return nn.Sequential(*_down(1, 16), *_down(16, 32), nn.Flatten(), *hidden)


def lenet_decoder(kind: LeNetKind, *, plain: bool = False) -> nn.Sequential:
    """Return the network from representations (b, d) back to images (b, c, s, s) in [0, 1].

    That for CIFAR-10 begins with a BatchNorm, but for the `plain` one of Deep SAD.
    """
    if kind == "cifar10":
        first: tuple[nn.Module, ...] = (nn.Unflatten(1, (8, 4, 4)), nn.LeakyReLU())
        first = first if plain else (_norm1d(128), *first)
        small = nn.ConvTranspose2d(8, 128, 5, padding=2, bias=False)
        ups = (*_then(128, small), *_up(128, 64), *_up(64, 32))
        return nn.Sequential(*first, *ups, EnlargedDeconvolution(32, 3), nn.Sigmoid())
    if kind == "mnist":
        first = (nn.Unflatten(1, (2, 4, 4)), nn.LeakyReLU())
        return nn.Sequential(*first, *_up(2, 4), *_up(4, 8, 3), EnlargedDeconvolution(8, 1), nn.Sigmoid())
    first = (_dense(64, 128), _norm1d(128), nn.Unflatten(1, (8, 4, 4)), nn.LeakyReLU())
    return nn.Sequential(*first, *_up(8, 32), *_up(32, 16, 3), EnlargedDeconvolution(16, 1), nn.Sigmoid())


def lenet_autoencoder(kind: LeNetKind, seed: int, *, plain: bool = False) -> nn.Sequential:
    """Return encoder and decoder with new weights.

    Parameters
    ----------
    plain : bool
        torch's initial weights for the encoder, as in Deep SAD's code and in Deep SVDD's without pretraining,
        and Deep SAD's decoder; in Deep SVDD's autoencoder for CIFAR-10 all convolutions are Xavier's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lenet"))
        model = nn.Sequential(lenet(kind), lenet_decoder(kind, plain=plain))
        for module in (model[1] if plain else model).modules():
            if kind == "cifar10" and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight, gain=GAIN)
    # A fifth faster on a CPU for these small convolutions, up to a third for grey images.
    return model.to(memory_format=torch.channels_last)


def away_from_zero(centre: torch.Tensor, least: float = 0.1) -> torch.Tensor:
    """Move coordinates within (-least, least) to its ends, keeping the sign; 0 becomes +least."""
    moved = torch.where(centre < 0, -least, least)
    return torch.where(centre.abs() < least, moved, centre)


def squared_error(images: torch.Tensor, given_back: torch.Tensor) -> torch.Tensor:
    """Return each image's sum of squared differences, (b,)."""
    return (given_back - images).square().flatten(1).sum(1)


def _down(given: int, made: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(given, made, 5, padding=2, bias=False)
    return convolution, nn.BatchNorm2d(made, eps=1e-4, affine=False), nn.LeakyReLU(), nn.MaxPool2d(2)


def _up(given: int, made: int, padding: int = 2) -> tuple[nn.Module, ...]:
    return _then(made, EnlargedDeconvolution(given, made, padding))


def _then(made: int, deconvolution: nn.Module) -> tuple[nn.Module, ...]:
    return deconvolution, nn.BatchNorm2d(made, eps=1e-4, affine=False), nn.LeakyReLU()


class EnlargedDeconvolution(nn.ConvTranspose2d):
    """A transposed convolution (5 x 5) of an image made twice as large by repeating its pixels.

    Of five pixels in a row of such an image at most three differ. So each of the four pixels that are made of
    one has a convolution (3 x 3) of the small image, whose weights are sums of these: 0.36 of the products.

    Parameters
    ----------
    given, made : int
        Channels.
    padding : int
        At least 2, which keeps the enlarged size; each one more takes a pixel from every border.
    """

    #: Which of five weights meet each of three pixels, for the first and the second of two: (2, 3, 5).
    sums: torch.Tensor

    def __init__(self, given: int, made: int, padding: int = 2) -> None:
        super().__init__(given, made, 5, padding=padding, bias=False)
        # A transposed convolution meets pixels in the opposite order of its weights.
        first = [[0, 0, 0, 1, 1], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
        second = [[0, 0, 0, 0, 1], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]
        sums = torch.tensor([first, second], dtype=torch.float32)
        self.register_buffer("sums", sums, persistent=False)

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """Return (b, made, 2 h, 2 w) of (b, given, h, w), without the borders."""
        del output_size
        weight = torch.einsum("iouv,aru,bsv->oabirs", self.weight, self.sums, self.sums).flatten(0, 2)
        made = F.pixel_shuffle(F.conv2d(x, weight, padding=1), 2)
        cut = int(self.padding[0]) - 2
        return made[:, :, cut : made.shape[2] - cut, cut : made.shape[3] - cut]


def _dense(given: int, made: int) -> nn.Module:
    return nn.Linear(given, made, bias=False)


def _norm1d(width: int) -> nn.Module:
    return nn.BatchNorm1d(width, eps=1e-4, affine=False)


def contrast_normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Return images (b, c, h, w) less their mean, over their mean absolute deviation; constant ones are 0."""
    centred = pixels - pixels.mean((1, 2, 3), keepdim=True)
    deviation = centred.abs().mean((1, 2, 3), keepdim=True)
    return torch.where(deviation > CONSTANT, centred / deviation.clamp(min=CONSTANT), 0.0)


class LeNetInputs:
    """What a LeNet is fed, by row.

    Parameters
    ----------
    images : Images
    kind : str
        Images are resized to the network's input, and made grey where it has one channel.
    normalise : {"gcn", "unit"}
        Contrast normalisation followed by an affine map that brings the training images to [0, 1], or [0, 1]
        by division.
    bounds : (float, float), optional
        Least and largest normalised value of the training images; by default those of these images.
    """

    def __init__(
        self,
        images: Images,
        kind: LeNetKind,
        normalise: Literal["gcn", "unit"],
        bounds: tuple[float, float] | None = None,
    ) -> None:
        self.channels, side = INPUTS[kind]
        self.normalise, self._pixels = normalise, PixelRows(images, (side, side))
        self.bounds = bounds or self._found()

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return inputs (b, c, s, s), float32, channels_last.

        Those of other images than the training's may leave [0, 1].
        """
        least, largest = self.bounds
        inputs = (self._normalised(rows) - least) / (largest - least)
        return inputs.contiguous(memory_format=torch.channels_last)

    def _normalised(self, rows: NDArray[np.int64]) -> torch.Tensor:
        pixels = self._pixels[rows].float()
        if self.channels == 1:
            pixels = pixels.mean(1, keepdim=True)
        return contrast_normalised(pixels) if self.normalise == "gcn" else pixels

    def _found(self) -> tuple[float, float]:
        if self.normalise == "unit":
            return 0.0, 255.0
        parts = [self._normalised(rows) for rows in _slices(len(self))]
        least, largest = min(float(p.min()) for p in parts), max(float(p.max()) for p in parts)
        return (least, largest) if largest > least else (0.0, 1.0)

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return a function of the inputs of all images, part by part, without gradients: (n, ...)."""
        with torch.no_grad():
            parts = [function(self[np.resize(rows, _AT_ONCE)])[: len(rows)] for rows in _slices(len(self))]
            return torch.cat(parts)


def _slices(n: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamSchedule:
    """Epochs of Adam whose rate falls to a tenth once.

    Attributes
    ----------
    epochs : int
    milestone : int
        Epochs before the rate falls.
    batch : int
    lr, weight_decay : float
    """

    epochs: int
    milestone: int
    batch: int
    lr: float
    weight_decay: float

    def with_(self, *, batch: int, lr: float, weight_decay: float | None) -> AdamSchedule:
        """Return the same with these; a weight decay of None stays."""
        weight_decay = self.weight_decay if weight_decay is None else weight_decay
        return replace(self, batch=batch, lr=lr, weight_decay=weight_decay)

    def notes(self, published: AdamSchedule, what: str) -> tuple[str, ...]:
        """Return a note for `Method.notes` if this schedule is of another length than the published one."""
        if self.epochs == published.epochs:
            return ()
        return (f"{self.epochs} epochs of {what}, {published.epochs} in the paper's schedule",)

    def scaled(self, schedule: Literal["paper", "short"], epochs: int | None) -> AdamSchedule:
        """Return the same with other epochs, or a tenth; the rate falls after the same share of them."""
        if epochs is None:
            epochs = self.epochs if schedule == "paper" else -(-self.epochs // SHORT)
        return replace(self, epochs=epochs, milestone=round(epochs * self.milestone / self.epochs))

    def train(
        self,
        method: Method,
        module: nn.Module,
        n: int,
        loss: Callable[[NDArray[np.int64], int], torch.Tensor],
        *,
        part: str = "",
        state: Mapping[str, torch.Tensor] | None = None,
        after: Callable[[int], None] | None = None,
    ) -> None:
        """Train a network; it is left in evaluation mode.

        Parameters
        ----------
        n : int
            Training images.
        loss : callable
            The loss of a mini-batch, given its rows, shape (b,), and the number of its epoch from 0.
        part, state, after
            As in `bench.Training`; `state` besides the network's; `after` gets the number of the epoch.

        Raises
        ------
        FitError
            There are no images, or a loss was NaN or infinite.
        """
        if not n:
            raise FitError(f"{type(method).__name__}: there are no training images; expected at least one")
        per_epoch, seed = -(-n // self.batch), derive_seed(method.seed, part)

        def of_step(step: int) -> torch.Tensor:
            rows = epoch_rows(n, self.batch, step, seed)
            # A single image has no variance over the batch: it stands there twice.
            return loss(np.repeat(rows, 2) if len(rows) == 1 else rows, step // per_epoch)

        optimiser = torch.optim.Adam(module.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        module.train()
        Training(
            method=method,
            optimiser=optimiser,
            state={**module.state_dict(), **(state or {})},
            steps=self.epochs * per_epoch,
            rate=lambda step: self.lr * (0.1 if step // per_epoch >= self.milestone else 1.0),
            part=part,
        ).run(of_step, lambda done: after((done - 1) // per_epoch) if after is not None and done else None)
        module.eval()


#: Deep SVDD's commands for the autoencoder; that for Fashion-MNIST is MNIST's.
PRETRAINING: dict[LeNetKind, AdamSchedule] = {
    "cifar10": AdamSchedule(epochs=350, milestone=250, batch=200, lr=1e-4, weight_decay=5e-7),
    "mnist": AdamSchedule(epochs=150, milestone=50, batch=200, lr=1e-4, weight_decay=5e-4),
    "fashion_mnist": AdamSchedule(epochs=150, milestone=50, batch=200, lr=1e-4, weight_decay=5e-4),
}


def trained_autoencoder(
    method: Method,
    model: nn.Sequential,
    inputs: LeNetInputs,
    schedule: AdamSchedule,
    *,
    by_pixel: bool = False,
) -> nn.Sequential:
    """Train an autoencoder to give back its inputs, in the mean of `squared_error`; return it.

    Parameters
    ----------
    by_pixel : bool
        Take the mean over pixels too, as Deep SAD's code does: its weight decay counts for that much more.
    """
    model.to(method.device)

    def loss(rows: NDArray[np.int64], _: int) -> torch.Tensor:
        images = inputs[rows]
        error = squared_error(images, model(images)).mean()
        return error / images[0].numel() if by_pixel else error

    schedule.train(method, model, len(inputs), loss, part="autoencoder")
    return model
