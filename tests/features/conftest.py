"""Small networks with random weights on disk, and sources of random images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.source import ArraySource
from bench.features.backbone import Backbones, NetworkTable


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with weights of timm's tiny test networks."""
    import timm
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    for model in ("test_resnet", "test_vit"):
        torch.manual_seed(0)
        module = timm.create_model(model, pretrained=False)
        with torch.no_grad():
            for name, buffer in module.named_buffers():  # else every BatchNorm is nearly the identity
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 2)
        save_file(module.state_dict(), folder / f"{model}.safetensors")
        torch.save(module.state_dict(), folder / f"{model}.pth")
    return folder


@pytest.fixture(scope="session")
def backbones(weights: Path) -> Backbones:
    """Return backbones ``tiny`` (a ResNet of 64 px input) and ``vit`` beside the built-in ones."""
    fed: dict[str, Any] = {"resize": 64, "crop": 64, "mean": [0.5] * 3, "std": [0.5] * 3}
    tables = {
        "tiny": NetworkTable(timm="test_resnet", file="test_resnet.safetensors", **fed),
        "vit": NetworkTable(
            timm="test_vit", file="test_vit.safetensors", **{**fed, "resize": 160, "crop": 160}
        ),
    }
    return Backbones(tables, weights)


def random_source(n: int = 50, side: int = 32, *, seed: int = 0, name: str = "random/train") -> ArraySource:
    """Return a source of n random images."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return ArraySource(name, f"{seed:064x}", n, lambda: pixels)


@pytest.fixture
def source() -> ArraySource:
    return random_source()
