"""BatchNorm folded into convolutions: the same function, and only where it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from bench.features.backbone import Backbones
from bench.features.fold import folded
from bench.features.network import FrozenNetwork

CPU = torch.device("cpu")


class Small(nn.Module):
    """Two convolutions with BatchNorms of their own, joined in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=way != "plain")
        for norm in (self.bn1, self.bn2):
            norm.running_mean = torch.randn(4)
            norm.running_var = torch.rand(4) + 0.5
            if norm.affine:
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        one = self.conv1(images)
        x = self.bn1(one)
        x = self.bn2(self.conv2(x))
        if self.way == "tapped":
            return x + one
        return self.bn2(self.conv2(x)) if self.way == "twice" else x


def whole(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda images: module(images).flatten(1)


def test_weights_are_those_of_the_formula() -> None:
    before = Small("apart").eval().requires_grad_(False)
    after, names = folded(before, whole, 16)
    assert names == {"conv1", "conv2"}
    conv, norm = before.conv2, before.bn2
    s = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = conv.weight.double() * s.view(-1, 1, 1, 1)
    bias = (conv.bias.double() - norm.running_mean.double()) * s + norm.bias.double()
    torch.testing.assert_close(after.get_submodule("conv2").weight, weight.float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(after.get_submodule("conv2").bias, bias.float(), rtol=1e-6, atol=1e-7)
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(after(images), before(images), rtol=1e-4, atol=1e-5)
    assert isinstance(before.bn1, nn.BatchNorm2d), "the first network is as it was"


@pytest.mark.parametrize(
    ("way", "expected"), [("plain", {"conv1", "conv2"}), ("twice", {"conv1"}), ("tapped", set())]
)
def test_only_what_stays_the_same_function_is_folded(way: str, expected: set[str]) -> None:
    before = Small(way).eval().requires_grad_(False)
    after, names = folded(before, whole, 16)
    assert names == expected
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(after(images), before(images), rtol=1e-4, atol=1e-5)


def test_an_image_that_is_too_small_leaves_the_network_alone() -> None:
    before = Small("apart").eval().requires_grad_(False)
    assert folded(before, whole, 2) == (before, frozenset())


def test_every_layer_is_that_of_the_unfolded_network(backbones: Backbones) -> None:
    tiny = FrozenNetwork(backbones.get("tiny"), CPU)
    plain = FrozenNetwork(backbones.get("tiny"), CPU, fold=False)
    assert {"conv1", "conv1.0"} < tiny._built.folded, "a container that ends in a convolution, too"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    layers = ["conv1", "conv1.0", "bn1", "layer1", "layer2.0.conv1", "layer2.0.bn1", "layer4"]
    ours, theirs = tiny.maps(pixels, layers), plain.maps(pixels, layers)
    assert set(ours) == set(theirs) == set(layers)
    for layer in layers:
        torch.testing.assert_close(ours[layer], theirs[layer], rtol=1e-4, atol=1e-4)
    inside = FrozenNetwork(backbones.get("tiny[layer=conv1]"), CPU)
    torch.testing.assert_close(inside.pooled(pixels), theirs["conv1"].mean((2, 3)), rtol=1e-4, atol=1e-5)
