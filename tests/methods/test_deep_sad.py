"""Deep SAD: a plain second implementation, what its paper implies, and stopping."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import LeNetInputs, derive_seed, epoch_rows, lenet_autoencoder
from bench.suite.registry import Registry
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
sad = sys.modules[Registry().methods["deep_sad"].load().__module__]

PIXELS, BAD = surfaces(17, side=28), stained(5, seed=3, side=28)
TRAIN, LABELLED, TEST = images(PIXELS), images(BAD), images(stained(6, seed=9, side=28))
FAST: dict[str, Any] = {"network": "mnist", "batch": 8, "epochs": 3, "pretrain_epochs": 2, "lr": 1e-3}


def fitted(method: Any, labelled: Any = LABELLED, **more: Any) -> Any:
    return fitted_with(method, TRAIN, labelled=labelled, **more)


def test_it_follows_a_plain_implementation(make: Make) -> None:
    method = fitted(make("deep_sad", **FAST, eta=2.0))
    x = torch.from_numpy(np.concatenate([PIXELS, BAD])).float().mean(3)[:, None] / 255
    torch.testing.assert_close(LeNetInputs(TRAIN + LABELLED, "mnist", "unit")[np.arange(22)], x)
    targets = torch.tensor([0] * 17 + [-1] * 5)
    net = lenet_autoencoder("mnist", 0, plain=True)

    def train(part: str, epochs: int, milestone: int, decay: float, module: Any, loss: Any) -> None:
        module.train()
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-3, weight_decay=decay)
        for step in range(3 * epochs):
            optimiser.param_groups[0]["lr"] = 1e-3 if step // 3 < milestone else 1e-4
            rows = epoch_rows(22, 8, step, derive_seed(0, part))
            optimiser.zero_grad()
            loss(rows).backward()
            optimiser.step()
        module.eval()

    train("autoencoder", 2, 2, 5e-4, net, lambda rows: ((net(x[rows]) - x[rows]) ** 2).mean())
    with torch.no_grad():
        centre = net[0](x).mean(0)
    centre = torch.where(centre.abs() < 0.1, torch.where(centre < 0, -0.1, 0.1), centre)

    def loss(rows: Any) -> torch.Tensor:
        distances = ((net[0](x[rows]) - centre) ** 2).sum(1)
        each = [
            d if y == 0 else 2.0 * (d + 1e-6) ** int(y) for d, y in zip(distances, targets[rows], strict=True)
        ]
        return torch.stack(each).mean()

    train("sad", 3, 1, 5e-7, net[0], loss)
    expected = ((net[0](x[:17]) - centre) ** 2).sum(1).detach()
    np.testing.assert_allclose(judged(method, TRAIN), expected, rtol=1e-3)


def test_without_labels_it_is_deep_svdd(make: Make) -> None:
    """With the same images, initial weights and schedule; both stages of it."""
    options = {**FAST, "pretrain": False, "normalise": "unit"}
    given = judged(fitted(make("deep_sad", **options), None), TEST)

    other = make("deep_svdd", **options)
    published = sad.AdamSchedule.train
    try:  # the order of mini-batches goes by the stage's name
        sad.AdamSchedule.train = lambda *args, **more: published(*args, **{**more, "part": "sad"})
        expected = judged(fitted(other, None), TEST)
    finally:
        sad.AdamSchedule.train = published
    assert given.tobytes() == expected.tobytes()


def test_a_labelled_anomaly_is_pushed_away_and_others_are_drawn_in() -> None:
    centre, phi = torch.zeros(2), torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], requires_grad=True)
    signs = torch.tensor([0.0, 1.0, -1.0])
    losses = sad.sad_losses((phi - centre).square().sum(1), signs, 3.0)
    torch.testing.assert_close(losses, torch.tensor([5.0, 3 * (5 + 1e-6), 3 / (5 + 1e-6)]))
    losses.sum().backward()
    along = (phi.grad * phi.detach()).sum(1)  # gradient descent goes against it
    assert along[0] > 0
    assert along[1] > 0
    assert along[2] < 0


def test_labels_raise_the_scores_of_such_images(make: Make) -> None:
    longer = {**FAST, "epochs": 25, "pretrain_epochs": 3}
    with_labels, without = (fitted(make("deep_sad", **longer), given) for given in (LABELLED, None))

    def contrast(method: Any) -> float:
        return float(np.median(judged(method, TEST)) / np.median(judged(method, TRAIN)))

    assert contrast(with_labels) > contrast(without)


@pytest.mark.parametrize("at", [2, 11])
def test_a_cell_stopped_in_either_stage_ends_with_the_same_bits(make: Make, tmp_path: Path, at: int) -> None:
    resumed_steps(lambda **more: fitted(make("deep_sad", **FAST), **more), TEST, tmp_path, at)
