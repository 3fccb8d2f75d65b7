"""PANDA's training steps against a reference that loads and trains as its authors do.

The reference brings every image of 32 px to 224 px by PIL each time that it is drawn, and pushes it through
the whole network. Here the frozen blocks' maps are kept, and a step runs the trained blocks alone. The aim is
at least twice the speed on a CPU, and five times with a CUDA device. On a CPU a ResNet-18 cannot get there:
97 % of our step are convolutions of the trained blocks, forward and backward, which the reference runs too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from bench import Images, epoch_rows
from bench.data.source import ArraySource
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from bench.suite.registry import Registry
from tests.pictures import surfaces

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PARAMS = {"backbone": "net", "batch": 32, "lr": 0.1, "clip": 0.05}


@pytest.fixture
def sizes(benchmark: Any) -> tuple[str, int, int, int, int]:
    """Return network, resize, crop, images and steps: the published ones, or a sketch as a plain test."""
    if not benchmark.enabled:
        return "test_resnet", 40, 32, 40, 2
    return (
        "resnet18" if DEVICE.type == "cpu" else "resnet152",
        256,
        224,
        96,
        3 if DEVICE.type == "cpu" else 50,
    )


@pytest.fixture
def train(sizes: tuple[str, int, int, int, int], tmp_path: Path) -> Iterator[Images]:
    import timm
    from safetensors.torch import save_file

    model, resize, crop, n, _ = sizes
    torch.manual_seed(0)
    save_file(timm.create_model(model, pretrained=False).state_dict(), tmp_path / "net.safetensors")
    table = NetworkTable(timm=model, file="net.safetensors", resize=resize, crop=crop, mean=MEAN, std=STD)
    provider = FeatureProvider(Backbones({"net": table}, tmp_path), DEVICE, cache=None)
    pixels = surfaces(n, side=32)
    source = ArraySource("cifar", "cifar", n, lambda: pixels)
    yield Images.of(source).bind(provider)
    del source  # images hold theirs weakly


class Authors:
    """The training loop of the authors' code, on mini-batches with the same rows."""

    def __init__(self, train: Images, resize: int, crop: int) -> None:
        from torchvision import transforms

        self.n = len(train)
        self.pixels = surfaces(self.n, side=32)
        self.transform = transforms.Compose(
            [
                transforms.Resize(resize),
                transforms.CenterCrop(crop),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        self.module = train.network("net").module.eval().requires_grad_(False)
        self.trained = [p for n, p in self.module.named_parameters() if n.startswith(("layer3", "layer4"))]
        for parameter in self.trained:
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.SGD(self.trained, lr=PARAMS["lr"], momentum=0.9, weight_decay=5e-5)
        with torch.no_grad():
            self.centre = torch.cat(
                [self.features(range(i, min(i + 32, self.n))) for i in range(0, self.n, 32)]
            ).mean(0)

    def features(self, rows: Any) -> torch.Tensor:
        pictures = torch.stack([self.transform(Image.fromarray(self.pixels[row])) for row in rows])
        return F.adaptive_avg_pool2d(self.module.forward_features(pictures.to(DEVICE)), 1).flatten(1)

    def train(self, steps: int) -> None:
        for step in range(steps):
            self.optimiser.zero_grad()
            found = self.features(epoch_rows(self.n, PARAMS["batch"], step, 0))
            ((found - self.centre).pow(2).sum(1) / found.shape[1]).mean().backward()
            torch.nn.utils.clip_grad_norm_(self.trained, PARAMS["clip"])
            self.optimiser.step()
        settle()


def settle() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Any, *given: Any) -> float:
    settle()
    started = time.perf_counter()
    work(*given)
    settle()
    return time.perf_counter() - started


def test_steps_on_kept_maps_and_as_the_authors_take_them(
    benchmark: Any, sizes: tuple[str, int, int, int, int], train: Images
) -> None:
    *_, resize, crop, _, steps = sizes

    def fitted(steps: int) -> Any:
        method = Registry().methods["panda"].load()(**PARAMS, steps=steps)
        method.device, method.seed = DEVICE, 0
        method.fit(train)
        return method

    authors = Authors(train, resize, crop)
    without = min(seconds(fitted, 0) for _ in range(2 if benchmark.enabled else 1))
    theirs = seconds(authors.train, steps)
    ours = benchmark.pedantic(fitted, args=(steps,), rounds=2 if benchmark.enabled else 1)
    for mine, other in zip(ours.net.thawed.values(), authors.trained, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-4)
    if benchmark.enabled:
        own = (benchmark.stats.stats.min - without) / steps
        benchmark.extra_info |= {
            "as the authors ÷ on kept maps": round(theirs / steps / own, 2),
            "ms a step": round(1e3 * own, 1),
            "ms a step as the authors": round(1e3 * theirs / steps, 1),
            "s before the first step": round(without, 1),
            "device": str(DEVICE),
        }
