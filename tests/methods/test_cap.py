"""CAP: its closed forms, invariances and limits, and an explicit loop over neighbours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from bench.suite.registry import Registry
from tests.features_as_images import images, scores

Make = Callable[..., Any]
CAP = Registry().methods["cap"].load()
cap = sys.modules[CAP.__module__]

rng = np.random.default_rng(6)
TRAIN = (np.abs(rng.normal(size=(70, 8))) + 0.5).astype(np.float32)
TEST = (np.abs(rng.normal(size=(30, 8)) * 2)).astype(np.float32)


def fitted(make: Make, train: Any = TRAIN, seed: int = 0, **params: Any) -> Any:
    method = make("cap", **params)
    method.device, method.seed = torch.device("cpu"), seed
    method.fit(images(train))
    return method


def rescored(method: Any, test: Any = TEST, **parameters: torch.Tensor) -> np.ndarray:
    """Return the scores with other parameters in place of the learned ones."""
    method.parameters = method.parameters | parameters
    method.prepare_bank()
    return method.score(images(test)).image.numpy()


def neighbours(k: int) -> np.ndarray:
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (TEST.astype(np.float64), TRAIN)]
    return np.argsort(-(unit[0] @ unit[1].T), 1)[:, :k]


@pytest.mark.parametrize("attention", [True, False])
def test_an_explicit_loop_over_three_neighbours(make: Make, attention: bool) -> None:
    method = fitted(make, k=3, attention=attention, epochs=2)
    w = {name: p.double().numpy() for name, p in method.parameters.items()}
    expected = []
    for z, near in zip(TEST.astype(np.float64), neighbours(3), strict=True):
        m = TRAIN[near].astype(np.float64) @ w["theta"]
        total = np.zeros(8)
        for i in range(3):
            total += m[i]
            if attention:
                logits = np.array([(m[i] @ w["query"]) @ (m[j] @ w["key"]) / np.sqrt(8) for j in range(3)])
                share = np.exp(logits) / np.exp(logits).sum()
                assert share.sum() == pytest.approx(1)
                total += sum(share[j] * m[j] for j in range(3))
        normal, projected = total / 3, z @ w["theta"]
        cosine = projected @ normal / np.linalg.norm(projected) / np.linalg.norm(normal)
        expected.append(1 - cosine)
    np.testing.assert_allclose(method.score(images(TEST)).image.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "formula"),
    [
        ("L", lambda z, w: z @ w["theta"]),
        ("L+ReLU", lambda z, w: np.maximum(z @ w["theta"], 0)),
        ("L+ReLU+L", lambda z, w: np.maximum(z @ w["theta"], 0) @ w["theta2"]),
    ],
)
def test_heads(make: Make, head: str, formula: Any) -> None:
    method = fitted(make, head=head, epochs=1)
    w = {name: p.numpy() for name, p in method.parameters.items()}
    np.testing.assert_allclose(
        method.project(torch.from_numpy(TEST)).numpy(), formula(TEST, w), rtol=1e-4, atol=1e-5
    )
    assert np.isfinite(scores(make("cap", head=head, epochs=1), TRAIN, TEST)).all()


def test_without_adaptation_it_is_the_angle_to_the_neighbours_mean(make: Make) -> None:
    means = TRAIN[neighbours(5)].astype(np.float64).mean(1)
    cosine = (TEST * means).sum(1) / np.linalg.norm(TEST, axis=1) / np.linalg.norm(means, axis=1)
    given = scores(make("cap", adapt=False, k=5), TRAIN, TEST)
    np.testing.assert_allclose(given, 1 - cosine, rtol=1e-4, atol=1e-6)
    assert ((given >= 0) & (given <= 2)).all()


def test_an_identity_without_attention_weights_is_no_adaptation(make: Make) -> None:
    method = fitted(make, epochs=1)
    plain = scores(make("cap", adapt=False), TRAIN, TEST)
    zero = torch.zeros(8, 8)
    given = rescored(method, theta=torch.eye(8), query=zero, key=zero)
    np.testing.assert_allclose(given, plain, rtol=1e-4, atol=1e-6)


def test_one_neighbour_makes_attention_the_identity(make: Make) -> None:
    method = fitted(make, k=1, epochs=1)
    first = rescored(method)
    np.testing.assert_allclose(
        rescored(method, query=torch.randn(8, 8), key=torch.randn(8, 8)), first, rtol=1e-5
    )


def test_without_attention_length_and_rotation_of_the_projection_do_not_matter(make: Make) -> None:
    method = fitted(make, epochs=1, attention=False)
    given = rescored(method)
    np.testing.assert_allclose(
        rescored(method, theta=method.parameters["theta"] * 7), given, rtol=1e-4, atol=1e-6
    )
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    plain = scores(make("cap", adapt=False), TRAIN, TEST)
    np.testing.assert_allclose(rescored(method, theta=rotation), plain, rtol=1e-3, atol=1e-5)


def test_a_test_image_equal_to_all_its_neighbours_scores_zero(make: Make) -> None:
    train = np.concatenate([np.tile(TRAIN[:1], (40, 1)), TRAIN[1:20]])
    given = scores(make("cap", epochs=2), train, TRAIN[:1])
    np.testing.assert_allclose(given, 0, atol=1e-5)


def test_the_order_of_the_bank_does_not_matter_when_scoring(make: Make) -> None:
    method = fitted(make, epochs=1)
    given = rescored(method)
    method.bank = method.bank[torch.randperm(len(TRAIN))]
    np.testing.assert_allclose(rescored(method), given, rtol=1e-3, atol=1e-6)


def test_a_heavy_constraint_leads_to_the_identity(make: Make) -> None:
    method = fitted(make, weight=1e4, epochs=1500, lr=0.05, decay=0.998, batch=70, k=4, attention=False)
    np.testing.assert_allclose(method.parameters["theta"].numpy(), np.eye(8), atol=0.02)
    z = torch.from_numpy(TRAIN)[None]
    assert cap.losses(z, z, z, "mean")[1].item() == pytest.approx(0, abs=1e-6)


def test_omega_is_averaged_or_summed_over_dimensions() -> None:
    z, projected = torch.rand(2, 5, 8), torch.rand(2, 5, 8)
    angle = (1 - cosine_similarity(z, projected, dim=-1)).mean(-1)
    mean, total = (cap.losses(z, projected, z, kind)[1] - angle for kind in ("mean", "sum"))
    torch.testing.assert_close(
        mean, torch.stack([torch.nn.functional.mse_loss(*p) for p in zip(z, projected, strict=True)])
    )
    torch.testing.assert_close(total, mean * 8)


def test_the_gradient_of_l_s_is_orthogonal_to_the_projection() -> None:
    theta = torch.randn(1, 8, 8, requires_grad=True)
    z, near = torch.from_numpy(TRAIN[:20])[None], torch.from_numpy(TRAIN[20:60]).view(1, 20, 2, 8)
    normal = (near @ theta[:, None]).mean(-2)
    gradient = torch.autograd.grad(cap.losses(z, z @ theta, normal, "mean")[0].sum(), theta)[0]
    inner = (gradient * theta).sum() / (gradient.norm() * theta.norm())
    assert abs(inner.item()) < 1e-5, "L_S does not shorten the matrix"


def test_a_training_image_is_never_its_own_neighbour(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = cap._loss

    def spy(method: Any, heads: Any, banks: Any, rows: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        seen.append(bool((near == rows[..., None]).any()))
        return original(method, heads, banks, rows, near)

    monkeypatch.setattr(cap, "_loss", spy)
    fitted(make, np.tile(TRAIN[:3], (10, 1)), epochs=1, k=4)
    assert seen == [False], "also among duplicates"
    train = np.concatenate([TRAIN, TEST[:1]])
    assert fitted(make, train, k=1, epochs=0).score(images(TEST[:1])).image.item() == pytest.approx(
        0, abs=1e-6
    )


def test_a_step_projects_the_rows_that_occur_in_it_and_no_more(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a step costs is bounded by the batch and k, however large the bank."""
    seen = []
    original = cap.project

    def spy(features: torch.Tensor, parameters: Any, head: str) -> torch.Tensor:
        if features.ndim == 3:  # in training: (heads, rows, d)
            seen.append(features.shape[1])
        return original(features, parameters, head)

    monkeypatch.setattr(cap, "project", spy)
    batch, k = 5, 3
    for n in (40, 400):
        seen.clear()
        fitted(make, np.abs(rng.normal(size=(n, 8))).astype(np.float32), epochs=1, k=k, batch=batch)
        assert len(seen) == n // batch
        assert batch < max(seen) <= batch * (k + 1)


