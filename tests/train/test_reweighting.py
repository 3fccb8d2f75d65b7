"""Weights and labels of instances: what their definitions imply."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from bench import instance_weights, two_means

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
