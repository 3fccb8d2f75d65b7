"""CAP: constrained adaptive projection of frozen features and of their neighbours (Gui et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch.nn.functional import cosine_similarity, normalize

from bench import (
    Heads,
    HeadTraining,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Scores,
    collapse_note,
    nearest,
    same_shape,
    sent,
    spread,
    take_rows,
    uniform,
)

#: What the paper's appendix B.1 fixes for semantic data sets (CIFAR, Fashion-MNIST) and for MVTec.
PUBLISHED = {
    "semantic": {"k": 32, "weight": 2.0, "batch": 64, "lr": 5e-4},
    "sensory": {"k": 4, "weight": 0.1, "batch": 16, "lr": 1e-4},
}


class CAP(Method):
    """Score 1 - cos(ẑ, ẑⁿ): the projected feature against a representation of its projected neighbours.

    ẑ = z W and M̂ = M W for the k training features M nearest in angle (equations 1 and 2). Reformed
    self-attention weighs the neighbours by each other, ẑⁿ = mean over rows of
    M̂ + softmax((M̂ W_Q)(M̂ W_K)ᵀ / √D) M̂ (equations 3 and 4). Minimised is
    L_S + λ Ω = mean [1 - cos(ẑ, ẑⁿ)] + λ mean [1 - cos(z, ẑ) + ‖z - ẑ‖²] (equations 5 to 7).

    Parameters
    ----------
    kind : {"semantic", "sensory"}
        Which published parameters replace those that are ``none``: k = 32, λ = 2, batches of 64, rate
        5e-4, or for MVTec k = 4, λ = 0.1, batches of 16, rate 1e-4.
    head : {"L", "L+ReLU", "L+ReLU+L"}
        The projection (table 2); no biases.
    attention : bool
        Without it ẑⁿ is the mean of M̂.
    adapt : bool
        False: 1 - cos(z, mean of M), the paper's "no adaptation", without training and effect of the seed.
    k : int or none
        Neighbours; clamped to one less than the training images in training, to their number when scoring.
    weight : float or none
        λ. At 0 nothing keeps the projection near the features, and their directions collapse.
    distance : {"mean", "sum"}
        ‖z - ẑ‖² averaged over the D dimensions, as in the code, or as in equation 6.
    batch, lr, epochs, decay
        Adam; the rate is multiplied by `decay` after each epoch: 0.9 in the code, "without decay" (1.0) in
        the paper. The paper does not give the number of epochs; 10 is the code's default.
    layer : str or none
        Also return maps |cos(f, z) - cos(f, ẑⁿ)| over the positions f of this layer, whose mean must be the
        feature z (``layer4`` of a ResNet), as in section 4.6.

    Notes
    -----
    In training the code drops the nearest neighbour as the query itself, which with duplicates it may not be;
    here the query is excluded by its index. On a CPU the code's search also normalises the query features in
    place, which changes Ω; ours does not. Checks against the released module: see ``docs/findings.md``.

    References
    ----------
    Gui, Wu, Fan, "Constrained Adaptive Projection with Pretrained Features for Anomaly Detection", IJCAI
    2022. ResNet152 (``cap``), for MVTec WideResNet50-2 (``cap-mvtec``).
    """

    stochastic = True
    deterministic_with: ClassVar = {"adapt": False}

    def __init__(
        self,
        backbone: str = "default",
        kind: Literal["semantic", "sensory"] = "semantic",
        head: Literal["L", "L+ReLU", "L+ReLU+L"] = "L",
        attention: bool = True,
        adapt: bool = True,
        k: PositiveInt | None = None,
        weight: NonNegativeFloat | None = None,
        distance: Literal["mean", "sum"] = "mean",
        batch: PositiveInt | None = None,
        lr: PositiveFloat | None = None,
        epochs: NonNegativeInt = 10,
        decay: PositiveFloat = 0.9,
        layer: str | None = None,
    ) -> None:
        published = PUBLISHED[kind]
        self.backbone, self.head, self.attention, self.adapt = backbone, head, attention, adapt
        self.k = int(published["k"]) if k is None else k
        self.weight = published["weight"] if weight is None else weight
        self.batch = int(published["batch"]) if batch is None else batch
        self.lr = published["lr"] if lr is None else lr
        self.distance, self.epochs, self.decay, self.layer = distance, epochs, decay, layer

    def fit(self, train: Images) -> None:
        self.fit_together([self], [train])

    @classmethod
    def fit_together(cls, methods: Sequence[CAP], trains: Sequence[Images]) -> None:
        """Fit several, which differ only in their seeds and training images, in the same steps."""
        banks = [m.bank_of(train) for m, train in zip(methods, trains, strict=True)]
        for group in same_shape(banks):
            fitting = [methods[i] for i in group]
            if methods[0].adapt and len(fitting[0].bank) > 1:
                _train(fitting, torch.stack([banks[i] for i in group]))
            for method in fitting:
                method.prepare_bank()

    def bank_of(self, train: Images) -> torch.Tensor:
        """Set the memory bank M, (n, d), and return it."""
        self.bank, self.notes = train.features(self.backbone), ()
        self.parameters: dict[str, torch.Tensor] = {}
        if self.adapt and len(self.bank) == 1:
            self.notes = ("not adapted: one training image has no neighbours",)
        elif self.adapt and self.k >= len(self.bank):
            self.notes = (f"k={self.k} neighbours: {len(self.bank)} training images have fewer",)
        return self.bank

    def prepare_bank(self) -> None:
        """Project the whole bank once: M̂, and M̂ W_Q and M̂ W_K for the attention."""
        self.projected = self.project(self.bank)
        self.keys = None
        if self.parameters and self.attention:
            self.keys = (self.projected @ self.parameters["query"], self.projected @ self.parameters["key"])

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Return ẑ of features (n, d)."""
        return project(features, self.parameters, self.head) if self.parameters else features

    def score(self, test: Images) -> Scores:
        features = test.features(self.backbone)
        found = nearest(features, self.bank, min(self.k, len(self.bank)), metric="cosine").indices
        normal = torch.cat([self._normal(rows) for rows in found.split(256)])
        score = 1 - cosine_similarity(self.project(features), normal, dim=1)
        return Scores(score, maps=self._maps(test, features, normal) if self.layer else None)

    def _normal(self, neighbours: torch.Tensor) -> torch.Tensor:
        """Return ẑⁿ, (b, d), of the neighbours with these rows, (b, k)."""
        keys = None if self.keys is None else (self.keys[0][neighbours], self.keys[1][neighbours])
        return normal_representation(self.projected[neighbours], keys)

    def _maps(self, test: Images, features: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        assert self.layer is not None
        parts = []
        for start in range(0, len(test), 64):
            rows = slice(start, start + 64)
            maps = test[rows].feature_maps(self.backbone, [self.layer])[self.layer]
            to_z, to_normal = (
                cosine_similarity(maps, f[rows, :, None, None], dim=1) for f in (features, normal)
            )
            parts.append((to_z - to_normal).abs())
        return torch.cat(parts)


def project(features: torch.Tensor, parameters: Heads | dict[str, torch.Tensor], head: str) -> torch.Tensor:
    """Return ẑ: (..., n, d) times the projection's matrices (..., d, d)."""
    projected = features @ parameters["theta"]
    if head != "L":
        projected = projected.relu()
    return projected @ parameters["theta2"] if head == "L+ReLU+L" else projected


def normal_representation(
    neighbours: torch.Tensor, keys: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    """Return ẑⁿ (..., d) of projected neighbours M̂ (..., k, d) and, for attention, their (M̂ W_Q, M̂ W_K).

    The mean over rows of M̂ + A is one weighted sum of the rows of M̂, with weights 1/k + mean over rows of
    the softmax; without attention the weights are 1/k.
    """
    if keys is None:
        return neighbours.mean(-2)
    queries, keys_ = keys
    attention = (queries @ keys_.mT / neighbours.shape[-1] ** 0.5).softmax(-1)
    weights = attention.mean(-2) + 1 / neighbours.shape[-2]
    return (weights[..., None, :] @ neighbours)[..., 0, :]


def losses(
    z: torch.Tensor, projected: torch.Tensor, normal: torch.Tensor, distance: str
) -> tuple[torch.Tensor, ...]:
    """Return L_S and Ω of each head, (h,) each, for z, ẑ and ẑⁿ of shape (h, b, d)."""
    similarity = (1 - cosine_similarity(projected, normal, dim=-1)).mean(-1)
    squared = (z - projected).square()
    apart = squared.mean((-2, -1)) if distance == "mean" else squared.sum(-1).mean(-1)
    return similarity, (1 - cosine_similarity(z, projected, dim=-1)).mean(-1) + apart


def _initial(method: CAP, d: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return Xavier-uniform matrices (d, d)."""
    names = ["theta"] + ["theta2"] * (method.head == "L+ReLU+L") + ["query", "key"] * method.attention
    return {name: uniform((d, d), (3 / d) ** 0.5, generator) for name in names}


def _train(methods: Sequence[CAP], banks: torch.Tensor) -> None:
    """Train the heads of all methods on their banks, (h, n, d), and set the methods' parameters."""
    first, device = methods[0], banks.device
    n, d = banks.shape[1:]
    generators = [torch.Generator().manual_seed(m.seed) for m in methods]
    initial = [_initial(first, d, generator) for generator in generators]
    heads = Heads([{name: p.to(device) for name, p in state.items()} for state in initial])
    k, itself = min(first.k, n - 1), torch.arange(n, device=device)
    neighbours = torch.stack([nearest(b, b, k, metric="cosine", exclude=itself).indices for b in banks]).cpu()
    before = [spread(normalize(project(bank, heads.state(h), first.head))) for h, bank in enumerate(banks)]
    optimiser = torch.optim.Adam(heads.groups(), lr=first.lr, fused=device.type in ("cpu", "cuda"))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, first.decay)
    training = HeadTraining(
        methods=methods,
        heads=heads,
        optimiser=optimiser,
        schedule=schedule,
        n=n,
        batch=first.batch,
        epochs=first.epochs,
        shuffle=generators,
    )
    for rows in training:
        heads.step(_loss(first, heads, banks, rows, take_rows(neighbours, rows)), optimiser)
    for h, method in enumerate(methods):
        method.parameters = heads.state(h)
        after = spread(normalize(method.project(banks[h])))
        method.notes += collapse_note(before[h], after, "the projected features' directions")


def _loss(
    method: CAP, heads: Heads, banks: torch.Tensor, rows: torch.Tensor, neighbours: torch.Tensor
) -> torch.Tensor:
    """Return L_S + λ Ω of each head for its rows (h, b) and their neighbours (h, b, k), all on the host.

    Queries share neighbours, so each row of the bank in use is projected once.
    """
    h, b, k = neighbours.shape
    unique, inverse = sent(banks.device, *_unique(torch.cat([rows, neighbours.flatten(1)], 1)))
    z = take_rows(banks, unique)
    projected = project(z, heads, method.head)
    at, near = inverse[:, :b], inverse[:, b:].view(h, b, k)
    keys = None
    if method.attention:
        keys = (take_rows(projected @ heads["query"], near), take_rows(projected @ heads["key"], near))
    normal = normal_representation(take_rows(projected, near), keys)
    similarity, constraint = losses(take_rows(z, at), take_rows(projected, at), normal, method.distance)
    return similarity + method.weight * constraint


def _unique(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each head's distinct rows (h, u), padded with row 0, and the place there of each row (h, m)."""
    found = [torch.unique(r, return_inverse=True) for r in rows]
    distinct = torch.nn.utils.rnn.pad_sequence([u for u, _ in found], batch_first=True)
    return distinct, torch.stack([inverse for _, inverse in found])