def test_k_is_clamped(make: Make) -> None:
    assert np.isfinite(scores(make("cap"), TRAIN[:5], TEST)).all()
    method = make("cap")
    assert np.isfinite(scores(method, TRAIN[:1], TEST)).all()
    assert "not adapted" in method.notes[0]
    method = make("cap", epochs=1)
    scores(method, TRAIN[:5], TEST)
    assert method.notes == ("k=32 neighbours: 5 training images have fewer",)


def test_published_parameters_stand_in_for_none(make: Make) -> None:
    semantic, sensory = make("cap"), make("cap", kind="sensory", k=7)
    assert (semantic.k, semantic.weight, semantic.batch, semantic.lr) == (32, 2.0, 64, 5e-4)
    assert (sensory.k, sensory.weight, sensory.batch, sensory.lr) == (7, 0.1, 16, 1e-4)


def test_collapse_is_noted(make: Make) -> None:
    free = fitted(make, weight=0.0, epochs=400, lr=0.02, decay=1.0, batch=70, k=4)
    assert "collapsed" in free.notes[0]
    assert free.parameters["theta"].norm() > 1, "collapsed in direction, not in length"
    assert fitted(make, epochs=20).notes == ()


def test_constant_features_give_finite_scores(make: Make) -> None:
    assert np.isfinite(scores(make("cap", epochs=2), np.ones((20, 8)), TEST)).all()
    assert np.isfinite(scores(make("cap", epochs=2), np.zeros((20, 8)), TEST)).all()


