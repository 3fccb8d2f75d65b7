"""PANDA: a network drawn together on the normal images and kept from collapsing (Reiss et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch.nn.functional import cross_entropy

from bench import (
    AnobenchError,
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    Trainable,
    Training,
    collapse_note,
    endless_rows,
    epoch_rows,
    folding_note,
    generator_for,
    nearest,
    sent,
    spread,
)

#: Mini-batches of each variant: 2.3k, 150k images, 7.8k.
STEPS = {"early": 2300, "ses": 4710, "ewc": 7800}

#: Bytes of the gradients of single images at a time.
GRADIENT_BYTES = 2 * 2**30

State = dict[str, torch.Tensor]
Score = Callable[[torch.Tensor], torch.Tensor]


class PANDA(Method):
    """Distance to the training images in the features of a network fine-tuned for compactness.

    The last blocks are trained on the mean squared distance of the training features to their mean before
    training, divided by the number of dimensions. The gradient is clipped to such a small norm that every
    step has the same length; the network stays in evaluation mode, with ImageNet's BatchNorm statistics.
    Trained too long, it maps everything to the centre; the variants differ in how they prevent that.

    Parameters
    ----------
    variant : {"early", "ses", "ewc"}
        Stop early; sample-wise early stopping, which keeps the network every `interval` mini-batches and
        takes the largest of their scores, each divided by the typical score of normal images; or elastic
        weight consolidation, a penalty on moving away from the initial weights.
    blocks : {"3-4", "4", "2-4", "1-4"}
        The blocks to train: those after stride 8 (a ResNet's ``layer3`` and ``layer4``), 16, 4, or 2.
    scoring : {"knn", "mean", "kmeans"}
        Sum of the squared distances to the `k` nearest training features; squared distance to their mean; or
        to the nearest of `means` means.
    steps : int, optional
        Mini-batches; by default 2300, 4710 or 7800 by variant. The authors count epochs of CIFAR-10 (15, 30
        and 50 of 157 mini-batches).
    batch, lr, momentum, weight_decay, clip
        SGD. Weight decay is added after clipping, and can exceed the gradient.
    interval : int
        Mini-batches between two networks that `ses` and `oracle` keep; 5 epochs of CIFAR-10.
    ewc_weight : float
        λ in (λ/2) Σ F (θ - θ₀)².
    fisher : {"sampled", "identity"}
        F of `ewc`: mean squared gradient of the cross-entropy with labels sampled from the network's own
        prediction, or 1 throughout. The authors compute it on ImageNet with its labels.
    fisher_images : str
        Natural images for it: the training images, or a folder or data set (such as ImageNet's).
    fisher_batches : int
        Mini-batches in its mean.
    fisher_squares : {"image", "batch"}
        Square the gradient of each image, as in the definition, or of a mini-batch's mean; the authors do not
        say which they use.
    selection : {"last", "oracle"}
        ``oracle`` scores the network of every interval, so that the record has their AUROCs; never ranked.

    References
    ----------
    Reiss, Cohen, Bergman, Hoshen, "PANDA: Adapting Pretrained Features for Anomaly Detection and
    Segmentation", CVPR 2021, section 3 and appendix D; equations 1, 3, 4. The division by the number of
    dimensions is from the code.
    """

    stochastic = True
    needs = "network"
    auxiliary_images = {"fisher_images": {"train": ""}}  # noqa: RUF012

    def __init__(
        self,
        backbone: str = "default",
        variant: Literal["early", "ses", "ewc"] = "early",
        blocks: Literal["3-4", "4", "2-4", "1-4"] = "3-4",
        scoring: Literal["knn", "mean", "kmeans"] = "knn",
        k: PositiveInt = 2,
        means: PositiveInt = 10,
        steps: NonNegativeInt | None = None,
        batch: PositiveInt = 32,
        lr: NonNegativeFloat = 0.01,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 5e-5,
        clip: PositiveFloat = 1e-3,
        interval: PositiveInt = 785,
        ewc_weight: NonNegativeFloat = 1e4,
        fisher: Literal["sampled", "identity"] = "sampled",
        fisher_images: str = "train",
        fisher_batches: PositiveInt = 100,
        fisher_squares: Literal["image", "batch"] = "image",
        selection: Literal["last", "oracle"] = "last",
    ) -> None:
        self.backbone, self.variant, self.first_block = backbone, variant, int(blocks[0])
        self.scoring, self.k, self.means = scoring, k, means
        self.steps, self.batch, self.clip = STEPS[variant] if steps is None else steps, batch, clip
        self.lr, self.momentum, self.weight_decay, self.interval = lr, momentum, weight_decay, interval
        self.ewc_weight, self.fisher, self.fisher_images = ewc_weight, fisher, fisher_images
        self.fisher_batches, self.fisher_squares = fisher_batches, fisher_squares
        self.selection = selection

    def fit(self, train: Images) -> None:
        self.notes = ()
        self.net = train.network(self.backbone)
        self.notes += folding_note(self.net.module)
        weights = self.net.thaw(self.first_block)
        inputs = self.net.inputs(train)
        before = self.net.features(inputs)
        penalty = self.consolidation(train) if self.variant == "ewc" else None
        states: dict[str, State] = {}

        def loss(step: int) -> torch.Tensor:
            rows = epoch_rows(len(inputs), self.batch, step, self.seed)
            value = compactness(self.net(inputs[rows]), centre)
            return value if penalty is None else value + penalty()

        def after(done: int) -> None:
            several = self.variant == "ses" or self.selection == "oracle"
            if done == self.steps or (several and done % self.interval == 0):
                states[f"step {done}"] = {n: p.detach().cpu().clone() for n, p in weights.items()}

        centre = before.mean(0)
        optimiser = torch.optim.SGD(
            weights.values(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        Training(
            method=self, optimiser=optimiser, state=weights, steps=self.steps, clip=self.clip, kept=states
        ).run(loss, after)
        self.adapted = {name: self._read_out(inputs, state) for name, state in states.items()}
        last = self.adapted[f"step {self.steps}"]
        self.notes += collapse_note(spread(before), spread(last.bank), "the training features")

    def consolidation(self, train: Images) -> Callable[[], torch.Tensor]:
        """Return (λ/2) Σ F (θ - θ₀)² as a function of the current weights."""
        weights = self.net.thawed
        start = {name: weight.detach().clone() for name, weight in weights.items()}
        if self.fisher == "identity":
            fisher = {name: torch.ones_like(weight) for name, weight in start.items()}
            self.notes += ("Fisher information: 1 for every weight, not the authors'",)
        else:
            fisher = self._estimate(self.auxiliary.get("fisher_images", train))
        return lambda: 0.5 * self.ewc_weight * quadratic(weights, start, fisher)

    def _estimate(self, images: Images) -> State:
        own = "fisher_images" not in self.auxiliary
        try:
            fisher = sampled_fisher(
                self.net,
                images,
                self.fisher_batches,
                self.batch,
                self.seed,
                each=self.fisher_squares == "image",
            )
        except AnobenchError as error:
            raise FitError(
                f"{error}. The Fisher information of variant=ewc needs it; take fisher=identity"
            ) from None
        whose = "the training images" if own else self.fisher_images
        self.notes += (
            f"Fisher information: estimated on {whose} with labels that the network predicts, not the "
            f"authors' on ImageNet; {self.fisher_batches} mini-batches, squared by {self.fisher_squares}",
        )
        return fisher

    def _read_out(self, inputs: Any, state: State) -> _Adapted:
        load(self.net, state)
        bank = self.net.features(inputs)
        order = np.random.default_rng(self.seed).permutation(len(bank))
        held, gallery = np.split(order, [max(1, len(bank) // 10)])
        typical = float(self._score_by(bank[gallery])(bank[held]).mean()) if len(gallery) else 0.0
        return _Adapted(state, bank, self._score_by(bank), typical or 1.0)

    def _score_by(self, bank: torch.Tensor) -> Score:
        if self.scoring == "knn":
            return lambda x: nearest(x, bank, min(self.k, len(bank))).distances.sum(1)
        centres = bank.mean(0, keepdim=True)
        if self.scoring == "kmeans":
            model = KMeans(min(self.means, len(bank)), n_init=3, random_state=self.seed % 2**32)
            centres = torch.from_numpy(model.fit(bank.cpu().numpy()).cluster_centers_).to(bank)
        return lambda x: nearest(x, centres, 1).distances[:, 0]

    def score(self, test: Images) -> Scores:
        normalised = {}
        for name, network in self.adapted.items():
            load(self.net, network.state)
            scores = network.score(self.net.features(test))
            normalised[name] = scores / network.typical
        if self.variant == "ses":
            scores = torch.stack(list(normalised.values())).amax(0)
        return Scores(scores, candidates=normalised if self.selection == "oracle" else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """A network after some mini-batch: weights, training features, score, typical score of normal images."""

    state: State
    bank: torch.Tensor
    score: Score
    typical: float


def compactness(features: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of features (b, d) to the centre, over d."""
    return (features - centre).square().sum(1).mean() / features.shape[1]


def quadratic(weights: State, start: State, fisher: State) -> torch.Tensor:
    """Return Σ F (θ - θ₀)² over all weights."""
    apart = torch._foreach_sub([weights[n] for n in start], list(start.values()))
    terms = torch._foreach_mul(torch._foreach_mul(apart, apart), [fisher[n] for n in start])
    return torch.stack([each.sum() for each in terms]).sum()


def sampled_fisher(
    net: Trainable, images: Images, batches: int, batch: int, seed: int, *, each: bool
) -> State:
    """Return the mean squared gradient of the cross-entropy, with labels sampled from the prediction.

    Parameters
    ----------
    each : bool
        Square the gradient of each image, not of each mini-batch's mean: on a CPU one after the other, on a
        GPU, for which one image is too little work, several at a time.
    """
    inputs, weights = net.inputs(images), list(net.thawed.values())
    total = [torch.zeros_like(weight) for weight in weights]
    for step in range(batches):
        rows = endless_rows(len(inputs), batch, step, seed, "fisher")
        drawn = generator_for(seed, "fisher", step)
        if each and net.device.type != "cpu":
            torch._foreach_add_(total, squares_of_each(net, inputs[rows], drawn), alpha=1 / (batches * batch))
            continue
        groups = [rows[i : i + 1] for i in range(batch)] if each else [rows]
        for group in groups:
            logits = net.logits(inputs[group])
            prediction = logits.detach().softmax(1).cpu()
            labels = torch.multinomial(prediction, 1, generator=drawn)[:, 0].to(logits.device)
            gradients = torch.autograd.grad(cross_entropy(logits, labels), weights)
            for one, gradient in zip(total, gradients, strict=True):
                one += gradient.square() / (batches * len(groups))
    return dict(zip(net.thawed, total, strict=True))


def squares_of_each(net: Trainable, inputs: torch.Tensor, drawn: torch.Generator) -> list[torch.Tensor]:
    """Return the squares of the gradients of each image, summed over a mini-batch, of each thawed weight."""
    weights = {name: weight.detach() for name, weight in net.thawed.items()}
    with torch.no_grad():
        predictions = net.logits(inputs).softmax(1).cpu()
    # One by one, so that the draws are those of a CPU.
    labels = torch.cat([torch.multinomial(row[None], 1, generator=drawn)[0] for row in predictions])

    def loss(weights: State, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy(net.logits(image[None], weights), label[None])

    gradients_of = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    total = [torch.zeros_like(weight) for weight in weights.values()]
    at_once = max(1, GRADIENT_BYTES // sum(weight.nbytes for weight in total))
    for some, told in zip(inputs.split(at_once), sent(inputs.device, labels)[0].split(at_once), strict=True):
        found = gradients_of(weights, some, told)
        torch._foreach_add_(total, [found[name].square_().sum(0) for name in weights])
    return total


def load(net: Trainable, state: State) -> None:
    """Put weights into the network."""
    with torch.no_grad():
        for name, weight in state.items():
            net.thawed[name].copy_(weight)
