"""The built-in network: its names, its features by hand, its layers, and what it needs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.nn import functional as F

from bench.core.errors import BackboneError
from bench.data.source import Source
from bench.features import presets
from bench.features.backbone import Backbones, NetworkTable
from bench.features.efficientnet import renamed
from bench.features.network import FrozenNetwork

CPU = torch.device("cpu")
REPEATS, STRIDES, KERNELS = (1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 2, 1, 2, 1), (3, 3, 5, 3, 5, 5, 3)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Return the package's state dictionary as it is, under the names of its authors."""
    file = Backbones().get("lite0").weights_file()
    assert file is not None
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return found


@pytest.fixture(scope="module")
def lite0() -> FrozenNetwork:
    return FrozenNetwork(Backbones().get("lite0"), CPU)


@pytest.fixture(scope="module")
def photographs() -> list[NDArray[np.uint8]]:
    images: list[NDArray[np.uint8]] = load_sample_images().images
    return [*images, images[0][:300, :200], images[1][50:180]]


def fed(image: NDArray[np.uint8]) -> torch.Tensor:
    """Shorter side 256 by PIL's bicubic filter, centre 224, from -1 to 1."""
    height, width = image.shape[:2]
    longer = int(256 * max(height, width) / min(height, width))
    size = (longer, 256) if width >= height else (256, longer)
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    top, left = (round((side - 224) / 2) for side in small.shape[:2])
    return torch.from_numpy(small[top : top + 224, left : left + 224].copy()).permute(2, 0, 1) / 127.5 - 1


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """EfficientNet-Lite0 in plain functions, from its authors' names: maps by stage, and the vector."""

    def conv(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        side = x.shape[-1]
        pad = max(0, (-(-side // stride) - 1) * stride + kernel - side)  # TensorFlow's "same"
        x = F.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        return F.conv2d(x, weight, None, stride, groups=groups)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        rest = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *rest, eps=1e-3)

    out: dict[str, torch.Tensor] = {}
    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    at = 0
    for stage, (repeats, stride, kernel) in enumerate(zip(REPEATS, STRIDES, KERNELS, strict=True)):
        for place in range(repeats):
            name, before = f"_blocks.{at}", x
            if f"{name}._expand_conv.weight" in state:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            assert state[f"{name}._depthwise_conv.weight"].shape[-1] == kernel
            step = stride if place == 0 else 1
            x = F.relu6(norm(conv(x, f"{name}._depthwise_conv", step, x.shape[1]), f"{name}._bn1"))
            x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + before if step == 1 and x.shape == before.shape else x
            at += 1
        out[f"blocks.{stage}"] = x
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return out | {"": x, "classes": F.linear(x, state["_fc.weight"], state["_fc.bias"])}


def test_every_tensor_has_its_place(state: dict[str, torch.Tensor]) -> None:
    import timm

    network = timm.create_model("tf_efficientnet_lite0")
    ours = renamed(state, list(REPEATS))
    assert len(ours) == len(state) == 296
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert renamed({"_blocks.99._bn1.weight": 1, "other": 2}, [1]) == {
        "_blocks.99._bn1.weight": 1,
        "other": 2,
    }


def test_a_network_with_squeeze_and_excitation_has_its_names_too() -> None:
    theirs = {
        "_blocks.0._se_reduce.weight": 0,
        "_blocks.1._expand_conv.weight": 1,
        "_blocks.1._se_expand.bias": 2,
    }
    assert list(renamed(theirs, [1, 1])) == [
        "blocks.0.0.se.conv_reduce.weight",
        "blocks.1.0.conv_pw.weight",
        "blocks.1.0.se.conv_expand.bias",
    ]


def test_features_and_maps_are_those_by_hand(
    lite0: FrozenNetwork, state: dict[str, torch.Tensor], photographs: list[NDArray[np.uint8]]
) -> None:
    expected = by_hand(state, torch.stack([fed(image) for image in photographs]))
    pixels = lite0.on_host(photographs)
    pooled = lite0.pooled(pixels)
    assert pooled.shape == (4, 1280)
    torch.testing.assert_close(pooled, expected[""], rtol=1e-5, atol=1e-5)
    layers = [name for name in expected if name.startswith("blocks")]
    maps = lite0.maps(pixels, layers)
    sides = {"blocks.0": 112, "blocks.1": 56, "blocks.2": 28, "blocks.3": 14, "blocks.4": 14, "blocks.5": 7}
    for layer in layers:
        assert (maps[layer] - expected[layer]).norm() < 1e-5 * expected[layer].norm()
        assert maps[layer].shape[-1] == sides.get(layer, 7)
    # 698 palace and 442 bell cote would do for the temple as well; 985 is a daisy, 986 a lady's slipper.
    classes = expected["classes"].argmax(1).tolist()
    assert classes[0] in (442, 663, 698, 832)
    assert 984 <= classes[1] <= 987 or classes[1] == 723


@pytest.mark.data
def test_cifar_features_are_those_of_timm_after_pil(
    real_data: Path, lite0: FrozenNetwork, state: dict[str, torch.Tensor]
) -> None:
    import timm

    file = pq.ParquetFile(real_data / "cifar10" / "plain_text" / "test-00000-of-00001.parquet")
    table = next(file.iter_batches(2000))["img"].to_pylist()
    rows = np.random.default_rng().permutation(len(table))[:24]
    images = [np.asarray(Image.open(io.BytesIO(table[row]["bytes"])).convert("RGB")) for row in rows]
    network: Any = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(renamed(state, list(REPEATS)))
    with torch.inference_mode():
        before = network.forward_features(torch.stack([fed(image) for image in images]))
        expected = network.forward_head(before, pre_logits=True)
    pooled = lite0.pooled(lite0.on_host(np.stack(images)))
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)


def test_it_is_what_is_taken_where_none_is_named() -> None:
    assert Backbones().get("default").identity() == Backbones().get("lite0").identity()
    assert presets.DEFAULT == "lite0"


def test_whole_images(photographs: list[NDArray[np.uint8]]) -> None:
    whole = Backbones().get("lite0[resize=[128,160],crop=none]")
    assert whole.identity() != Backbones().get("lite0").identity()
    network = FrozenNetwork(whole, CPU)
    maps = network.maps(network.on_host(photographs), ["blocks.2", "blocks.4"])
    assert maps["blocks.2"].shape == (4, 40, 16, 20)
    assert maps["blocks.4"].shape == (4, 112, 8, 10)
    table = NetworkTable.model_validate({"preset": "lite0", "resize": [128, 160], "crop": "none"})
    assert Backbones({"wide": table}).get("wide").identity() == whole.identity()


def test_a_package_that_is_not_there_is_named(tmp_path: Path, source: Source) -> None:
    del source
    table = NetworkTable(timm="resnet18", file="package:no_such_package/models/x.pth")
    with pytest.raises(BackboneError, match=r"'no_such_package', which is not installed: .* no-such-package"):
        Backbones({"mine": table}, tmp_path).get("mine").identity()
    table = NetworkTable(timm="resnet18", file="package:timm/none.pth")
    with pytest.raises(BackboneError, match=r"is missing; looked at .*none\.pth"):
        Backbones({"mine": table}, tmp_path).get("mine").identity()
    table = NetworkTable(timm="resnet18", file="package:../timm/none.pth")
    with pytest.raises(BackboneError, match="not installed"):
        Backbones({"mine": table}, tmp_path).get("mine").identity()
