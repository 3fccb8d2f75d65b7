"""Reverse distillation and Dinomaly: their parts against explicit formulas, and their shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

from bench import FitError
from bench.train.stableadamw import StableAdamW
from tests import pictures

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def distillation(make: Make) -> dict[str, Any]:
    return dict(type(make("reverse_distillation")).fit.__globals__)


@pytest.fixture(scope="module")
def dinomaly(make: Make) -> dict[str, Any]:
    return dict(type(make("dinomaly")).fit.__globals__)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- reverse_distillation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "depths", "bottleneck"),
    [
        ((64, 128, 256), (2, 2, 2, 2), False),
        ((256, 512, 1024), (3, 4, 6, 3), True),
        ((24, 40, 112), (1, 1, 1, 1), False),
    ],
)
def test_a_students_maps_have_the_teachers_shapes(
    distillation: dict[str, Any],
    channels: tuple[int, ...],
    depths: tuple[int, ...],
    bottleneck: bool,
) -> None:
    student = distillation["Student"](channels, depths, bottleneck=bottleneck).eval()
    for side in (16, 14, 15):  # 15 is halved to 8, which doubles to 16
        grids = (side * 4, side * 2, side)
        maps = [noise(1, c, g, g + 4) for c, g in zip(channels, grids, strict=True)]
        if bottleneck and side != 16:
            continue
        with torch.no_grad():
            assert [m.shape for m in student(maps)] == [m.shape for m in maps]


def test_a_students_first_block_doubles_by_a_transposed_convolution(distillation: dict[str, Any]) -> None:
    student = distillation["Student"]((64, 128, 256), (2, 2, 2, 2), bottleneck=False)
    sizes = {name: tuple(p.shape) for name, p in student.named_parameters() if p.ndim == 4}
    assert sizes["decode.0.0.body.0.weight"] == (512, 256, 2, 2)
    assert sizes["decode.0.0.short.0.weight"] == (512, 256, 2, 2)
    assert sizes["decode.2.1.body.0.weight"] == (64, 64, 3, 3)
    assert sizes["embed.0.body.0.weight"] == (512, 3 * 256, 3, 3)
    assert sizes["from_fine.0.weight"] == (128, 64, 3, 3)
    assert sizes["from_fine.3.weight"] == (256, 128, 3, 3)
    wide = distillation["Student"]((256, 512, 1024), (3, 4, 6, 3), bottleneck=True)
    sizes = {name: tuple(p.shape) for name, p in wide.named_parameters() if p.ndim == 4}
    assert sizes["decode.0.0.body.0.weight"] == (512, 2048, 1, 1)
    assert sizes["decode.0.0.body.3.weight"] == (512, 512, 2, 2)
    assert len(wide.decode[2]) == 6


def test_the_loss_reads_a_whole_map_as_one_vector(distillation: dict[str, Any]) -> None:
    teacher, student = ([noise(4, c, 3, 5, seed=s + c) for c in (2, 3, 4)] for s in (0, 10))
    expected = 0.0
    for t, s in zip(teacher, student, strict=True):
        each = [
            1 - float(a.flatten() @ b.flatten() / (a.norm() * b.norm())) for a, b in zip(t, s, strict=True)
        ]
        expected += np.mean(each)
    assert float(distillation["whole_map_loss"](teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(distillation["whole_map_loss"](teacher, teacher)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("combine", ["add", "multiply"])
def test_maps_are_summed_over_layers_with_aligned_corners(make: Make, combine: str) -> None:
    method = make("reverse_distillation", combine=combine)
    own, given = ([noise(2, 3, g, g, seed=s + g) for g in (8, 4, 2)] for s in (0, 50))
    method.student = lambda maps: [g[: len(maps[0])] for g in given]
    own = [m[:1] for m in own]
    layers = [
        F.interpolate(
            (1 - F.cosine_similarity(t, s[:1]))[:, None], (16, 16), mode="bilinear", align_corners=True
        )[:, 0]
        for t, s in zip(own, given, strict=True)
    ]
    stacked = torch.stack(layers)
    expected = stacked.sum(0) if combine == "add" else stacked.prod(0)
    torch.testing.assert_close(method.differences(own, (16, 16)), expected, rtol=1e-5, atol=1e-6)


def test_training_brings_the_student_to_the_teacher(make: Make, distillation: dict[str, Any]) -> None:
    train, losses = pictures.images(pictures.surfaces(16)), []
    for epochs in (0, 12):
        method = make("reverse_distillation", backbone="tiny", depths="1,1,1,1", epochs=epochs, batch=8)
        method.device = torch.device("cpu")
        method.fit(train)
        found = train.feature_maps("tiny", method.patches.layers)
        maps = [found[layer] for layer in method.patches.layers]
        with torch.no_grad():
            losses.append(float(distillation["whole_map_loss"](maps, method.student(maps))))
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"layers": "layer1+layer2"}, "expected three layers"),
        ({"depths": "2,2,2"}, "expected four numbers"),
        ({"depths": "2,2,x,2"}, "expected four numbers"),
    ],
)
def test_what_no_student_can_be_made_of(make: Make, params: dict[str, str], match: str) -> None:
    with pytest.raises(FitError, match=match):
        make("reverse_distillation", **params)


# --- dinomaly -----------------------------------------------------------------------------------------------


def test_linear_attention_is_that_of_the_explicit_matrix(dinomaly: dict[str, Any]) -> None:
    q, k, v = (noise(2, 3, 7, 4, seed=s) for s in range(3))
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    expected = weights / weights.sum(-1, keepdim=True) @ v
    torch.testing.assert_close(dinomaly["linear_attention"](q, k, v), expected, rtol=1e-4, atol=1e-5)


def test_easy_points_have_a_tenth_of_the_gradient(dinomaly: dict[str, Any]) -> None:
    teacher, given = noise(3, 5, 4, 4), noise(3, 5, 4, 4, seed=1)
    gradients = []
    for easy in (0.0, 0.75):
        student = given.clone().requires_grad_()
        # As in the model: the hook sits on what the decoder gives, which is no leaf.
        loss = dinomaly["loose_loss"]([teacher], [student * 1.0], easy)
        loss.backward()
        gradients.append(student.grad)
    apart = 1 - F.cosine_similarity(teacher, given)
    hard = int(apart.numel() * 0.25)
    limit = apart.flatten().sort(descending=True).values[hard - 1]
    ratio = (gradients[1] / gradients[0]).mean(1)
    torch.testing.assert_close(ratio, torch.where(apart < limit, 0.1, 1.0), rtol=1e-4, atol=1e-5)
    assert int((apart >= limit).sum()) == hard == 12
    whole = [
        1 - F.cosine_similarity(t.flatten(), s.flatten(), 0) for t, s in zip(teacher, given, strict=True)
    ]
    assert float(dinomaly["loose_loss"]([teacher, teacher], [given, teacher], 0.5)) == pytest.approx(
        float(torch.stack(whole).mean()) / 2, rel=1e-4
    )


@pytest.mark.parametrize(
    "tokens", [{"reg_tokens": 4}, {"reg_tokens": 0}, {"class_token": False, "global_pool": "avg"}]
)
def test_tokens_come_in_groups_on_any_grid_with_registers_or_without(
    dinomaly: dict[str, Any], tokens: dict[str, Any]
) -> None:
    module = timm.create_model("test_vit", pretrained=False, img_size=(48, 80), patch_size=8, **tokens)
    encoder = dinomaly["Encoder"](module, [1, 2, 3, 4], "some")
    found, grid = encoder(noise(2, 3, 48, 80))
    assert grid == (6, 10)
    prefix = module.num_prefix_tokens
    assert [t.shape for t in found] == [(2, 60 + prefix, 64)] * 4
    maps = encoder.maps(found, grid)
    assert [m.shape for m in maps] == [(2, 64, 6, 10)] * 2
    torch.testing.assert_close(
        maps[1][:, :, 2, 3], (found[2] + found[3])[:, prefix + 23] / 2, rtol=1e-5, atol=1e-6
    )
    decoder = dinomaly["Decoder"](64, 2, 4, 0.0).eval()
    out = decoder(found)
    assert [t.shape for t in out] == [t.shape for t in found]
    again = decoder.bottleneck(torch.stack(found).mean(0))
    torch.testing.assert_close(decoder.blocks[0](again), out[-1])  # the first block's comes last


def test_the_decoder_is_initialised_as_published(dinomaly: dict[str, Any]) -> None:
    torch.manual_seed(0)
    decoder = dinomaly["Decoder"](64, 2, 2, 0.2)
    weights = torch.cat([m.weight.flatten() for m in decoder.modules() if isinstance(m, torch.nn.Linear)])
    assert 0.009 < float(weights.std()) < 0.0101
    assert float(weights.abs().max()) <= 0.03
    assert {norm.eps for m in decoder.modules() if isinstance(norm := m, torch.nn.LayerNorm)} == {1e-8}
    assert sum(isinstance(m, torch.nn.Dropout) and m.p == 0.2 for m in decoder.modules()) == 3


def test_the_rate_warms_up_and_falls_along_a_cosine(make: Make) -> None:
    method = make("dinomaly", steps=1100)
    assert method.rate(0) == 0
    assert method.rate(50) == pytest.approx(1e-3)
    assert method.rate(100) == pytest.approx(2e-3)
    assert method.rate(600) == pytest.approx(1.1e-3)
    assert method.rate(1100) == pytest.approx(2e-4)


def test_what_is_no_encoder(make: Make) -> None:
    train = pictures.images(pictures.surfaces(2))
    for params, match in (
        ({"backbone": "tiny"}, "tiny is no vision transformer"),
        ({"backbone": "tiny_vit"}, r"tiny_vit has 6 blocks, 0 to 5; blocks asks for 9"),
    ):
        method = make("dinomaly", **params)
        method.device = torch.device("cpu")
        with pytest.raises(FitError, match=match):
            method.fit(train)
    with pytest.raises(FitError, match="even number"):
        make("dinomaly", blocks="1,2,3")


# --- the optimiser ------------------------------------------------------------------------------------------


def test_stable_adamw_has_the_bits_of_rates_on_the_host() -> None:
    """Divided by a number of Python's, as before the rate stayed on the device."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(300, generator=draw))
    plain, first = weight.detach().clone(), torch.zeros(300)
    second, largest = torch.zeros(300), torch.zeros(300)
    optimiser = StableAdamW([weight], lr=2e-3, weight_decay=1e-4)
    for step in range(1, 30):
        gradient = torch.randn(300, generator=draw) * (30.0 if step == 9 else 1.0)
        weight.grad = gradient.clone()
        optimiser.step()
        first.lerp_(gradient, 1 - 0.9)
        second.lerp_(gradient.square(), 1 - 0.999)
        largest = torch.maximum(largest, second)
        scale = (largest.sqrt() / (1 - 0.999**step) ** 0.5).add_(1e-10)
        clipped = 2e-3 / max(1.0, float((gradient / scale).square().mean().sqrt()))
        plain.mul_(1 - 2e-3 * 1e-4).addcdiv_(first, scale, value=-clipped / (1 - 0.9**step))
        assert torch.equal(weight.detach(), plain), step


def test_stable_adamw_by_hand() -> None:
    """In numpy, step by step, from the algorithm as published."""
    draw = np.random.default_rng(0)
    gradients = draw.normal(size=(6, 5)) * np.array([1, 1, 1, 30, 0.1, 1])[:, None]
    weight = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))
    optimiser = StableAdamW([weight], lr=0.1, weight_decay=0.01)
    theta, first, second, largest = np.ones(5), np.zeros(5), np.zeros(5), np.zeros(5)
    clipped = []
    for t, gradient in enumerate(gradients, 1):
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        largest = np.maximum(largest, second)
        scale = np.sqrt(largest) / np.sqrt(1 - 0.999**t) + 1e-10
        clipped.append(np.sqrt(np.mean((gradient / scale) ** 2)))
        theta = theta * (1 - 0.1 * 0.01)
        theta = theta - 0.1 / max(1, clipped[-1]) * first / (1 - 0.9**t) / scale
        np.testing.assert_allclose(weight.detach().numpy(), theta, rtol=1e-10)
    assert clipped[3] > 1 > clipped[4]
