"""Deep SVDD on features: its objectives in closed form, against torch's modules, and its guards."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import shuffled
from bench.suite.registry import Registry
from tests.features_as_images import images, scores

Make = Callable[..., Any]
SVDD = Registry().methods["deep_svdd_features"].load()
svdd = sys.modules[SVDD.__module__]

rng = np.random.default_rng(9)
TRAIN = np.abs(rng.normal(size=(45, 6))).astype(np.float32)
TEST = np.abs(rng.normal(size=(20, 6)) * 2).astype(np.float32)


@pytest.mark.parametrize("kind", ["one-class", "soft-boundary"])
@pytest.mark.parametrize("hidden", [0, 7])
def test_training_is_that_of_torchs_modules(make: Make, kind: str, hidden: int) -> None:
    settings = {"epochs": 6, "warmup": 2, "milestone": 4, "batch": 20, "lr": 1e-2, "dimensions": 5}
    given = scores(
        make("deep_svdd_features", objective=kind, hidden=hidden, nu=0.2, **settings), TRAIN, TEST, seed=4
    )

    generator, data = torch.Generator().manual_seed(4), torch.from_numpy(TRAIN)
    sizes = [(6, hidden), (hidden, 5)] if hidden else [(6, 5)]
    layers = [nn.Linear(*size, bias=False) for size in sizes]
    with torch.no_grad():
        for layer, (a, b) in zip(layers, sizes, strict=True):
            layer.weight.copy_(svdd.uniform((a, b), a**-0.5, generator).T)
    net = nn.Sequential(layers[0], nn.LeakyReLU(), layers[1]) if hidden else layers[0]
    with torch.no_grad():
        centre = net(data).mean(0)
        centre[(centre.abs() < 0.1) & (centre < 0)] = -0.1
        centre[(centre.abs() < 0.1) & (centre >= 0)] = 0.1
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=5e-7)
    radius = torch.tensor(0.0)
    for epoch in range(6):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 if epoch < 4 else 1e-3
        order = shuffled(45, [generator])[0]
        for part in order.split(20):
            squared = ((net(data[part]) - centre) ** 2).sum(1)
            loss = squared.mean()
            if kind == "soft-boundary":
                loss = radius**2 + torch.clamp(squared - radius**2, min=0).mean() / 0.2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if epoch >= 2:
                radius = torch.tensor(np.quantile(squared.detach().sqrt().numpy(), 0.8))
    expected = ((net(torch.from_numpy(TEST)) - centre) ** 2).sum(1).detach().numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-3)


def test_the_centre_is_the_mean_kept_away_from_zero(make: Make) -> None:
    method = make("deep_svdd_features", epochs=0)
    scores(method, TRAIN, TEST)
    mean = (torch.from_numpy(TRAIN) @ method.parameters["last"]).mean(0)
    far = mean.abs() >= 0.1
    torch.testing.assert_close(method.centre[far], mean[far])
    assert (method.centre[~far].abs() == 0.1).all()
    assert (method.centre[~far].sign() == mean[~far].sign()).all()
    assert svdd.away_from_zero(torch.zeros(1)).item() == pytest.approx(0.1)


def test_a_mean_that_is_nothing_but_rounding_has_no_sign(make: Make) -> None:
    """Another order of the images, or another machine, rounds the mean of standardised features otherwise."""
    for rows in (slice(None), slice(None, None, -1)):
        method = make("deep_svdd_features", epochs=0, normalise="standard")
        scores(method, TRAIN[rows].copy(), TEST)
        assert (method.centre == torch.tensor(0.1)).all()


def test_before_training_the_loss_is_the_second_moment_about_the_centre(make: Make) -> None:
    method = make("deep_svdd_features", epochs=0)
    given = scores(method, TRAIN, TRAIN)
    phi = method.represent(torch.from_numpy(TRAIN)).double() - method.centre
    assert given.mean() == pytest.approx((phi.T @ phi / 45).trace().item(), rel=1e-5)


def test_a_soft_boundary_without_radius_is_the_one_class_loss_over_nu() -> None:
    squared, zero = torch.rand(2, 9), torch.zeros(2)
    torch.testing.assert_close(svdd.objective(squared, zero, 0.25), 4 * svdd.objective(squared, zero, None))


def test_after_the_warmup_the_radius_leaves_a_share_of_nu_of_the_last_batch_outside(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    original = svdd.objective

    def spy(squared: torch.Tensor, radius: torch.Tensor, nu: float) -> torch.Tensor:
        seen.append((squared.detach().clone(), radius.clone()))
        return original(squared, radius, nu)

    monkeypatch.setattr(svdd, "objective", spy)
    train = np.abs(rng.normal(size=(200, 6)))
    settings = {"objective": "soft-boundary", "nu": 0.1, "warmup": 2, "epochs": 5, "batch": 100}
    scores(make("deep_svdd_features", **settings), train, TEST)
    assert len(seen) == 10
    assert [float(radius) for _, radius in seen[:5]] == [0] * 5
    for (squared, _), (_, radius) in itertools.pairwise(seen[4:]):
        assert float((squared > radius[:, None] ** 2).float().mean()) == pytest.approx(0.1)


@pytest.mark.parametrize("hidden", [0, 7])
def test_nothing_in_the_head_is_a_bias(make: Make, hidden: int) -> None:
    method = make("deep_svdd_features", hidden=hidden, epochs=3, lr=0.1)
    scores(method, TRAIN, TEST)
    assert not method.represent(torch.zeros(2, 6)).any()
    assert all(parameter.ndim == 2 for parameter in method.parameters.values())


def test_both_objectives_rank_the_same_by_the_same_head(make: Make) -> None:
    one, soft = (
        scores(make("deep_svdd_features", objective=each, epochs=0), TRAIN, TEST)
        for each in ("one-class", "soft-boundary")
    )
    assert one.tobytes() == soft.tobytes()


def test_features_are_normalised_as_told(make: Make) -> None:
    given = scores(make("deep_svdd_features", normalise="l2", epochs=5), TRAIN, TEST)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (TRAIN, TEST)]
    np.testing.assert_allclose(given, scores(make("deep_svdd_features", epochs=5), *unit), rtol=1e-3)


def test_training_shrinks_the_distances(make: Make) -> None:
    untrained, trained = (
        scores(make("deep_svdd_features", epochs=epochs, lr=1e-3), TRAIN, TRAIN).mean() for epochs in (0, 50)
    )
    assert trained < untrained


def test_collapse_is_noted(make: Make) -> None:
    train = np.concatenate([TRAIN, np.ones((45, 1))], 1)  # a constant column is a bias
    method = make("deep_svdd_features", epochs=3000, milestone=1500, lr=0.01)
    scores(method, train, np.concatenate([TEST, np.ones((20, 1))], 1))
    assert "collapsed" in method.notes[0]


def test_heads_trained_together_equal_heads_trained_alone(make: Make) -> None:
    banks = [TRAIN, TRAIN[::-1].copy() * 2, TRAIN[:30]]
    together = [make("deep_svdd_features", objective="soft-boundary", epochs=15) for _ in banks]
    for seed, method in enumerate(together):
        method.device, method.seed = torch.device("cpu"), seed
    SVDD.fit_together(together, [images(bank) for bank in banks])
    for seed, (method, bank) in enumerate(zip(together, banks, strict=True)):
        alone = scores(
            make("deep_svdd_features", objective="soft-boundary", epochs=15), bank, TEST, seed=seed
        )
        np.testing.assert_allclose(method.score(images(TEST)).image.numpy(), alone, rtol=1e-4)
