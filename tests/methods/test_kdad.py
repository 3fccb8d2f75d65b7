"""KDAD: its cloner and loss by hand, a plain second implementation, shapes, maps, bad input, stopping."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import FitError, epoch_rows
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
kdad = sys.modules[Registry().methods["kdad"].load().__module__]

TRAIN, TEST = (
    images(surfaces(7, side=32)),
    images(np.concatenate([surfaces(3, seed=5), stained(3)])[:, :32, :32]),
)
FAST: dict[str, Any] = {"source": "random", "size": 32, "epochs": 2, "batch": 4}


def fitted(method: Any, train: Any = TRAIN, **more: Any) -> Any:
    return fitted_with(method, train, **more)


@pytest.mark.parametrize("side", [224, 128, 32])
def test_maps_of_source_and_cloner_have_one_shape(side: int) -> None:
    x = torch.zeros(1, 3, side, side)
    cloner = kdad.Cloner(kdad.CHANNELS[1:]).eval()
    with torch.no_grad():
        shapes = [
            [tuple(m.shape[1:]) for m in maps] for maps in (cloner(x), kdad.pooled_maps(kdad.random_vgg(), x))
        ]
    assert shapes[0] == shapes[1]
    assert shapes[0] == [(c, side // s, side // s) for c, s in ((128, 4), (256, 8), (512, 16), (512, 32))]


def test_layers_of_the_cloner_and_of_vgg() -> None:
    cloner, vgg = kdad.Cloner(kdad.CHANNELS[1:]).layers, kdad.random_vgg()
    convolutions = [m for m in cloner if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    assert all(m.bias is None for m in convolutions)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in cloner) == 8
    widths = [m.out_channels for m in convolutions]
    assert widths == [16, 16, 16, 128, 16, 16, 256, 16, 16, 512, 16, 16, 512]
    for at, layer in enumerate(cloner):  # no BatchNorm between the last convolution and a pool
        if isinstance(layer, nn.MaxPool2d):
            assert isinstance(cloner[at - 2], nn.Conv2d)
    # The taps of the authors' code are at these places of torchvision's layers.
    assert [at for at, m in enumerate(vgg) if isinstance(m, nn.MaxPool2d)][1:] == [9, 16, 23, 30]
    assert sum(p.numel() for p in vgg.parameters()) == 14_714_688


def test_the_difference_by_hand() -> None:
    chance = torch.Generator().manual_seed(0)
    known, cloned = ([torch.rand(3, c, 4, 4, generator=chance) for c in (5, 2)] for _ in range(2))
    expected = np.zeros(3)
    for a, b in zip(known, cloned, strict=True):
        for i, (u, v) in enumerate(zip(a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True)):
            cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
            expected[i] += 1 - cosine + 0.3 * np.mean((u - v) ** 2)
    np.testing.assert_allclose(kdad.differences(known, cloned, 0.3), expected, rtol=1e-5)
    assert float(kdad.differences(known, known, 0.3).abs().max()) < 1e-6
    twice = [2 * maps for maps in known]
    assert float(kdad.differences(known, twice, 0.0).abs().max()) < 1e-6  # direction alone


@pytest.mark.parametrize("kept", [True, False])
def test_it_follows_a_plain_implementation(make: Make, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    if not kept:
        monkeypatch.setattr(kdad, "KEEP_BYTES", 0)
    method = fitted(make("kdad", **FAST, lam=0.5))
    start = fitted(make("kdad", **{**FAST, "epochs": 0}))  # the cloner's initial weights, the same source
    net, x = start.cloner.train(), next(TRAIN.batches(9)).float() / 255
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    mse = nn.MSELoss()
    for step in range(4):
        part = x[epoch_rows(7, 4, step, 0)]
        loss = torch.zeros(())
        for a, b in zip(start.teacher(part), net(part), strict=True):
            cosine = torch.cosine_similarity(a.reshape(len(a), -1), b.reshape(len(b), -1))
            loss = loss + (1 - cosine).mean() + 0.5 * mse(a, b)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    test = next(TEST.batches(9)).float() / 255
    with torch.no_grad():
        expected = kdad.differences(start.teacher(test)[1:], net(test)[1:], 0.5)
    np.testing.assert_allclose(judged(method, TEST), expected, rtol=1e-3)


def test_the_first_layer_is_trained_but_does_not_score(make: Make) -> None:
    method = fitted(make("kdad", **FAST))
    x = torch.rand(2, 3, 32, 32)
    whole = kdad.differences(method.teacher(x), method.cloner(x), 0.01)
    first = kdad.differences(method.teacher(x)[:1], method.cloner(x)[:1], 0.01)
    torch.testing.assert_close(method.of_inputs(x), whole - first, rtol=1e-4, atol=1e-5)


def test_training_brings_the_cloner_near_and_leaves_the_source(make: Make) -> None:
    few, many = (fitted(make("kdad", **{**FAST, "epochs": n})) for n in (0, 12))
    assert judged(many, TRAIN).mean() < 0.7 * judged(few, TRAIN).mean()
    x = torch.rand(1, 3, 32, 32)
    for a, b in zip(few.teacher(x), many.teacher(x), strict=True):
        assert torch.equal(a, b)


def test_another_source_is_told(make: Make) -> None:
    random = fitted(make("kdad", **FAST))
    assert "the source is a VGG-16 with weights by chance, not the paper's pretrained one" in random.notes
    other = fitted(make("kdad", backbone="tiny", epochs=1, batch=4), images(surfaces(7)))
    assert other.notes == ("1 epochs, 201 in the paper's schedule", "the source is tiny, not VGG-16")
    assert np.isfinite(judged(other, images(stained(3)))).all()


def test_maps_change_no_score_and_have_the_inputs_size(make: Make) -> None:
    plain, localising = (fitted(make("kdad", **FAST, maps=maps)) for maps in (False, True))
    parts = list(localising.score(TEST).each_part(6))
    expected = judged(plain, TEST)
    np.testing.assert_allclose(np.concatenate([scores for scores, _ in parts]), expected, rtol=1e-4)
    assert parts[0][1].shape[1:] == (32, 32)
    assert parts[0][1].min() >= 0
    assert parts[0][1].max() > 0


def test_images_too_small_for_five_pools_are_refused(make: Make) -> None:
    with pytest.raises(FitError, match="16 px"):
        fitted(make("kdad", **{**FAST, "size": 16}))


def test_sizes_that_pools_round_down_are_the_same_for_source_and_cloner(make: Make) -> None:
    assert judged(fitted(make("kdad", **{**FAST, "size": 40})), TEST).shape == (6,)


def test_a_single_image_and_mini_batches_of_one(make: Make) -> None:
    assert np.isfinite(judged(fitted(make("kdad", **{**FAST, "batch": 1}), TRAIN[:1]), TEST)).all()


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("kdad", **FAST), **more), TEST, tmp_path, 3)


def test_a_random_source_names_no_backbone(tmp_path: Path) -> None:
    text = 'datasets = ["digits[task=3]"]\nmethods = ["kdad", "kdad[source=random]"]\nbackbone = "lite0"\n'
    (tmp_path / "s.toml").write_text(text)
    plan = make_plan(load_suite(tmp_path / "s.toml"), Registry())
    assert [row.backbone for row in plan.rows] == ["lite0", ""]
    assert [entry.cell.backbone_identity == "" for entry in plan.entries] == [True, False]  # by backbone