def test_maps_compare_positions_with_the_feature_and_its_representation(make: Make) -> None:
    maps = rng.random(size=(30, 8, 2, 3)).astype(np.float32)
    pooled = maps.mean((2, 3))
    method = make("cap", layer="layer4", epochs=1, k=4)
    method.device = torch.device("cpu")
    method.fit(images(TRAIN))
    given = method.score(images(pooled, {"layer4": maps})).maps
    assert given.shape == (30, 2, 3)
    z = torch.from_numpy(pooled)
    near = cap.nearest(z, method.bank, 4, metric="cosine").indices
    f = torch.from_numpy(maps[5, :, 1, 2])
    expected = abs(cosine_similarity(f, z[5], 0) - cosine_similarity(f, method._normal(near[5:6])[0], 0))
    assert given[5, 1, 2].item() == pytest.approx(expected.item(), abs=1e-6)


def test_heads_trained_together_equal_heads_trained_alone(make: Make) -> None:
    banks = [TRAIN, TRAIN[::-1].copy() * 2, TRAIN[:40], TEST]
    together = [make("cap", epochs=3) for _ in banks]
    for seed, method in enumerate(together):
        method.device, method.seed = torch.device("cpu"), seed
    CAP.fit_together(together, [images(bank) for bank in banks])
    for seed, (method, bank) in enumerate(zip(together, banks, strict=True)):
        alone = scores(make("cap", epochs=3), bank, TEST, seed=seed)
        np.testing.assert_allclose(method.score(images(TEST)).image.numpy(), alone, rtol=1e-4, atol=1e-6)
