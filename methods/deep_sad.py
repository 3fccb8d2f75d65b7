"""Deep SAD: Deep SVDD that also pushes labelled anomalies away from the centre (Ruff et al., 2020)."""

from __future__ import annotations

from typing import Literal

import torch
from numpy.typing import NDArray

from bench import (
    AdamSchedule,
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
    rows_of,
    spread,
    trained_autoencoder,
)

#: Added to the squared distance of a labelled image before the power is taken.
EPSILON = 1e-6


class DeepSAD(Method):
    """Squared distance ‖φ(x) - c‖², which training lowers for unlabelled images and raises for anomalies.

    An unlabelled image costs its squared distance, a labelled anomaly η over it. Autoencoder, centre and
    training see all images together; an anomaly has no more weight in a mini-batch than another image.

    Parameters
    ----------
    network : {"cifar10", "mnist", "fashion_mnist"}
        As in `deep_svdd`.
    eta : float
        η, the weight of a labelled image.
    normalise : {"unit", "gcn"}
        Pixels in [0, 1], as in the code, or the contrast normalisation of `deep_svdd`.
    pretrain : bool
        Start from the autoencoder; otherwise from torch's initial weights.
    schedule : {"paper", "short"}
        150 epochs after 150 of the autoencoder; or a tenth of each.
    epochs, pretrain_epochs : int, optional
        Other numbers of epochs; the rate falls after the same share of them.
    batch, lr, weight_decay
        Adam, of both stages; the rate falls to a tenth after a third of the epochs, the autoencoder's does
        not.
    pretrain_weight_decay : float
        Of the autoencoder, whose loss is a mean over pixels, too.

    Notes
    -----
    Without ``[few_shot]`` in the suite nothing is labelled: Deep SVDD on these images. Labels are anomalies
    only (the code has labelled normal images, too), and so many of them (the code: a share of all training
    images). Settings are those of the README's command, for MNIST: its code has no other; that leaves the
    milestone of the autoencoder open, whose rate is constant here.

    References
    ----------
    Ruff et al., "Deep Semi-Supervised Anomaly Detection", ICLR 2020, equation 8;
    ``lukasruff/Deep-SAD-PyTorch``.
    """

    stochastic = True
    few_shot = True

    def __init__(
        self,
        network: Literal["cifar10", "mnist", "fashion_mnist"] = "cifar10",
        eta: PositiveFloat = 1.0,
        normalise: Literal["unit", "gcn"] = "unit",
        pretrain: bool = True,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        pretrain_epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 128,
        lr: PositiveFloat = 1e-4,
        weight_decay: NonNegativeFloat = 5e-7,
        pretrain_weight_decay: NonNegativeFloat = 5e-4,
    ) -> None:
        self.network, self.eta, self.normalise, self.pretrain = network, eta, normalise, pretrain
        rate = {"epochs": 150, "batch": batch, "lr": lr}
        self.published = AdamSchedule(**rate, milestone=50, weight_decay=weight_decay)
        self.published_first = AdamSchedule(**rate, milestone=150, weight_decay=pretrain_weight_decay)
        self.schedule = self.published.scaled(schedule, epochs)
        self.first = self.published_first.scaled(schedule, pretrain_epochs)

    def fit(self, train: Images) -> None:
        self.notes = self.schedule.notes(self.published, "Deep SAD")
        every = train if self.labelled is None else train + self.labelled
        signs = torch.zeros(len(every), device=self.device)
        signs[len(train) :] = -1
        inputs = LeNetInputs(every, self.network, self.normalise)
        self.bounds = inputs.bounds
        model = lenet_autoencoder(self.network, self.seed, plain=True)
        if self.pretrain:
            self.notes += self.first.notes(self.published_first, "its autoencoder")
            trained_autoencoder(self, model, inputs, self.first, by_pixel=True)
        self.phi = model[0].to(self.device).eval()
        start = inputs.mapped(self.phi)
        self.centre = away_from_zero(start.mean(0))

        def loss(rows: NDArray, _: int) -> torch.Tensor:
            return sad_losses(self.distance(inputs[rows]), rows_of(signs, rows), self.eta).mean()

        self.schedule.train(self, self.phi, len(inputs), loss, part="sad")
        self.notes += collapse_note(spread(start), spread(inputs.mapped(self.phi)), "the representations")

    def distance(self, images: torch.Tensor) -> torch.Tensor:
        """Return the score (b,) of the network's inputs."""
        return (self.phi(images) - self.centre).square().sum(1)

    def score(self, test: Images) -> Scores:
        return Scores(LeNetInputs(test, self.network, self.normalise, self.bounds).mapped(self.distance))


def sad_losses(squared: torch.Tensor, signs: torch.Tensor, eta: float) -> torch.Tensor:
    """Return the losses (b,) of squared distances (b,).

    Parameters
    ----------
    signs : Tensor, shape (b,)
        0 for an unlabelled image, 1 for a labelled normal one, -1 for a labelled anomaly.
    """
    return torch.where(signs == 0, squared, eta * (squared + EPSILON) ** signs)
