"""PLUME's training against torch's own modules, option by option; what is left after it and what scores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import batch_slices, shuffled
from bench.suite.registry import Registry
from tests import pictures
from tests.features_as_images import images, scores

Make = Callable[..., Any]
plume = sys.modules[Registry().methods["plume"].load().__module__]

rng = np.random.default_rng(8)
TRAIN = np.abs(rng.normal(size=(49, 10))).astype(np.float32)
TEST = np.abs(rng.normal(size=(20, 10)) * 1.5).astype(np.float32)
QUICK = {"epochs": 2, "lr": 1e-3, "batch": 16}


class Plain(nn.Module):
    """PLUME out of torch's layers, the map A made in full; the options are the method's."""

    def __init__(self, method: Any, start: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.m = method
        self.layers = nn.ModuleDict()
        for name, weight in start.items():
            if weight.ndim != 2 or "." in name:
                continue
            layer = self.layers[name] = nn.Linear(*weight.shape, bias=f"{name}.bias" in start)
            with torch.no_grad():
                layer.weight.copy_(weight.T)
                if layer.bias is not None:
                    layer.bias.copy_(start[f"{name}.bias"][0])
        self.norm = nn.BatchNorm1d(10, affine=False)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, affine=False, eps=1e-4) for width in (1024, 512))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        for name, norm in zip(("f1", "f2"), self.norms, strict=True):
            x = nn.functional.leaky_relu(norm(self.layers[name](x)))
        return x

    def pseudo(self, x: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pseudo-anomalies and the weighted penalties on the perturbation."""
        m, penalty = self.m, torch.zeros(())
        if m.perturbation == "gaussian":
            return x + m.sigma * torch.randn(x.shape, generator=draw), penalty
        hidden = nn.functional.leaky_relu(self.layers["encode"](x))
        latent = self.layers["mean"](hidden)
        if m.perturbator == "variational":
            logvar = self.layers["logvar"](hidden)
            penalty = m.kl_weight * 0.5 * (logvar.exp() + latent**2 - 1 - logvar).sum() / len(x)
            latent = latent + (logvar / 2).exp() * torch.randn(latent.shape, generator=draw)
        out = self.layers["out"](nn.functional.leaky_relu(self.layers["decode"](latent)))
        alpha, beta = out[:, :10], out[:, 10:]
        if m.perturbation == "linear":
            made = ((torch.eye(10) + alpha[:, :, None] * beta[:, None]) @ x[:, :, None])[:, :, 0]
        else:
            made = beta * x + alpha
        if m.objective == "similarity":
            return made, penalty + m.noise_weight * (1 - torch.cosine_similarity(x, made)).pow(2).mean()
        still, one = (alpha, beta) if m.noise_target == "code" else (beta, alpha)
        squared = still**2 + (one - 1) ** 2
        return made, penalty + m.noise_weight * squared.sum() / (
            len(x) * (10 if m.noise_reduction == "mean" else 1)
        )

    def forward(self, batch: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        x = self.norm(batch)
        made, penalty = self.pseudo(x, draw)
        if self.m.normalisation == "together":
            z, z_made = self.embed(torch.cat([x, made])).chunk(2)
        else:
            z, z_made = self.embed(x), self.embed(made)
        logits = torch.cat([self.layers["f3"](each)[:, 0] for each in (z, z_made)])
        labels = torch.cat([torch.ones(len(x)), torch.zeros(len(x))])
        loss = 2 * nn.functional.binary_cross_entropy_with_logits(logits, labels) + penalty
        return loss + self.m.contrastive_weight * self.contrast(z, z_made)

    def contrast(self, z: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        def alike(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.cosine_similarity(a[:, None], b[None], dim=2) / self.m.temperature

        across, among = alike(z, made), alike(z, z)
        columns = []
        for c in range(len(z)):
            others = torch.arange(len(z)) != c
            against = across[:, c] if self.m.negatives == "own" else across[c]
            columns.append(
                (against.exp().sum() + among[others, c].exp().sum()).log() - among[others, c].mean()
            )
        return torch.stack(columns).mean()


def plain_scores(method: Any, seed: int) -> np.ndarray:
    shuffle, draw = (torch.Generator().manual_seed(seed) for _ in range(2))
    net = Plain(method, plume.initial(10, method.perturbation != "gaussian", shuffle))
    optimiser = torch.optim.AdamW(net.parameters(), lr=method.lr)
    parts, data = batch_slices(49, method.batch, smallest=2), torch.from_numpy(TRAIN)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, method.lr, total_steps=method.epochs * len(parts)
    )
    for _ in range(method.epochs):
        order = shuffled(49, [shuffle])[0]
        for part in parts:
            optimiser.zero_grad()
            net(data[order[part]], draw).backward()
            optimiser.step()
            schedule.step()
    net.eval()
    return -net.layers["f3"](net.embed(net.norm(torch.from_numpy(TEST))))[:, 0].detach().numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contrastive_weight": 0.0},
        {"contrastive_weight": 2.0, "temperature": 0.2, "negatives": "all"},
        {"perturbation": "addmult", "noise_weight": 20.0, "kl_weight": 0.1},
        {"perturbation": "gaussian", "sigma": 0.5},
        {"perturbator": "deterministic", "noise_target": "text"},
        {"objective": "similarity", "noise_weight": 8.0},
        {"noise_reduction": "sum", "noise_weight": 0.5},
        {"normalisation": "together"},
    ],
)
def test_training_is_that_of_torchs_modules(make: Make, options: dict[str, Any]) -> None:
    method = make("plume", **QUICK | {"epochs": 3} | options)
    np.testing.assert_allclose(scores(method, TRAIN, TEST, seed=3), plain_scores(method, 3), atol=1e-3)


