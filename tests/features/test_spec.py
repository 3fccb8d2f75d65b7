"""The networks of the papers: what each preset reads, by shapes alone, without weights."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision

from bench.features.backbone import Backbones
from bench.features.network import FrozenNetwork
from bench.features.spec import HogTable, NetworkTable

META = torch.device("meta")


@pytest.mark.parametrize(
    ("name", "module", "wide"),
    [
        ("panda", "ResNet", 2048),
        ("cap", "ResNet", 2048),
        ("cap-mvtec", "ResNet", 2048),
        ("plume-resnet50", "ResNet", 2048),
        ("plume-vgg16", "VGG", 4096),
        ("plume-convnext", "ConvNeXt", 1024),
    ],
)
def test_what_a_papers_network_gives(
    name: str, module: str, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torchvision.models.get_model

    def without_weights(model: str, *, weights: Any, **args: Any) -> Any:
        assert weights is not None
        with META:
            return original(model, weights=None, **args)

    monkeypatch.setattr(torchvision.models, "get_model", without_weights)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    backbone = Backbones().get(name)
    images = torch.zeros(2, 3, 224, 224, device=META)
    as_preset = FrozenNetwork(backbone, META)
    assert type(as_preset.module).__name__ == module
    assert not as_preset.module.training
    assert as_preset.side == 224
    assert as_preset.vectors(images).shape == (2, 3072 if name.startswith("plume") else wide)
    spec: Any = backbone.spec
    unpooled = replace(backbone, spec=spec.model_copy(update={"width": None}))
    assert FrozenNetwork(unpooled, META).vectors(images).shape == (2, wide)


def test_one_block_of_cells_is_enough_for_hog() -> None:
    assert HogTable(size=16, cell=8, block=2).block == 2
    with pytest.raises(ValueError, match="fewer than the 2 of a block"):
        HogTable(size=15, cell=8, block=2)


@pytest.mark.parametrize("name", ["hf-hub:me/mine", "hf_hub:me/mine.v1", "hf-hub:me/mine@main"])
def test_weights_of_the_hub_are_those_of_a_commit(name: str) -> None:
    with pytest.raises(ValueError, match="names weights that may change; name a commit"):
        NetworkTable(timm=name)
    commit = f"{name.partition('@')[0]}@{'0a' * 20}"
    assert NetworkTable(timm=commit).timm == commit
    assert NetworkTable(timm=name, file="mine.safetensors").file == "mine.safetensors"
