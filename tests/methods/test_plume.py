"""PLUME: its losses in closed form, explicit loops, and what the options change."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import FitError
from bench.suite.registry import Registry
from tests.features_as_images import images, scores

Make = Callable[..., Any]
PLUME = Registry().methods["plume"].load()
plume = sys.modules[PLUME.__module__]

rng = np.random.default_rng(8)
TRAIN = np.abs(rng.normal(size=(49, 10))).astype(np.float32)
TEST = np.abs(rng.normal(size=(20, 10)) * 1.5).astype(np.float32)
QUICK = {"epochs": 2, "lr": 1e-3, "batch": 16}


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_closed_form_is_the_matrix() -> None:
    alpha, beta, x = randn(2, 4, 6), randn(2, 4, 6) + 1, randn(2, 4, 6)
    matrix = torch.eye(6) + alpha[..., :, None] * beta[..., None, :]
    torch.testing.assert_close(
        plume.apply("linear", alpha, beta, x), (matrix @ x[..., None])[..., 0], rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(torch.linalg.det(matrix), 1 + (alpha * beta).sum(-1), rtol=1e-3, atol=1e-4)
    assert plume.apply("linear", torch.zeros_like(x), beta, x).equal(x)
    across = beta - (beta * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x
    torch.testing.assert_close(plume.apply("linear", alpha, across, x), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plume.apply("addmult", alpha, beta, x), alpha + beta * x)


def test_noise_loss_has_its_minimum_where_the_code_puts_it() -> None:
    zero, one = torch.zeros(1, 3, 5), torch.ones(1, 3, 5)
    assert plume.noise_loss(zero, one, "code", "mean").item() == 0
    assert plume.noise_loss(one, zero, "text", "sum").item() == 0
    assert plume.noise_loss(one, one, "code", "mean").item() == 1
    assert plume.noise_loss(one, one, "code", "sum").item() == 5
    alpha, beta = randn(1, 3, 5), randn(1, 3, 5) * 2
    expected = nn.functional.mse_loss(alpha, zero) + nn.functional.mse_loss(beta, one)
    torch.testing.assert_close(plume.noise_loss(alpha, beta, "code", "mean")[0], expected)


def test_divergence_is_that_of_gaussians() -> None:
    zero = torch.zeros(1, 2, 7)
    assert plume.divergence(zero, zero).item() == 0
    assert plume.divergence(zero + 3, zero).item() == pytest.approx(0.5 * 7 * 9)
    mean, logvar = randn(1, 4, 7), randn(1, 4, 7)
    normal = torch.distributions.Normal
    expected = (
        torch.distributions.kl_divergence(normal(mean, (logvar / 2).exp()), normal(0.0, 1.0)).sum(-1).mean()
    )
    torch.testing.assert_close(plume.divergence(mean, logvar)[0], expected)


def test_cross_entropy_is_torchs() -> None:
    normal, pseudo = randn(1, 9) * 3, randn(1, 9) + 1
    of = nn.functional.binary_cross_entropy_with_logits
    expected = of(normal, torch.ones(1, 9)) + of(pseudo, torch.zeros(1, 9))
    torch.testing.assert_close(plume.cross_entropy(normal, pseudo)[0], expected)
    assert plume.cross_entropy(torch.zeros(1, 9), torch.zeros(1, 9)).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("negatives", ["own", "all"])
def test_contrastive_is_a_loop_over_columns(negatives: str) -> None:
    z, pseudo = randn(1, 5, 4), randn(1, 5, 4) - 1
    s = [[nn.functional.cosine_similarity(a, b, dim=0) / 0.5 for b in pseudo[0]] for a in z[0]]
    among = [[nn.functional.cosine_similarity(a, b, dim=0) / 0.5 for b in z[0]] for a in z[0]]
    total = 0.0
    for c in range(5):
        across = [s[i][c] if negatives == "own" else s[c][i] for i in range(5)]
        others = [among[i][c] for i in range(5) if i != c]
        total += math.log(sum(map(math.exp, across)) + sum(map(math.exp, others))) - sum(others) / 4
    assert plume.contrastive(z, pseudo, 0.5, negatives).item() == pytest.approx(float(total) / 5, rel=1e-5)


@pytest.mark.parametrize("negatives", ["own", "all"])
def test_contrastive_properties(negatives: str) -> None:
    def loss(z: torch.Tensor, pseudo: torch.Tensor) -> float:
        return plume.contrastive(z, pseudo, 0.5, negatives).item()

    z, pseudo, order = randn(1, 6, 4), randn(1, 6, 4) + 0.5, torch.randperm(6)
    assert loss(z[:, order], pseudo[:, order]) == pytest.approx(loss(z, pseudo), rel=1e-5)
    assert loss(z * torch.rand(1, 6, 1) * 9, pseudo * 3) == pytest.approx(loss(z, pseudo), rel=1e-5)
    same = torch.ones(1, 6, 4)
    assert loss(same, same) == pytest.approx(math.log(11), rel=1e-5)
    assert loss(same, -same) < loss(same, same) < loss(same + z, same)


def test_dissimilarity_sees_directions() -> None:
    x = randn(1, 3, 4)
    assert plume.dissimilarity(x, 5 * x).item() == pytest.approx(0, abs=1e-6)
    assert plume.dissimilarity(x, -x).item() == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("width", [3, 15, 10])
def test_pooling_to_a_width_is_a_mean_over_windows(make: Make, width: int) -> None:
    given = make("plume", width=width).features(images(TEST)).numpy()
    edges = [(i * 10 // width, -(-(i + 1) * 10 // width)) for i in range(width)]
    expected = np.stack([TEST[:, a:b].mean(1) for a, b in edges], 1)
    np.testing.assert_allclose(given, expected, rtol=1e-5)
    if width == 15:
        first = np.stack([TEST[:, 0], TEST[:, :2].mean(1), TEST[:, 1]], 1)
        np.testing.assert_allclose(given[:, :3], first, rtol=1e-5)


def test_without_contrast_the_temperature_is_nothing(make: Make) -> None:
    cold, warm = (
        scores(make("plume", contrastive_weight=0.0, temperature=t, **QUICK), TRAIN, TEST) for t in (0.1, 2.0)
    )
    assert cold.tobytes() == warm.tobytes()


@pytest.mark.parametrize(
    "option",
    [
        {"perturbation": "addmult"},
        {"perturbation": "gaussian"},
        {"perturbator": "deterministic"},
        {"objective": "similarity"},
        {"contrastive_weight": 0.0},
        {"noise_target": "text"},
        {"noise_reduction": "sum"},
        {"negatives": "all"},
        {"normalisation": "together"},
        {"width": 16},
    ],
)
def test_every_option_changes_the_scores(make: Make, option: dict[str, Any]) -> None:
    given = scores(make("plume", **QUICK, **option), TRAIN, TEST)
    assert np.isfinite(given).all()
    assert not np.allclose(given, scores(make("plume", **QUICK), TRAIN, TEST), rtol=1e-3)


def test_the_oracle_offers_every_epoch_and_the_last_is_what_it_was(make: Make) -> None:
    method = make("plume", selection="oracle", **QUICK | {"epochs": 3})
    last = scores(make("plume", **QUICK | {"epochs": 3}), TRAIN, TEST)
    scores(method, TRAIN, TEST)
    given = method.score(images(TEST))
    assert list(given.candidates) == ["epoch 1", "epoch 2", "epoch 3"]
    np.testing.assert_array_equal(given.image, given.candidates["epoch 3"])
    np.testing.assert_allclose(given.image, last, rtol=1e-6)


def test_the_range_tests_rate_is_noted(make: Make) -> None:
    method = make("plume", epochs=1)
    scores(method, TRAIN, TEST)
    assert method.notes[0].startswith("learning rate ")
    assert "found by the range test" in method.notes[0]
    # 0.001 is what is taken where none is found; this one was.
    assert float(method.notes[0].split()[2]) != 0.001


def test_a_last_batch_of_one_is_no_batch(make: Make) -> None:
    assert np.isfinite(scores(make("plume", **QUICK), TRAIN[:33], TEST)).all()
    with pytest.raises(FitError, match="at least 2 training images"):
        scores(make("plume", **QUICK), TRAIN[:1], TEST)


def test_a_diverging_loss_aborts_with_the_mend(make: Make) -> None:
    with pytest.raises(FitError, match="PLUME: the loss became NaN or infinite; lower the learning rate"):
        scores(make("plume", epochs=4, lr=1e6), TRAIN, TEST)


def test_constant_features_score_finite(make: Make) -> None:
    assert np.isfinite(scores(make("plume", **QUICK), np.ones((20, 10)), TEST)).all()


def test_heads_trained_together_equal_heads_trained_alone(make: Make) -> None:
    banks = [TRAIN, TRAIN[::-1].copy() * 2, TRAIN[:30]]
    together = [make("plume", **QUICK) for _ in banks]
    for seed, method in enumerate(together):
        method.device, method.seed = torch.device("cpu"), seed
    PLUME.fit_together(together, [images(bank) for bank in banks])
    for seed, (method, bank) in enumerate(zip(together, banks, strict=True)):
        alone = scores(make("plume", **QUICK), bank, TEST, seed=seed)
        np.testing.assert_allclose(method.score(images(TEST)).image.numpy(), alone, rtol=1e-3, atol=1e-4)