def test_without_biases_zero_is_on_the_boundary() -> None:
    """With fresh BatchNorm statistics (mean 0, variance 1) the classifier maps 0 to 0."""
    start = plume.initial(10, False, torch.Generator().manual_seed(0))
    fresh = plume.Classifier(plume._Networks([start], 10, torch.device("cpu")).classifier(0))
    assert fresh(torch.zeros(3, 10)).tolist() == [0, 0, 0]
    assert float(fresh(torch.ones(1, 10)).abs()) > 0


def test_the_perturbator_is_gone_after_training(make: Make) -> None:
    """Only the classifier scores, and only it is kept: d × 1024, 1024 × 512 and 512 × 1, without biases."""
    method = make("plume", **QUICK)
    scores(method, TRAIN, TEST)
    assert list(method.classifiers) == ["epoch 2"], "the last epoch's alone"
    (held,) = vars(method.classifiers["epoch 2"]).values()
    weights = {"f1": (10, 1024), "f2": (1024, 512), "f3": (512, 1)}
    widths = {
        f"{what}{i}": (width,) for what in ("shift", "scale") for i, width in enumerate((10, 1024, 512))
    }
    assert {name: tuple(tensor.shape) for name, tensor in held.items()} == weights | widths
    assert set(vars(method)) - {"classifiers", "notes", "curves", "device", "seed"} <= set(
        vars(make("plume"))
    )


def test_scores_go_with_their_images(make: Make) -> None:
    method = make("plume", **QUICK)
    given = scores(method, TRAIN, TEST)
    turned = method.score(images(TEST[::-1].copy())).image.numpy()
    np.testing.assert_allclose(turned[::-1], given, rtol=1e-5, atol=1e-6)


def test_a_collapse_is_noted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    spreads = iter([1.0, 0.001])
    monkeypatch.setattr(plume, "spread", lambda _: next(spreads))
    method = make("plume", **QUICK)
    scores(method, TRAIN, TEST)
    assert method.notes == (
        "collapsed: the spread of the training images' embeddings fell to 0.001 of its start",
    )


def test_pooling_keeps_what_is_constant_and_widens_by_threes(make: Make) -> None:
    method = make("plume", width=3072)
    constant = method.features(images(np.full((2, 2048), 7, np.float32)))
    assert torch.equal(constant, torch.full((2, 3072), 7.0))
    given = method.features(images(np.arange(2048, dtype=np.float32)[None]))[0].view(-1, 3)
    even = torch.arange(0.0, 2048, 2)
    assert torch.equal(given, torch.stack([even, even + 0.5, even + 1], 1))


def test_training_leaves_a_frozen_network_as_it_was(make: Make) -> None:
    views, provider = pictures.images(pictures.surfaces(12)), pictures.provider()
    views.features("tiny")
    network: Any = provider._extractors["tiny"]
    before = {name: t.clone() for name, t in network.module.state_dict().items()}
    method = make("plume", backbone="tiny", **QUICK)
    pictures.scores(method, views, views)
    after = network.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not network.module.training
