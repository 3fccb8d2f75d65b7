"""MSC: a pretrained network adapted by a mean-shifted contrastive loss (Reiss and Hoshen, 2023)."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

from bench import (
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Training,
    collapse_note,
    epoch_rows,
    folding_note,
    generator_for,
    nearest,
    nt_xent,
    random_views,
    spread,
)

#: Epochs of the schedules.
EPOCHS = {"paper": 20, "short": 2}


class MSC(Method):
    """Sum of the squared distances to the nearest training features, all of length 1.

    The last blocks are trained so that two views of one image have a common direction as seen from the mean
    of the training features, and views of different images have others: around that mean, where pretrained
    features lie close together, a contrastive loss from the origin would tear them apart.

    Parameters
    ----------
    blocks : {"3-4", "4", "2-4", "1-4"}
        The blocks to train: 3 and 4 of ResNet-152 in the authors' code, all of ResNet-18 (``1-4``).
    angular : bool
        Also draw the features towards the mean, which is brought to length 1 then.
    k : int
        Nearest neighbours, at most the number of training images.
    schedule : {"paper", "short"}
        20 epochs, or a tenth.
    epochs : int, optional
        Another number of epochs.
    batch, lr, weight_decay
        SGD without momentum.
    temperature : float

    Notes
    -----
    The network stays in evaluation mode. Views are those of MoCo v2, cut from what the network sees of an
    image (the code cuts them from the whole image), made on the device: crops are interpolated bilinearly
    without antialiasing, the blur is an exact Gaussian, and a crop that is too wide is narrowed rather than
    drawn again. With 0 epochs it is ``dn2[normalise=l2]``.

    References
    ----------
    Reiss, Hoshen, "Mean-Shifted Contrastive Loss for Anomaly Detection", AAAI 2023, arXiv:2106.03844,
    equations 4 to 7; ``talreiss/Mean-Shifted-Anomaly-Detection``.
    """

    stochastic = True
    needs = "network"

    def __init__(
        self,
        backbone: str = "default",
        blocks: Literal["3-4", "4", "2-4", "1-4"] = "3-4",
        angular: bool = False,
        k: PositiveInt = 2,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 64,
        lr: NonNegativeFloat = 1e-5,
        weight_decay: NonNegativeFloat = 5e-5,
        temperature: PositiveFloat = 0.25,
    ) -> None:
        self.backbone, self.first_block, self.angular, self.k = backbone, int(blocks[0]), angular, k
        self.epochs = EPOCHS[schedule] if epochs is None else epochs
        self.batch, self.lr, self.weight_decay, self.temperature = batch, lr, weight_decay, temperature

    def fit(self, train: Images) -> None:
        done, paper = self.epochs, EPOCHS["paper"]
        self.notes = (f"{done} epochs, {paper} in the paper's schedule",) if done != paper else ()
        self.net = train.network(self.backbone)
        self.notes += folding_note(self.net.module)
        weights = self.net.thaw(self.first_block)
        pixels = PixelRows(train, self.net.preprocess.shrink)
        before = self.features(train)
        self.centre = before.mean(0)
        if self.angular:
            self.centre = F.normalize(self.centre, dim=0)

        def loss(step: int) -> torch.Tensor:
            images = pixels[epoch_rows(len(pixels), self.batch, step, self.seed)]
            drawn = generator_for(self.seed, "views", step)
            views = torch.cat([random_views(images, drawn), random_views(images, drawn)])
            # In float, as the views are: the network's normalisation is that of grey levels.
            features = F.normalize(self.net(self.net.preprocess.normalise(views)), dim=1)
            value = mean_shifted(features - self.centre, self.temperature)
            return value + 2 * (features - self.centre).square().sum(1).mean() if self.angular else value

        optimiser = torch.optim.SGD(weights.values(), lr=self.lr, weight_decay=self.weight_decay)
        steps = self.epochs * -(-len(pixels) // self.batch)
        Training(method=self, optimiser=optimiser, state=weights, steps=steps).run(loss)
        self.bank = self.features(train)
        self.notes += collapse_note(spread(before), spread(self.bank), "the training features")

    def features(self, images: Images) -> torch.Tensor:
        """Return the features (n, d) of all images, of length 1."""
        return F.normalize(self.net.features(images), dim=1)

    def score(self, test: Images) -> Scores:
        return Scores(nearest(self.features(test), self.bank, min(self.k, len(self.bank))).distances.sum(1))


def mean_shifted(differences: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the contrastive loss of 2 b views by their differences from the mean, (2 b, d).

    Row i and row i + b are views of one image. Each is told from all others but itself by the cosine.
    """
    return nt_xent(F.normalize(differences, dim=1), temperature)
