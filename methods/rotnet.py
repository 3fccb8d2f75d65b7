"""RotNet: a network from scratch that tells how an image was turned (Gidaris et al.; Hendrycks et al.)."""

from __future__ import annotations

from typing import Literal

from bench import (
    GEOMETRIC_EPOCHS,
    GeometricMethod,
    GeometricTraining,
    Geometry,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
)


class RotNet(GeometricMethod):
    """Minus the sum, over four quarter turns, of the probability that a network gives the right one.

    `mhrot` without translations: the same network, augmentation and training.

    Parameters
    ----------
    size : int
        Side in pixels to which images are resized.
    depth, width : int
        Of the wide ResNet, WRN-16-4.
    dropout : float
    schedule : {"paper", "short"}
        100 epochs, or a tenth.
    epochs : int, optional
        Another number of epochs.
    batch : int
        Images in a mini-batch, all turns counted: each image appears with all four.
    lr, momentum, weight_decay
        SGD with Nesterov's momentum; the rate falls on a cosine to 1e-6.

    Notes
    -----
    See `mhrot` for what paper and code leave open. The score is in [-4, 0].

    References
    ----------
    Gidaris, Singh, Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations", ICLR
    2018; Hendrycks, Mazeika, Kadavath, Song, NeurIPS 2019, section 4.2, row "RotNet".
    """

    stochastic = True

    def __init__(
        self,
        size: PositiveInt = 32,
        depth: PositiveInt = 16,
        width: PositiveInt = 4,
        dropout: UnitInterval = 0.3,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 128,
        lr: PositiveFloat = 0.1,
        momentum: UnitInterval = 0.9,
        weight_decay: NonNegativeFloat = 5e-4,
    ) -> None:
        self.size, self.depth, self.width, self.dropout = size, depth, width, dropout
        self.geometry = Geometry((0,))
        self.training = GeometricTraining(
            epochs=GEOMETRIC_EPOCHS[schedule] if epochs is None else epochs,
            batch=batch,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            every_move=True,
            pad=size // 8,
        )
