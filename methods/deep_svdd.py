"""Deep SVDD: a LeNet trained from pixels to map normal images near a fixed centre (Ruff et al., 2018)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench import (
    PRETRAINING,
    AdamSchedule,
    Fraction,
    Images,
    LeNetInputs,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    away_from_zero,
    collapse_note,
    lenet_autoencoder,
    spread,
    trained_autoencoder,
)


class DeepSVDD(Method):
    """Squared distance ‖φ(x) - c‖² of a network's representation to a fixed centre.

    φ starts from the encoder of an autoencoder trained on the same images. The centre is the mean of φ then,
    with coordinates moved out of (-0.1, 0.1). Training pulls φ of normal images towards it.

    Parameters
    ----------
    network : {"cifar10", "mnist", "fashion_mnist"}
        Three convolutions on 32 px in colour, or two on 28 px in grey; images are resized to it. The last
        is Deep SAD's.
    objective : {"one-class", "soft-boundary"}
        Mean ‖φ(x) - c‖², or R² + 1/ν mean max(0, ‖φ(x) - c‖² - R²), where R is 0 in the first `warmup` epochs
        and then after each step the (1 - ν)-quantile of the mini-batch's distances.
    nu : float
        ν of the soft boundary, in (0, 1).
    normalise : {"gcn", "unit"}
        Global contrast normalisation with the L1 norm, then one affine map that brings the training images to
        [0, 1]; or pixels in [0, 1].
    pretrain : bool
        Start from the autoencoder; otherwise from torch's initial weights.
    schedule : {"paper", "short"}
        150 epochs after 350 of the autoencoder (150 for grey images); or a tenth of each.
    epochs, pretrain_epochs : int, optional
        Other numbers of epochs; the rate falls after the same share of them.
    batch, lr, weight_decay
        Adam, of both stages; the rate falls to a tenth after a third of the epochs, the autoencoder's on
        CIFAR-10 after 250 of 350.
    pretrain_weight_decay : float, optional
        5e-7, or 5e-4 for grey images.

    Notes
    -----
    Defaults are the commands of the authors' README. Differences: least and largest value for the affine map
    come from the training images of the cell (the code has ten pairs, made from each class of CIFAR-10), so
    that contamination changes them; a mean of exactly 0 in the centre becomes 0.1 (0 in the code, which a
    network meets with all weights 0); a mini-batch of one image holds it twice (the code fails). A constant
    image, for which contrast normalisation is not defined, becomes 0. The score leaves out R², which is the
    same for all images.

    References
    ----------
    Ruff et al., "Deep One-Class Classification", ICML 2018, equations 3 and 4, propositions 1 to 4,
    section 4; ``lukasruff/Deep-SVDD-PyTorch``.
    """

    stochastic = True

    def __init__(
        self,
        network: Literal["cifar10", "mnist", "fashion_mnist"] = "cifar10",
        objective: Literal["one-class", "soft-boundary"] = "one-class",
        nu: Fraction = 0.1,
        warmup: NonNegativeInt = 10,
        normalise: Literal["gcn", "unit"] = "gcn",
        pretrain: bool = True,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        pretrain_epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 200,
        lr: PositiveFloat = 1e-4,
        weight_decay: NonNegativeFloat = 5e-7,
        pretrain_weight_decay: NonNegativeFloat | None = None,
    ) -> None:
        self.network, self.normalise, self.pretrain = network, normalise, pretrain
        self.nu, self.warmup = (nu if objective == "soft-boundary" else None), warmup
        common = {"epochs": 150, "milestone": 50, "batch": batch, "lr": lr}
        self.published = AdamSchedule(**common, weight_decay=weight_decay)
        self.schedule = self.published.scaled(schedule, epochs)
        self.published_first = PRETRAINING[network].with_(
            batch=batch, lr=lr, weight_decay=pretrain_weight_decay
        )
        self.first = self.published_first.scaled(schedule, pretrain_epochs)

    def fit(self, train: Images) -> None:
        self.notes = self.schedule.notes(self.published, "Deep SVDD")
        inputs = LeNetInputs(train, self.network, self.normalise)
        self.bounds = inputs.bounds
        model = lenet_autoencoder(self.network, self.seed, plain=not self.pretrain)
        if self.pretrain:
            self.notes += self.first.notes(self.published_first, "its autoencoder")
            trained_autoencoder(self, model, inputs, self.first)
        self.phi = model[0].to(self.device).eval()
        start = inputs.mapped(self.phi)
        self.centre = away_from_zero(start.mean(0))
        radius = torch.zeros((), device=self.device)
        squared = torch.empty(0)

        def loss(rows: NDArray[np.int64], _: int) -> torch.Tensor:
            nonlocal squared
            squared = (self.phi(inputs[rows]) - self.centre).square().sum(1)
            return svdd_loss(squared, radius, self.nu)

        def after(epoch: int) -> None:
            if self.nu is not None and epoch >= self.warmup:
                radius.copy_(squared.detach().sqrt().quantile(1 - self.nu))

        self.schedule.train(
            self, self.phi, len(inputs), loss, part="svdd", state={"radius": radius}, after=after
        )
        self.notes += collapse_note(spread(start), spread(inputs.mapped(self.phi)), "the representations")

    def distance(self, images: torch.Tensor) -> torch.Tensor:
        """Return the score (b,) of the network's inputs."""
        return (self.phi(images) - self.centre).square().sum(1)

    def score(self, test: Images) -> Scores:
        return Scores(LeNetInputs(test, self.network, self.normalise, self.bounds).mapped(self.distance))


def svdd_loss(squared: torch.Tensor, radius: torch.Tensor, nu: float | None) -> torch.Tensor:
    """Return the loss of squared distances (b,); ν is None for the one-class objective."""
    if nu is None:
        return squared.mean()
    return radius**2 + (squared - radius**2).relu().mean() / nu
