"""DevNet: a plain second implementation, the deviation loss and the top scores, maps, bad input, stopping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import FitError, endless_rows, explained_gradient, generator_for
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
TRAIN, LABELLED = images(surfaces(7)), images(stained(3, seed=4))
TEST = images(np.concatenate([surfaces(3, seed=5), stained(2)]))
FAST: dict[str, Any] = {"backbone": "tiny", "size": 64, "batch": 3, "epochs": 2, "steps_per_epoch": 2}


def fitted(method: Any, labelled: Any = LABELLED, **more: Any) -> Any:
    return fitted_with(method, TRAIN, labelled=labelled, **more)


@pytest.mark.parametrize("topk", [0.3, 0.0])
def test_it_follows_a_plain_implementation(make: Make, topk: float) -> None:
    """torch's own Adam and clipping on the network with a linear map of its last maps."""
    method = fitted(make("devnet", **FAST, topk=topk, degrees=0.0, lr=1e-3))
    start = fitted(make("devnet", **{**FAST, "epochs": 0}))  # the scoring layer's initial weights
    net = TRAIN.network("tiny")
    module = net.module.requires_grad_(True).train()
    weight, bias = (p.detach().clone().requires_grad_() for p in start.model.scoring.parameters())
    parameters = [*module.parameters(), weight, bias]
    optimiser = torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-5)
    normal, bad = (net.preprocess.normalise(next(each.batches(9))) for each in (TRAIN, LABELLED))

    def score(x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(x))
        for given in (x, x[:, :, ::2, ::2]):  # nearest, to half the side
            flat = F.conv2d(module.forward_features(given), weight, bias).flatten(1)
            if topk:
                kept = max(int(flat.shape[1] * topk), 1)
                total = total + flat.abs().sort(1, descending=True).values[:, :kept].mean(1) / 2
            else:
                total = total + flat.mean(1) / 2
        return total

    for step in range(4):
        rows = [endless_rows(n, 3, step, 0, half) for n, half in ((7, "normal"), (3, "anomalous"))]
        drawn = torch.randn(5000, generator=generator_for(0, "references", step))
        deviations = (score(torch.cat([normal[rows[0]], bad[rows[1]]])) - drawn.mean()) / drawn.std()
        loss = torch.cat([deviations[:3].abs(), (5 - deviations[3:]).clamp(min=0)]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    module.eval()
    test = net.preprocess.normalise(next(TEST.batches(9)))
    np.testing.assert_allclose(judged(method, TEST), score(test).detach(), rtol=1e-3)


def test_half_a_mini_batch_are_labelled_and_all_come_equally_often(make: Make) -> None:
    method = fitted(make("devnet", **{**FAST, "batch": 6, "epochs": 0, "degrees": 0.0}))
    pixels, labels = method.mini_batch(0)
    assert labels.tolist() == [0] * 6 + [1] * 6
    given = next(LABELLED.batches(9)).float()
    counts = [int((pixels[6:] == each).flatten(1).all(1).sum()) for each in given]
    assert counts == [2, 2, 2]
    turned = fitted(make("devnet", **{**FAST, "epochs": 0}))
    assert not torch.equal(turned.mini_batch(0)[0], turned.mini_batch(1)[0])


def test_training_separates_what_was_labelled(make: Make) -> None:
    method = fitted(make("devnet", **{**FAST, "epochs": 10, "lr": 3e-3}))
    assert judged(method, LABELLED).min() > judged(method, TRAIN).max()


def test_scores_are_not_below_0(make: Make) -> None:
    assert judged(fitted(make("devnet", **FAST)), TEST).min() >= 0


def test_maps_of_gradients() -> None:
    gradient = torch.zeros(3, 3, 40, 40)
    gradient[1, 0, 5, 7], gradient[1, 2, 5, 7] = -3.0, 1.0
    gradient[2] = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
    maps = explained_gradient(gradient)
    assert not maps[0].any()  # no gradient, no map
    assert divmod(int(maps[1].argmax()), 40) == (5, 7)
    torch.testing.assert_close(explained_gradient(gradient[2:] * 7)[0], maps[2])
    assert 0 <= float(maps.min()) <= float(maps.max()) <= 1


def test_maps_change_no_score(make: Make) -> None:
    plain, explaining = (fitted(make("devnet", **FAST, maps=maps)) for maps in (False, True))
    expected = judged(plain, TEST)
    parts = list(explaining.score(TEST).each_part(5))
    np.testing.assert_allclose(np.concatenate([scores for scores, _ in parts]), expected, rtol=1e-5)
    assert sum(len(maps) for _, maps in parts) == 5
    assert parts[0][1].shape[1:] == (64, 64)


@pytest.mark.parametrize("labelled", [None, LABELLED[:0]])
def test_without_labels_it_says_where_they_come_from(make: Make, labelled: Any) -> None:
    with pytest.raises(FitError, match=r"no labelled anomalies; add \[few_shot\]"):
        fitted(make("devnet", **FAST), labelled)


def test_images_too_small_for_the_network(make: Make) -> None:
    with pytest.raises(FitError, match="16 px at the smallest of 3 scales"):
        fitted(make("devnet", **FAST, scales=3))


def test_one_labelled_anomaly_and_mini_batches_of_one(make: Make) -> None:
    assert np.isfinite(judged(fitted(make("devnet", **{**FAST, "batch": 1}), LABELLED[:1]), TEST)).all()


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("devnet", **FAST), **more), TEST, tmp_path, 3)
