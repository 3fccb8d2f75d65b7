"""Joint optimisation: compact features of normal images, classes of others told apart (Perera and Patel)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Scores,
    Training,
    collapse_note,
    endless_rows,
    epoch_rows,
    folding_note,
    generator_for,
    nearest,
    rows_of,
    spread,
    uniform,
)


class JointOptimization(Method):
    """Distance to the nearest training features, of a network trained on two losses at once.

    On the normal images its features are to be compact; on a labelled auxiliary set a linear layer on them is
    to tell the classes, which keeps the features from collapsing. The sum of the cross-entropy and `weight`
    times the compactness is minimised, over a mini-batch of each.

    Parameters
    ----------
    auxiliary_set : str
        A data set, whose classes are its tasks, or a folder with a subfolder for each class. None of its
        images may be a test image.
    weight : float
        λ of the compactness.
    blocks : {"3-4", "4", "2-4", "1-4"}
        The blocks of the network to train.
    scoring : {"knn", "mean"}
        Sum of the squared distances to the `k` nearest training features, or squared distance to their mean.
    steps : int
        Mini-batches.
    batch : int
        Images of either kind in one.
    lr, momentum, weight_decay
        SGD, of the network and the layer.

    Notes
    -----
    The paper classifies images of ImageNet, as do the numbers that the paper on PANDA gives for this method;
    any other set is a substitute, and the record names it. The layer for its classes starts from chance. The
    compactness is the paper's: to the mean of the *other* images of the mini-batch; that of a single image is
    0. Its λ = 0.1, the rate and the weight decay are quoted from memory, and the number of mini-batches
    (PANDA's 2300) and the blocks (PANDA's) are ours, as neither text at hand has them. The network stays in
    evaluation mode, as in `panda`.

    References
    ----------
    Perera, Patel, "Learning Deep Features for One-Class Classification", IEEE Transactions on Image
    Processing 28(11), 2019, equations 1 to 6; as a baseline: Reiss, Cohen, Bergman, Hoshen, "PANDA", CVPR
    2021, table 4 (JO).
    """

    stochastic = True
    setting = "labelled_auxiliary"
    needs = "network"
    auxiliary_images = {"auxiliary_set": {}}  # noqa: RUF012

    def __init__(
        self,
        auxiliary_set: str,
        backbone: str = "default",
        weight: NonNegativeFloat = 0.1,
        blocks: Literal["3-4", "4", "2-4", "1-4"] = "3-4",
        scoring: Literal["knn", "mean"] = "knn",
        k: PositiveInt = 2,
        steps: NonNegativeInt = 2300,
        batch: PositiveInt = 32,
        lr: NonNegativeFloat = 5e-5,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 5e-4,
    ) -> None:
        self.auxiliary_set, self.backbone, self.weight = auxiliary_set, backbone, weight
        self.first_block, self.scoring, self.k = int(blocks[0]), scoring, k
        self.steps, self.batch = steps, batch
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    def fit(self, train: Images) -> None:
        self.notes = ()
        others, labels = self.labelled_set()
        self.net = train.network(self.backbone)
        self.notes += folding_note(self.net.module)
        thawed = self.net.thaw(self.first_block)
        normal, other = self.net.inputs(train), self.net.inputs(others)
        before = self.net.features(normal)
        self.layer = self.new_layer(before.shape[1], int(labels.max()) + 1)

        def loss(step: int) -> torch.Tensor:
            rows = epoch_rows(len(normal), self.batch, step, self.seed)
            chosen = endless_rows(len(other), self.batch, step, self.seed, "auxiliary")
            told = self.logits(self.net(other[chosen]))
            known = rows_of(labels, chosen)
            return F.cross_entropy(told, known) + self.weight * compactness(self.net(normal[rows]))

        weights = {**thawed, **self.layer}
        optimiser = torch.optim.SGD(
            weights.values(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        Training(method=self, optimiser=optimiser, state=weights, steps=self.steps).run(loss)
        self.bank = self.net.features(normal)
        self.notes += collapse_note(spread(before), spread(self.bank), "the training features")

    def labelled_set(self) -> tuple[Images, torch.Tensor]:
        """Return the auxiliary images that have a class, and its number, (n,).

        Raises
        ------
        FitError
            There are none, or of one class alone.
        """
        images, names = self.auxiliary.get("auxiliary_set"), self.auxiliary_classes.get("auxiliary_set", ())
        where = "joint_optimization[auxiliary_set=FOLDER or DATA SET]"
        if images is None:
            raise FitError(f"joint_optimization has no auxiliary set: name one, {where}")
        rows = np.array([at for at, name in enumerate(names) if name], np.int64)
        classes = sorted({names[at] for at in rows.tolist()})
        if len(classes) < 2:
            raise FitError(
                f"joint_optimization: {self.auxiliary_set} has {len(classes)} classes, and there must be two "
                f"or more to be told apart; give a data set of several tasks, or a folder with a subfolder "
                f"for each class: {where}"
            )
        self.notes += (
            f"{self.auxiliary_set} in the place of ImageNet: {len(rows)} images of {len(classes)} classes",
        )
        numbers = [classes.index(names[at]) for at in rows.tolist()]
        return images[rows], torch.tensor(numbers, device=self.device)

    def new_layer(self, d: int, classes: int) -> dict[str, torch.Tensor]:
        """Return weights (classes, d) and biases (classes,) as torch draws those of a linear layer."""
        drawn, shapes = generator_for(self.seed, "classes"), {"weight": (classes, d), "bias": (classes,)}
        return {
            f"layer.{name}": uniform(shape, d**-0.5, drawn).to(self.device).requires_grad_()
            for name, shape in shapes.items()
        }

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits (b, classes) of features (b, d)."""
        return features @ self.layer["layer.weight"].T + self.layer["layer.bias"]

    def score(self, test: Images) -> Scores:
        features = self.net.features(test)
        if self.scoring == "mean":
            return Scores((features - self.bank.mean(0)).square().sum(1))
        return Scores(nearest(features, self.bank, min(self.k, len(self.bank))).distances.sum(1))


def compactness(features: torch.Tensor) -> torch.Tensor:
    """Return the mean over n features of the mean squared distance, over d, to the mean of the others.

    That of a single feature is 0. A feature is n / (n - 1) times as far from the mean of the others as from
    the mean of all.
    """
    n, d = features.shape
    if n < 2:
        return features.sum() * 0
    return (features - features.mean(0)).square().sum() * n / ((n - 1) ** 2 * d)
