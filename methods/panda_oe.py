"""PANDA with outlier exposure: a network fine-tuned to tell the normal images from given outliers."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    Training,
    endless_rows,
    epoch_rows,
    folding_note,
    generator_for,
    uniform,
)


class PANDAOE(Method):
    """Logit of a linear classifier of normal images (0) against outliers (1), trained with the last blocks.

    Every step sees a mini-batch of each. The network stays in evaluation mode, as in `panda`.

    Parameters
    ----------
    outliers : str
        A folder of images, or a data set: all images of its train split, or with ``task=`` the normal
        ones of some tasks. None of them may be in the test set.
    blocks : {"3-4", "4", "2-4", "1-4"}
        The blocks to train: 3 and 4 in the authors' code, only the last in their paper.
    steps : int
        Mini-batches: 50 epochs of CIFAR-10 in the code, 75 (11 775) in the paper.
    batch, lr, momentum, weight_decay, clip
        SGD; the gradient's norm, including the classifier's, is clipped to `clip`.

    Notes
    -----
    The paper takes outliers from 80 Million Tiny Images, which was withdrawn: every other set is a
    substitute, and the record names it. The score is the logit; the code's sigmoid of it ranks images the
    same way until it rounds to 1. Outliers come in shuffled passes, where the code shuffles at each step.

    References
    ----------
    Reiss, Cohen, Bergman, Hoshen, "PANDA", CVPR 2021, sections 3 and 4.2 (outlier exposure); Hendrycks,
    Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.
    """

    stochastic = True
    setting = "outlier_exposure"
    needs = "network"
    auxiliary_images = {"outliers": {}}  # noqa: RUF012

    def __init__(
        self,
        outliers: str,
        backbone: str = "default",
        blocks: Literal["3-4", "4", "2-4", "1-4"] = "3-4",
        steps: NonNegativeInt = 7850,
        batch: PositiveInt = 32,
        lr: NonNegativeFloat = 0.1,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        clip: PositiveFloat = 1e-3,
    ) -> None:
        self.outliers, self.backbone, self.first_block = outliers, backbone, int(blocks[0])
        self.steps, self.batch, self.lr, self.clip = steps, batch, lr, clip
        self.momentum, self.weight_decay = momentum, weight_decay

    def fit(self, train: Images) -> None:
        self.notes = ()
        if "outliers" not in self.auxiliary:
            raise FitError("panda_oe has no outliers: name some, panda_oe[outliers=FOLDER or DATA SET]")
        self.net = train.network(self.backbone)
        self.notes += folding_note(self.net.module)
        thawed = self.net.thaw(self.first_block)
        normal, outlying = self.net.inputs(train), self.net.inputs(self.auxiliary["outliers"])
        with torch.no_grad():
            d = self.net(normal[epoch_rows(1, 1, 0, 0)]).shape[1]
        initial = generator_for(self.seed, "classifier")
        self.head = {
            name: uniform(shape, d**-0.5, initial).to(self.device).requires_grad_()
            for name, shape in (("head.weight", (d,)), ("head.bias", ()))
        }

        def loss(step: int) -> torch.Tensor:
            inliers = self.logits(normal[epoch_rows(len(normal), self.batch, step, self.seed)])
            outliers = self.logits(
                outlying[endless_rows(len(outlying), self.batch, step, self.seed, "outliers")]
            )
            return exposure(inliers, outliers)

        weights = {**thawed, **self.head}
        optimiser = torch.optim.SGD(
            weights.values(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        Training(method=self, optimiser=optimiser, state=weights, steps=self.steps, clip=self.clip).run(loss)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (b,) of the network's inputs."""
        return self.net(inputs) @ self.head["head.weight"] + self.head["head.bias"]

    def score(self, test: Images) -> Scores:
        features = self.net.features(test)
        return Scores(features @ self.head["head.weight"].detach() + self.head["head.bias"].detach())


def exposure(inliers: torch.Tensor, outliers: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy of logits (b,): inliers are labelled 0, outliers 1."""
    logits = torch.cat([inliers, outliers])
    labels = torch.cat([torch.zeros_like(inliers), torch.ones_like(outliers)])
    return binary_cross_entropy_with_logits(logits, labels)
