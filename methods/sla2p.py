"""SLA2P: telling random projections of a feature apart after an adversarial step (Wang et al., 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from bench import (
    FitError,
    Fraction,
    Images,
    Method,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Scores,
    batch_slices,
    sent,
)

#: The authors' batch: the step uses the gradient of a mean over this many projections.
BATCH = 128
#: On a GPU: steps between two looks whether the training is over.
WINDOW = 16


class SLA2P(Method):
    """Score: mean over t and c of (softmax f(y'_t)_c - 1[c = t])², in [0, 2 / transforms].

    A feature x of unit length is projected by random matrices, y_t = x R_t; a network f learns to predict t
    from y_t. In testing, y_t takes a step along the gradient of the cross-entropy with the class that f
    predicts, which makes f less certain, above all where it has seen little.

    Parameters
    ----------
    transforms, dimensions : int
        Number of matrices R_t, and their width.
    epsilon : float
        Length of the step, times the raw gradient of a mean over 128 projections; 1000 for CIFAR-10,
        Caltech-101, 10,000 for CIFAR-100. 0 omits the step: the authors' SLA.
    accuracy : float
        Training stops as soon as the running accuracy exceeds this share.
    epochs : int
        Largest number of passes over all projections; 1 in the authors' image experiments.
    lr, weight_decay : float
        Adam, with eps 1e-7.

    Notes
    -----
    The paper is transductive: it trains on the images that it scores, outliers included (compare the
    contamination of a suite). Here the network is trained on the training images and sees no test image
    before scoring. The code divides the gradient by the size of the batch of an image; here always by 128. It
    is the raw gradient, not its sign. Each task has its own matrices.

    References
    ----------
    Wang, Qin, Wei, Xu, Bai, Fu, "Self-supervision Meets Adversarial Perturbation: A Novel Framework for
    Anomaly Detection", CIKM 2022, arXiv 2111.12896.
    """

    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        transforms: PositiveInt = 256,
        dimensions: PositiveInt = 256,
        epsilon: NonNegativeFloat = 1000.0,
        accuracy: Fraction = 0.6,
        epochs: PositiveInt = 1,
        lr: PositiveFloat = 1e-3,
        weight_decay: NonNegativeFloat = 5e-4,
    ) -> None:
        self.backbone, self.transforms, self.dimensions = backbone, transforms, dimensions
        self.epsilon, self.accuracy, self.epochs = epsilon, accuracy, epochs
        self.lr, self.weight_decay = lr, weight_decay

    def fit(self, train: Images) -> None:
        features = normalize(train.features(self.backbone))
        device, generator = features.device, torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(self.transforms, features.shape[1], self.dimensions, generator=generator)
        self.matrices = drawn.to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = classifier(self.dimensions, self.transforms).to(device)
        optimiser = torch.optim.Adam(
            self.network.parameters(), lr=self.lr, eps=1e-7, weight_decay=self.weight_decay
        )
        right, seen = torch.zeros((), device=device), 0
        window = _Window(self.network, 1 if device.type == "cpu" else WINDOW)
        for projections, labels in self._batches(features, generator):
            logits = self.network(projections)
            loss = cross_entropy(logits, labels)
            right, seen = right + (logits.argmax(1) == labels).sum(), seen + len(labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            window.add(right, seen, loss.detach())
            if window.full and (right_enough := window.first(self.accuracy)):
                right, seen, loss = right_enough
                break
        else:
            if right_enough := window.first(self.accuracy):
                right, seen, loss = right_enough
        if not bool(loss.isfinite()):
            raise FitError("SLA2P: the loss became NaN or infinite; lower lr")
        self.network.eval().requires_grad_(False)
        self.notes = (f"stopped after {seen} projections at an accuracy of {float(right) / seen:.2f}",)

    def _batches(
        self, features: torch.Tensor, generator: torch.Generator, chunk: int = 128 * BATCH
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield shuffled projections (b, dimensions) with their t, (b,).

        All n × transforms projections at once take gigabytes, so they are computed chunk by chunk.
        """
        total = len(features) * self.transforms
        for _ in range(self.epochs):
            order = torch.randperm(total, generator=generator)
            for part in batch_slices(total, chunk, smallest=2):
                images, labels = order[part] // self.transforms, order[part] % self.transforms
                made = features.new_empty(len(labels), self.dimensions)
                places = labels.argsort(stable=True)
                ends = labels.bincount(minlength=self.transforms).cumsum(0).tolist()
                there, taken, labels = sent(features.device, places, images[places], labels)
                for t, (start, end) in enumerate(pairwise([0, *ends])):
                    if end > start:
                        made[there[start:end]] = features[taken[start:end]] @ self.matrices[t]
                for batch in batch_slices(len(labels), BATCH, smallest=2):
                    yield made[batch], labels[batch]

    def score(self, test: Images) -> Scores:
        features = normalize(test.features(self.backbone))
        rows = max(1, 32768 // self.transforms)
        parts = [
            self._score(torch.einsum("nd,tdo->nto", part, self.matrices)) for part in features.split(rows)
        ]
        return Scores(torch.cat(parts))

    def _score(self, projections: torch.Tensor) -> torch.Tensor:
        """Return the scores (n,) of projections (n, transforms, dimensions)."""
        probabilities = self.network(self._perturbed(projections.flatten(0, 1))).softmax(1)
        targets = torch.eye(self.transforms, device=probabilities.device).repeat(len(projections), 1)
        return (probabilities - targets).square().mean(1).view(len(projections), -1).mean(1)

    def _perturbed(self, projections: torch.Tensor) -> torch.Tensor:
        """Return y + ε / 128 ∇ CE(f(y), argmax f(y)), each row by its own loss."""
        if self.epsilon == 0:
            return projections
        moving = projections.detach().requires_grad_()
        with torch.enable_grad():
            logits = self.network(moving)
            # A sum gives each row the gradient of its own loss, whatever the other rows.
            loss = cross_entropy(logits, logits.argmax(1), reduction="sum")
            gradient = torch.autograd.grad(loss, moving)[0]
        return projections + self.epsilon / BATCH * gradient


class _Window:
    """The latest steps of a training whose end is looked for only when they are over.

    To ask after each step whether it was the last would make a GPU wait for the host each time. So the states
    after the latest steps are kept, and the training goes back to the first that was enough.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        self._tensors, self._size = list(network.state_dict().values()), size
        self._steps: list[tuple[torch.Tensor, int, torch.Tensor]] = []
        self._states: list[list[torch.Tensor]] = []

    @property
    def full(self) -> bool:
        return len(self._steps) == self._size

    def add(self, right: torch.Tensor, seen: int, loss: torch.Tensor) -> None:
        """Note a step: right answers and answers so far, and its loss."""
        self._steps.append((right, seen, loss))
        if self._size > 1:
            self._states.append([tensor.clone() for tensor in self._tensors])

    def first(self, accuracy: float) -> tuple[torch.Tensor, int, torch.Tensor] | None:
        """Return the first step that was accurate enough, and put back its state; forget all others."""
        steps, states, self._steps, self._states = self._steps, self._states, [], []
        if not steps:
            return None
        found = torch.stack([right > accuracy * seen for right, seen, _ in steps]).tolist()
        if True not in found:
            return None
        at = found.index(True)
        for tensor, kept in zip(self._tensors, states[at] if states else (), strict=False):
            tensor.copy_(kept)
        return steps[at]


def classifier(dimensions: int, transforms: int) -> nn.Sequential:
    """Return f: two hidden layers, twice and four times as wide as a projection."""
    return nn.Sequential(
        nn.Linear(dimensions, 2 * dimensions),
        nn.BatchNorm1d(2 * dimensions),
        nn.LeakyReLU(),
        nn.Linear(2 * dimensions, 4 * dimensions),
        nn.BatchNorm1d(4 * dimensions),
        nn.LeakyReLU(),
        nn.Linear(4 * dimensions, transforms),
    )
