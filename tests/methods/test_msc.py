"""MSC: its loss by the authors' formula, what its paper implies, a plain second implementation, stopping."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import FitError, epoch_rows, generator_for, random_views
from bench.suite.registry import Registry
from tests.pictures import damaged, fitted_with, images, judged, resumed_steps, scores, stained, surfaces

Make = Callable[..., Any]
msc = sys.modules[Registry().methods["msc"].load().__module__]

TRAIN, TEST = images(surfaces(9)), images(np.concatenate([surfaces(3, seed=5), stained(3)]))
FAST: dict[str, Any] = {"backbone": "tiny", "epochs": 2, "batch": 4, "lr": 1e-2}


def fitted(method: Any, **more: Any) -> Any:
    return fitted_with(method, TRAIN, **more)


def by_hand(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Return the loss term by term: one view against its partner, over all but itself."""
    rows = [*first.double(), *second.double()]
    cosine = [[float(F.cosine_similarity(a, b, dim=0)) / temperature for b in rows] for a in rows]
    n = len(first)
    terms = []
    for i in range(2 * n):
        others = sum(math.exp(cosine[i][j]) for j in range(2 * n) if j != i)
        terms.append(-math.log(math.exp(cosine[i][(i + n) % (2 * n)]) / others))
    return sum(terms) / len(terms)


def test_the_loss_by_hand() -> None:
    first, second = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    given = msc.mean_shifted(torch.cat([first, second]), 0.25)
    assert float(given) == pytest.approx(by_hand(first, second, 0.25), rel=1e-5)


def test_the_loss_does_not_see_a_common_rotation_or_length() -> None:
    chance = torch.Generator().manual_seed(1)
    given = torch.randn(10, 6, generator=chance)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=chance))
    expected = msc.mean_shifted(given, 0.25)
    torch.testing.assert_close(msc.mean_shifted(given @ turn, 0.25), expected)
    torch.testing.assert_close(msc.mean_shifted(3 * given, 0.25), expected)


@pytest.mark.parametrize("b", [2, 5])
def test_views_that_are_all_alike_cost_the_logarithm_of_the_others(b: int) -> None:
    same = torch.ones(2 * b, 4)
    assert float(msc.mean_shifted(same, 0.25)) == pytest.approx(math.log(2 * b - 1), rel=1e-5)


@pytest.mark.parametrize("none", [{"epochs": 0}, {"lr": 0.0}])
def test_without_training_it_is_dn2_on_features_of_length_1(make: Make, none: dict[str, Any]) -> None:
    given = scores(make("msc", **{**FAST, **none}), TRAIN, TEST)
    expected = scores(make("dn2", backbone="tiny", k=2, normalise="l2"), TRAIN, TEST)
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("angular", [False, True])
def test_steps_follow_a_plain_implementation(make: Make, angular: bool) -> None:
    method = fitted(make("msc", **FAST, angular=angular))
    plain = TRAIN.network("tiny")
    module, pixels = plain.module.requires_grad_(False), next(TRAIN.batches(99))
    trained = [p for n, p in module.named_parameters() if n.startswith(("layer3", "layer4"))]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.SGD(trained, lr=1e-2, weight_decay=5e-5)

    def features(x: torch.Tensor) -> torch.Tensor:
        maps = module.forward_features(plain.preprocess.normalise(x))
        return F.normalize(F.adaptive_avg_pool2d(maps, 1).flatten(1), dim=-1)

    centre = features(pixels).mean(0).detach()
    centre = F.normalize(centre, dim=-1) if angular else centre
    for step in range(6):
        part, drawn = pixels[epoch_rows(9, 4, step, 0)], generator_for(0, "views", step)
        first, second = (features(random_views(part, drawn)) - centre for _ in range(2))
        out = torch.cat([F.normalize(first, dim=-1), F.normalize(second, dim=-1)])
        alike = torch.exp(out @ out.T / 0.25)
        mask = ~torch.eye(len(out), dtype=torch.bool)
        positive = torch.exp((out[: len(part)] * out[len(part) :]).sum(1) / 0.25).repeat(2)
        loss = -torch.log(positive / (alike * mask).sum(1)).mean()
        if angular:
            loss = loss + (first**2).sum(1).mean() + (second**2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for ours, theirs in zip(method.net.thawed.values(), trained, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_features_have_length_1_and_what_is_frozen_keeps_its_bits(make: Make) -> None:
    method = fitted(make("msc", **FAST, blocks="4"))
    torch.testing.assert_close(method.bank.norm(dim=1), torch.ones(9))
    before, after = TRAIN.network("tiny").module.state_dict(), method.net.module.state_dict()
    for name, tensor in before.items():
        trained = name.startswith("layer4") and "running" not in name and "num_batches" not in name
        assert torch.equal(tensor, after[name]) != trained, name


def test_mini_batches_of_one_and_a_short_schedule(make: Make) -> None:
    method = fitted(make("msc", backbone="tiny", schedule="short", batch=8))
    assert method.notes[0] == "2 epochs, 20 in the paper's schedule"
    assert np.isfinite(judged(fitted(make("msc", **{**FAST, "batch": 1})), TEST)).all()


def test_damaged_weights_are_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TRAIN), "network", damaged)
    with pytest.raises(FitError, match="became nan"):
        fitted(make("msc", **FAST))


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("msc", **FAST), **more), TEST, tmp_path, 3)
