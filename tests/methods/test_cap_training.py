"""CAP's training against a plain second implementation; what its projection and attention imply."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from bench import shuffled
from bench.suite.registry import Registry
from tests.features_as_images import images, scores

Make = Callable[..., Any]
cap = sys.modules[Registry().methods["cap"].load().__module__]

rng = np.random.default_rng(16)
TRAIN = (np.abs(rng.normal(size=(45, 6))) + 0.5).astype(np.float32)
TEST = (np.abs(rng.normal(size=(20, 6)) * 2)).astype(np.float32)


def plain_training(method: Any, seed: int, *, summed: bool) -> dict[str, torch.Tensor]:
    """Train by the specification's formulas: every query and its neighbours by themselves, torch's Adam."""
    data, generator = torch.from_numpy(TRAIN), torch.Generator().manual_seed(seed)
    w = {name: p.requires_grad_() for name, p in cap._initial(method, 6, generator).items()}
    unit = data / data.norm(dim=1, keepdim=True)
    likeness = (unit @ unit.T).fill_diagonal_(-2)
    near = likeness.sort(1, descending=True).indices[:, : method.k]

    def head(x: torch.Tensor) -> torch.Tensor:
        x = x @ w["theta"]
        x = x if method.head == "L" else x.relu()
        return x @ w["theta2"] if method.head == "L+ReLU+L" else x

    def loss_of(i: int) -> torch.Tensor:
        z, m = data[i], head(data[near[i]])
        if method.attention:
            m = m + ((m @ w["query"]) @ (m @ w["key"]).T / 6**0.5).softmax(1) @ m
        projected = head(z)
        apart = (z - projected).square()
        constraint = 1 - cosine_similarity(z, projected, dim=0) + (apart.sum() if summed else apart.mean())
        return 1 - cosine_similarity(projected, m.mean(0), dim=0) + method.weight * constraint

    optimiser = torch.optim.Adam(w.values(), lr=method.lr)
    for epoch in range(method.epochs):
        for group in optimiser.param_groups:
            group["lr"] = method.lr * method.decay**epoch
        for part in shuffled(45, [generator])[0].split(method.batch):
            optimiser.zero_grad()
            torch.stack([loss_of(int(i)) for i in part]).mean().backward()
            optimiser.step()
    return {name: p.detach() for name, p in w.items()}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"attention": False},
        {"head": "L+ReLU"},
        {"head": "L+ReLU+L", "attention": False, "decay": 1.0},
        {"distance": "sum", "weight": 0.3},
        {"weight": 0.0, "k": 3, "batch": 7},
    ],
)
def test_training_is_that_of_the_formulas(make: Make, params: dict[str, Any]) -> None:
    method = make("cap", **{"epochs": 3, "batch": 16, "k": 5, "lr": 5e-3, "decay": 0.5} | params)
    scores(method, TRAIN, TEST, seed=3)
    expected = plain_training(method, 3, summed=params.get("distance") == "sum")
    assert method.parameters.keys() == expected.keys()
    for name, parameter in expected.items():
        torch.testing.assert_close(method.parameters[name], parameter, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", ["L", "L+ReLU", "L+ReLU+L"])
@pytest.mark.parametrize("attention", [True, False])
def test_scores_lie_between_0_and_2(make: Make, head: str, attention: bool) -> None:
    far = np.concatenate([TEST, -TEST, 100 * rng.normal(size=(20, 6))])
    given = scores(make("cap", head=head, attention=attention, epochs=1), TRAIN, far)
    assert ((given >= -1e-6) & (given <= 2 + 1e-6)).all()
    assert np.ptp(given) > 0.1


def test_the_order_of_neighbours_does_not_matter() -> None:
    m, query, key = torch.randn(4, 7, 5), torch.randn(5, 5), torch.randn(5, 5)
    order = torch.randperm(7)
    given, turned = (cap.normal_representation(each, (each @ query, each @ key)) for each in (m, m[:, order]))
    torch.testing.assert_close(turned, given)


def test_rows_of_the_attention_have_the_sum_1() -> None:
    """Of equal neighbours, M̂ and A are the same, whatever the matrices."""
    m = torch.randn(3, 1, 5).expand(3, 6, 5)
    given = cap.normal_representation(m, (m @ torch.randn(5, 5), m @ torch.randn(5, 5)))
    torch.testing.assert_close(given, 2 * m[:, 0])


def test_under_a_heavy_constraint_scores_are_those_of_raw_neighbours(make: Make) -> None:
    settings = {"weight": 1e4, "epochs": 800, "lr": 0.05, "decay": 0.996, "batch": 45, "k": 4}
    method = make("cap", **settings)
    given = scores(method, TRAIN, TEST)
    np.testing.assert_allclose(method.parameters["theta"].numpy(), np.eye(6), atol=0.02)
    queries, keys = (method.parameters[name].numpy() for name in ("query", "key"))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (TEST, TRAIN)]
    expected = []
    for z, near in zip(TEST, np.argsort(-(unit[0] @ unit[1].T), 1)[:, :4], strict=True):
        m = TRAIN[near]
        share = np.exp((m @ queries) @ (m @ keys).T / np.sqrt(6))
        normal = (m + share / share.sum(1, keepdims=True) @ m).mean(0)
        expected.append(1 - z @ normal / np.linalg.norm(z) / np.linalg.norm(normal))
    np.testing.assert_allclose(given, expected, atol=2e-3)


def test_without_adaptation_nothing_is_trained(make: Make) -> None:
    first, second = make("cap", adapt=False), make("cap", adapt=False)
    assert scores(first, TRAIN, TEST, seed=1).tobytes() == scores(second, TRAIN, TEST, seed=2).tobytes()
    assert not first.parameters


def test_a_batch_of_one_is_a_batch(make: Make) -> None:
    method = make("cap", epochs=1, batch=1, k=3)
    method.device, method.seed = torch.device("cpu"), 0
    method.fit(images(TRAIN[:6]))
    assert np.isfinite(method.score(images(TEST)).checked(20)).all()
