"""Deep SVDD's objectives on a small bias-free head over frozen features (after Ruff et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn.functional import leaky_relu

from bench import (
    FitError,
    Fraction,
    Heads,
    HeadTraining,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    away_from_zero,
    collapse_note,
    same_shape,
    spread,
    standardise,
    take_rows,
    uniform,
)

#: One over smaller squared distances is not taken.
LEAST_SQUARE = 1e-6


class DeepSVDDFeatures(Method):
    """Squared distance ‖φ(x) - c‖² to a fixed centre, towards which training pulls normal features.

    φ is the last layer of the paper's network, without biases, which would allow φ = c everywhere. The centre
    is the mean of φ before training, with coordinates moved out of (-0.1, 0.1) for the same reason.

    Parameters
    ----------
    objective : {"one-class", "soft-boundary"}
        Mean ‖φ(x) - c‖², or R² + 1/ν mean max(0, ‖φ(x) - c‖² - R²), where R is 0 in the first `warmup` epochs
        and then after each step the (1 - ν)-quantile of the batch's distances.
    nu : float
        ν of the soft boundary, in (0, 1).
    hidden : int
        Width of a hidden layer (leaky ReLU); 0 for a linear head.
    dimensions : int
        Of φ; 128 as in the paper's CIFAR-10 network.
    epochs, milestone, batch, lr, weight_decay
        Adam; the rate falls to a tenth after `milestone` epochs, as in the authors' commands for CIFAR-10.
    normalise : {"none", "standard", "l2"}
        Normalisation of the features, fitted on the training images. After ``standard`` their mean is 0, and
        so is that of a linear head: the centre is 0.1 throughout.

    Notes
    -----
    Not a reproduction: the paper trains the whole network, from an autoencoder's weights; here the features
    are frozen and the head starts from torch's initial values. The score leaves out R², which is the same for
    all images.

    References
    ----------
    Ruff et al., "Deep One-Class Classification", ICML 2018, equations 3 and 4, propositions 1 and 2.
    """

    stochastic = True
    steerable = True

    def __init__(
        self,
        backbone: str = "default",
        objective: Literal["one-class", "soft-boundary"] = "one-class",
        nu: Fraction = 0.1,
        hidden: NonNegativeInt = 0,
        dimensions: PositiveInt = 128,
        warmup: NonNegativeInt = 10,
        epochs: NonNegativeInt = 150,
        milestone: PositiveInt = 50,
        batch: PositiveInt = 200,
        lr: PositiveFloat = 1e-4,
        weight_decay: NonNegativeFloat = 5e-7,
        normalise: Literal["none", "standard", "l2"] = "none",
    ) -> None:
        self.backbone, self.objective, self.nu = backbone, objective, nu
        self.hidden, self.dimensions, self.warmup = hidden, dimensions, warmup
        self.epochs, self.milestone, self.batch = epochs, milestone, batch
        self.lr, self.weight_decay, self.normalise = lr, weight_decay, normalise

    def fit(self, train: Images) -> None:
        self.fit_together([self], [train])

    @classmethod
    def fit_together(cls, methods: Sequence[DeepSVDDFeatures], trains: Sequence[Images]) -> None:
        """Fit several, which differ only in their seeds and training images, in the same steps."""
        banks = [method.prepared(train) for method, train in zip(methods, trains, strict=True)]
        for group in same_shape(banks):
            _train([methods[i] for i in group], torch.stack([banks[i] for i in group]))

    def prepared(self, train: Images) -> torch.Tensor:
        """Return the training features as the head sees them, (n, d)."""
        features = train.features(self.backbone)
        self.prepare, self.notes = standardise(features, self.normalise), ()
        return self.prepare(features)

    def represent(self, features: torch.Tensor) -> torch.Tensor:
        """Return φ of prepared features, (n, dimensions)."""
        return represent(features, self.parameters)

    def score(self, test: Images) -> Scores:
        phi = self.represent(self.prepare(test.features(self.backbone)))
        return Scores((phi - self.centre).square().sum(1))


def represent(features: torch.Tensor, parameters: Heads | dict[str, torch.Tensor]) -> torch.Tensor:
    """Return φ: (..., n, d) through one or two matrices without biases."""
    if "first" in parameters:
        features = leaky_relu(features @ parameters["first"])
    return features @ parameters["last"]


def objective(squared: torch.Tensor, radius: torch.Tensor, nu: float | None) -> torch.Tensor:
    """Return the loss (h,) of squared distances (h, b); ν is None for the one-class objective."""
    if nu is None:
        return squared.mean(-1)
    return radius**2 + (squared - radius[:, None] ** 2).relu().mean(-1) / nu


def _initial(method: DeepSVDDFeatures, d: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    sizes = {"first": (d, method.hidden), "last": (method.hidden, method.dimensions)}
    if not method.hidden:
        sizes = {"last": (d, method.dimensions)}
    return {name: uniform(shape, shape[0] ** -0.5, generator) for name, shape in sizes.items()}


def _train(methods: Sequence[DeepSVDDFeatures], banks: torch.Tensor) -> None:
    """Train the heads of all methods on their banks, (h, n, d); sets the methods' heads and centres."""
    first, device = methods[0], banks.device
    generators = [torch.Generator().manual_seed(m.seed) for m in methods]
    initial = [_initial(first, banks.shape[2], generator) for generator in generators]
    heads = Heads([{name: p.to(device) for name, p in state.items()} for state in initial])
    with torch.no_grad():
        phi = represent(banks, heads)
        mean = phi.mean(1)
        # The sign of a rounded mean of 0 differs from machine to machine.
        rounding = mean.abs() < 1e-5 * phi.abs().amax(1)
        centres = away_from_zero(mean.masked_fill(rounding, 0))
    before = [spread(p) for p in phi]
    optimiser = torch.optim.Adam(
        heads.groups(), lr=first.lr, weight_decay=first.weight_decay, fused=device.type in ("cpu", "cuda")
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [first.milestone])
    nu = first.nu if first.objective == "soft-boundary" else None
    if first.mix_losses is not None and nu is not None:
        raise FitError(
            "deep_svdd_features: the soft boundary has no loss of its own for each image; steer one-class"
        )
    radius = torch.zeros(len(methods), device=device)
    training = HeadTraining(
        methods=methods,
        heads=heads,
        optimiser=optimiser,
        schedule=schedule,
        n=banks.shape[1],
        batch=first.batch,
        epochs=first.epochs,
        shuffle=generators,
        state={"radius": radius},
        device=device,
    )
    for rows in training:
        squared = (represent(take_rows(banks, rows), heads) - centres[:, None]).square().sum(-1)
        if first.mix_losses is not None:
            # Far from the centre is what an anomaly should be.
            loss = first.mix_losses(squared, 1 / squared.clamp(min=LEAST_SQUARE), training.epoch)
        else:
            loss = objective(squared, radius, nu)
        heads.step(loss, optimiser)
        if nu is not None and training.epoch >= first.warmup:
            radius.copy_(squared.detach().sqrt().quantile(1 - nu, dim=1))
    for h, method in enumerate(methods):
        method.parameters, method.centre = heads.state(h), centres[h]
        method.notes += collapse_note(before[h], spread(method.represent(banks[h])), "the representations")
