"""SLA2P: an explicit loop, its limits, and its network against torch's training of the same batches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.suite.registry import Registry
from tests.features_as_images import images, scores

Make = Callable[..., Any]
SLA2P = Registry().methods["sla2p"].load()
sla2p = sys.modules[SLA2P.__module__]

rng = np.random.default_rng(10)
TRAIN = rng.normal(size=(60, 9)).astype(np.float32) + 1
TEST = rng.normal(size=(12, 9)).astype(np.float32) * 2
SMALL = {"transforms": 6, "dimensions": 8, "epochs": 3, "accuracy": 0.9}


def fitted(make: Make, **params: Any) -> Any:
    method = make("sla2p", **SMALL | params)
    method.device, method.seed = torch.device("cpu"), 1
    method.fit(images(TRAIN))
    return method


@pytest.mark.parametrize("epsilon", [0.0, 500.0])
def test_scores_are_a_loop_over_images_and_transforms(make: Make, epsilon: float) -> None:
    method = fitted(make, epsilon=epsilon)
    expected = []
    for x in torch.from_numpy(TEST):
        losses = []
        for t in range(6):
            y = (x / x.norm() @ method.matrices[t])[None].requires_grad_()
            logits = method.network(y)
            # The authors' mean over a batch of 128 divides each image's gradient by 128.
            (cross_entropy(logits, logits.argmax(1)) / 128).backward()
            probabilities = method.network(y.detach() + epsilon * y.grad).softmax(1)[0]
            target = torch.eye(6)[t]
            losses.append((probabilities - target).square().mean().item())
        expected.append(np.mean(losses))
    given = method.score(images(TEST)).image.numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-4)
    assert ((given >= 0) & (given <= 2 / 6)).all()


def test_the_step_lowers_the_confidence(make: Make) -> None:
    method = fitted(make, epsilon=1.0)
    y = torch.einsum("nd,tdo->nto", torch.from_numpy(TEST), method.matrices).flatten(0, 1)
    before, after = (method.network(v).softmax(1).amax(1) for v in (y, method._perturbed(y)))
    assert (after <= before + 1e-6).all()


def test_every_projection_comes_once_an_epoch_with_its_label(make: Make) -> None:
    method = fitted(make)
    features = torch.nn.functional.normalize(torch.from_numpy(TRAIN))
    batches = list(method._batches(features, torch.Generator().manual_seed(0), chunk=100))
    rows, labels = (torch.cat(column) for column in zip(*batches, strict=True))
    assert len(labels) == 3 * 60 * 6
    assert (labels.bincount() == 180).all()
    found = set()
    for row, label in zip(rows[:360], labels[:360].tolist(), strict=True):
        apart = (features @ method.matrices[label] - row).abs().amax(1)
        assert apart.min() < 1e-5
        found.add((int(apart.argmin()), label))
    assert len(found) == 360


def test_training_is_torchs_on_the_same_batches(make: Make) -> None:
    settings = {"accuracy": 0.999, "lr": 3e-3, "weight_decay": 0.01}
    method = fitted(make, **settings)
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(6, 9, 8, generator=generator)
    assert method.matrices.equal(matrices)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.LeakyReLU(), nn.Linear(16, 32)]
        network = nn.Sequential(*layers, nn.BatchNorm1d(32), nn.LeakyReLU(), nn.Linear(32, 6))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3, eps=1e-7, weight_decay=0.01)
    features = torch.from_numpy(TRAIN) / torch.from_numpy(TRAIN).norm(dim=1, keepdim=True)
    for _ in range(3):
        order = torch.randperm(360, generator=generator)
        for part in (order[:128], order[128:256], order[256:]):
            images_, t = part // 6, part % 6
            y = torch.stack([x @ matrices[which] for x, which in zip(features[images_], t, strict=True)])
            optimiser.zero_grad()
            cross_entropy(network(y), t).backward()
            optimiser.step()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(method.network.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    assert not method.network.training


def test_only_the_direction_of_a_feature_counts(make: Make) -> None:
    method = fitted(make)
    given = method.score(images(TEST)).image.numpy()
    np.testing.assert_allclose(method.score(images(TEST * 7)).image.numpy(), given, rtol=1e-3)


def test_training_stops_at_the_accuracy(make: Make) -> None:
    early, late = (fitted(make, accuracy=a, epochs=30, dimensions=16).notes[0] for a in (0.3, 0.9))
    seen = [int(note.split()[2]) for note in (early, late)]
    assert seen[0] < seen[1]
    assert float(early.split()[-1]) >= 0.3


def test_the_order_of_transforms_does_not_matter_when_scoring(make: Make) -> None:
    method = fitted(make)
    given = method.score(images(TEST)).image.numpy()
    order = torch.randperm(6)
    method.matrices = method.matrices[order]
    last = method.network[-1]
    last.weight.data, last.bias.data = last.weight.data[order], last.bias.data[order]
    np.testing.assert_allclose(method.score(images(TEST)).image.numpy(), given, rtol=1e-3)


def test_global_random_numbers_are_left_alone(make: Make) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    scores(make("sla2p", **SMALL), TRAIN, TEST)
    assert torch.rand(3).equal(expected)
