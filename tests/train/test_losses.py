"""Losses, and weights and labels of instances: values by hand, and what their definitions imply."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from bench import deviation_loss, focal_loss, instance_weights, two_means

ALPHAS = [-1.0, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0]
LOSSES = torch.tensor([0.0, 0.05, 0.3, 0.3, 1.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize("alpha", ALPHAS)
@given(losses=arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1e4)), lam=st.floats(0.01, 100))
def test_they_are_shares_that_fall_with_the_loss(alpha: float, losses: np.ndarray, lam: float) -> None:
    weights = instance_weights(torch.from_numpy(losses), alpha, lam).numpy()
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(losses, kind="stable")]) <= 1e-12).all()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_limits_and_symmetry(alpha: float) -> None:
    uniform = torch.full_like(LOSSES, 1 / 6)
    torch.testing.assert_close(instance_weights(LOSSES, alpha, 1e9), uniform)
    torch.testing.assert_close(instance_weights(torch.full_like(LOSSES, 0.02), alpha, 0.1), uniform)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    turned = instance_weights(LOSSES[order], alpha, 0.5)
    torch.testing.assert_close(turned, instance_weights(LOSSES, alpha, 0.5)[order])


def by_hand(alpha: float, lam: float) -> torch.Tensor:
    if alpha == 1:
        weights = torch.exp(-LOSSES / lam)
    else:
        weights = ((1 - alpha) * LOSSES + lam).clamp(min=0) ** (1 / (alpha - 1))
    return weights / weights.sum()


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("lam", [0.1, 1.0, 30.0])
def test_closed_form(alpha: float, lam: float) -> None:
    torch.testing.assert_close(instance_weights(LOSSES, alpha, lam), by_hand(alpha, lam))


def test_named_cases() -> None:
    reverse = 1 / (LOSSES + 0.4)
    torch.testing.assert_close(instance_weights(LOSSES, 0.0, 0.4), reverse / reverse.sum())
    hard = instance_weights(LOSSES, 2.0, 0.4)
    assert (hard > 0).tolist() == (LOSSES < 0.4).tolist()


@pytest.mark.parametrize("near", [1 - 2e-3, 1 + 2e-3, 1 - 1e-5, 1 + 1e-5])
def test_near_one_it_is_the_softmax(near: float) -> None:
    expected = torch.softmax(-LOSSES / 0.7, 0)
    torch.testing.assert_close(instance_weights(LOSSES, near, 0.7), expected, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])
def test_a_small_multiplier_leaves_the_least_loss(alpha: float) -> None:
    weights = instance_weights(LOSSES + 1, alpha, 1e-6)
    torch.testing.assert_close(weights, torch.eye(6, dtype=torch.float64)[0])
    tied = instance_weights(torch.tensor([5.0, 3.0, 3.0]), alpha, 1e-6)
    torch.testing.assert_close(tied, torch.tensor([0.0, 0.5, 0.5]))


def test_large_losses_neither_overflow_nor_vanish() -> None:
    for alpha, scale in itertools.product(ALPHAS, (1e4, 1e20)):
        weights = instance_weights(scale * (LOSSES.float() + 1), alpha, 0.1)
        assert float(weights.sum()) == pytest.approx(1)


def test_no_other_shares_are_better() -> None:
    """For Kullback-Leibler: Σ w l + λ D(w ‖ uniform) is least at the closed form, over the whole simplex."""
    rng, lam = np.random.default_rng(0), 0.7
    best = instance_weights(LOSSES, 1.0, lam).numpy()

    def value(weights: np.ndarray) -> np.ndarray:
        divergence = (weights * np.log(np.maximum(6 * weights, 1e-300))).sum(-1)
        return weights @ LOSSES.numpy() + lam * divergence

    others = np.concatenate(
        [rng.dirichlet(np.ones(6), 3000), best + 1e-3 * (rng.dirichlet(np.ones(6), 3000) - best)]
    )
    assert (value(others) >= value(best) - 1e-12).all()


@given(
    arrays(np.float64, st.integers(1, 9), elements=st.integers(0, 30).map(float) | st.floats(0, 10, width=16))
)
def test_two_means_are_the_best_two(scores: np.ndarray) -> None:
    labels = two_means(torch.from_numpy(scores)).numpy()

    def spread(upper: np.ndarray) -> float:
        parts = [scores[upper == side] for side in (0, 1)]
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts if len(part))

    if len(set(scores)) == 1:
        assert not labels.any()
        return
    assert scores[labels == 1].min() > scores[labels == 0].max()
    splits = [np.array(split) for split in itertools.product((0, 1), repeat=len(scores))]
    assert spread(labels) <= min(spread(split) for split in splits) + 1e-9


D = torch.tensor([-3.0, -0.5, 0.0, 4.0, 9.0, 12.0])


def test_deviation_of_normal_and_anomalous() -> None:
    torch.testing.assert_close(deviation_loss(D, torch.zeros(6), 10.0), D.abs())
    torch.testing.assert_close(deviation_loss(D, torch.ones(6), 10.0), (10 - D).clamp(min=0))


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_between_them_it_is_linear(q: float) -> None:
    ends = [deviation_loss(D, torch.full((6,), label), 5.0) for label in (0.0, 1.0)]
    torch.testing.assert_close(deviation_loss(D, torch.full((6,), q), 5.0), (1 - q) * ends[0] + q * ends[1])


def test_beyond_the_margin_an_anomaly_pulls_no_more() -> None:
    d = D.clone().requires_grad_()
    deviation_loss(d, torch.ones(6), 8.0).sum().backward()
    assert d.grad is not None
    assert d.grad.tolist() == [-1, -1, -1, -1, 0, 0]


def test_focal_loss_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(2, 1, 3, 4, generator=generator)
    shares = torch.cat([1 - shares, shares], 1)
    mask = (torch.rand(2, 1, 3, 4, generator=generator) < 0.5).float()
    total = 0.0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                which = int(mask[b, 0, y, x])
                right = (1 - 1e-5) * float(shares[b, which, y, x]) + 1e-5 * float(shares[b, 1 - which, y, x])
                right += 1e-5
                total -= (1 - right) ** 2 * math.log(right)
    assert float(focal_loss(shares, mask)) == pytest.approx(total / 24, rel=1e-5)


def test_focal_loss_is_finite_where_a_share_is_zero() -> None:
    shares = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert math.isfinite(float(focal_loss(shares, torch.zeros(1, 1, 1, 1))))
    assert float(focal_loss(shares, torch.ones(1, 1, 1, 1))) == pytest.approx(0, abs=1e-9)
