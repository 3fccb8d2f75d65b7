"""Reconstruction error of the convolutional autoencoder from which Deep SVDD starts (Ruff et al., 2018)."""

from __future__ import annotations

from typing import Literal

import torch

from bench import (
    PRETRAINING,
    Images,
    LeNetInputs,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    lenet_autoencoder,
    squared_error,
    trained_autoencoder,
)


class Autoencoder(Method):
    """Sum of squared differences between an image and what the autoencoder gives back.

    The control of `deep_svdd`: the same network, images and training, without the second stage.

    Parameters
    ----------
    network : {"cifar10", "mnist", "fashion_mnist"}
        Three convolutions on 32 px in colour, or two on 28 px in grey; images are resized to it.
    normalise : {"gcn", "unit"}
        Global contrast normalisation, then one affine map that brings the training images to [0, 1]; or
        pixels in [0, 1], as in Deep SAD.
    schedule : {"paper", "short"}
        350 epochs, or 150 for grey images; or a tenth of that.
    epochs : int, optional
        Another number of epochs; the rate falls after the same share of them.
    batch, lr
        Adam; the rate falls to a tenth after epoch 250 of 350, or 50 of 150.
    weight_decay : float, optional
        5e-7, or 5e-4 for grey images.

    Notes
    -----
    The paper's DCAE. Published settings are those of the authors' commands, for which see `deep_svdd`.

    References
    ----------
    Ruff et al., "Deep One-Class Classification", ICML 2018, sections 4.1 and 4.2.
    """

    stochastic = True

    def __init__(
        self,
        network: Literal["cifar10", "mnist", "fashion_mnist"] = "cifar10",
        normalise: Literal["gcn", "unit"] = "gcn",
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 200,
        lr: PositiveFloat = 1e-4,
        weight_decay: NonNegativeFloat | None = None,
    ) -> None:
        self.network, self.normalise = network, normalise
        self.published = PRETRAINING[network].with_(batch=batch, lr=lr, weight_decay=weight_decay)
        self.schedule = self.published.scaled(schedule, epochs)

    def fit(self, train: Images) -> None:
        self.notes = self.schedule.notes(self.published, "autoencoder")
        inputs = LeNetInputs(train, self.network, self.normalise)
        self.bounds = inputs.bounds
        model = lenet_autoencoder(self.network, self.seed)
        self.model = trained_autoencoder(self, model, inputs, self.schedule)

    def error(self, images: torch.Tensor) -> torch.Tensor:
        """Return the score (b,) of the network's inputs."""
        return squared_error(images, self.model(images))

    def score(self, test: Images) -> Scores:
        return Scores(LeNetInputs(test, self.network, self.normalise, self.bounds).mapped(self.error))
