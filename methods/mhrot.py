"""MHRot: a network from scratch that tells how an image was moved and turned (Hendrycks et al., 2019)."""

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


class MHRot(GeometricMethod):
    """Minus the sum, over 36 transformations, of the probabilities that three heads give the right answers.

    An image is moved up or down, left or right, or neither, and turned by quarters. Heads for the vertical
    shift, the horizontal one and the turn share a network, trained on the mean of their cross-entropies.

    Parameters
    ----------
    size : int
        Side in pixels to which images are resized.
    shift : int
        Of the translations, in pixels; borders are mirrored, so that none can be told by its border.
    depth, width : int
        Of the wide ResNet, WRN-16-4.
    dropout : float
    translations : {"all", "sampled"}
        In an epoch each image with all nine translations, or with one by chance, which is nine times cheaper.
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
    The authors' code has the one-class experiment for ImageNet only, with shifts of 56 of 224 pixels, a
    ResNet-18 with attention and 5 epochs. From it are the transformations, one after the other on one copy,
    the loss and the score; network, shift, random crops, flips and rates for 32 pixels are from the paper and
    the code's other experiments. Epochs and mini-batch are our reading: neither says them. Shifts are whole
    pixels, for which no interpolation is needed. The score is in [-108, 0]; -33 is a guess.

    References
    ----------
    Hendrycks, Mazeika, Kadavath, Song, "Using Self-Supervised Learning Can Improve Model Robustness and
    Uncertainty", NeurIPS 2019, section 4.2; ``hendrycks/ss-ood``.
    """

    stochastic = True

    def __init__(
        self,
        size: PositiveInt = 32,
        shift: PositiveInt = 8,
        depth: PositiveInt = 16,
        width: PositiveInt = 4,
        dropout: UnitInterval = 0.3,
        translations: Literal["all", "sampled"] = "all",
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 128,
        lr: PositiveFloat = 0.1,
        momentum: UnitInterval = 0.9,
        weight_decay: NonNegativeFloat = 5e-4,
    ) -> None:
        self.size, self.depth, self.width, self.dropout = size, depth, width, dropout
        self.geometry = Geometry((0, -shift, shift))
        self.training = GeometricTraining(
            epochs=GEOMETRIC_EPOCHS[schedule] if epochs is None else epochs,
            batch=batch,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            every_move=translations == "all",
            pad=size // 8,
        )
