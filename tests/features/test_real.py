"""Real images through a real ImageNet-pretrained network: the device pipeline against PIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bench.data.source import ArraySource, EncodedSource, Source
from bench.features.backbone import Backbones, NetworkTable
from bench.features.nearest import nearest
from bench.features.provider import FeatureProvider

pytestmark = pytest.mark.data

MNV2 = NetworkTable(
    timm="mobilenetv2_100",
    args={"pad_type": "same", "num_classes": 1001},
    file="weights/mobilenetv2_100.tf_in1k.safetensors",
    resize=256,
    crop=224,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
R18 = NetworkTable(
    timm="resnet18",
    args={"features_only": True, "out_indices": [1, 2, 3]},
    file="weights/resnet18.tv1_in1k.to_layer3.safetensors",
)


def cifar(folder: Path, n: int) -> tuple[Source, NDArray[np.int64]]:
    """Return the first n test images of CIFAR-10 and their labels."""
    from io import BytesIO

    import pyarrow.parquet as pq
    from PIL import Image

    file = pq.ParquetFile(folder / "cifar10" / "plain_text" / "test-00000-of-00001.parquet")
    table = next(file.iter_batches(n))
    pixels = np.stack(
        [np.asarray(Image.open(BytesIO(row["bytes"])).convert("RGB")) for row in table["img"].to_pylist()]
    )
    return ArraySource("cifar10/test", "d" * 64, n, lambda: pixels), np.array(table["label"].to_pylist())


def folder_source(files: list[Path]) -> Source:
    return EncodedSource(
        "files", "e" * 64, len(files), lambda row: files[row].read_bytes(), lambda row: str(files[row])
    )


@pytest.fixture
def provider(real_data: Path, tmp_path: Path) -> FeatureProvider:
    del real_data
    return FeatureProvider(Backbones({"mnv2": MNV2, "r18": R18}), cache=tmp_path)


def apart(one: torch.Tensor, two: torch.Tensor) -> float:
    return float(((one - two).norm(dim=1) / two.norm(dim=1)).max())


def test_cifar_pipelines_agree(real_data: Path, provider: FeatureProvider) -> None:
    source, labels = cifar(real_data, 300)
    rows = np.arange(300)
    device = provider.features(source, rows, "mnv2")
    pil = provider.features(source, rows, "mnv2[pipeline=pil]")
    assert apart(device, pil) < 0.01
    for wanted in (1, 8):
        normal = np.flatnonzero(labels == wanted)
        test = np.r_[normal[12:], np.flatnonzero(labels != wanted)]
        areas = []
        for features in (device, pil):
            found = nearest(features[test], features[normal[:12]], 2)
            areas.append(roc_auc_score(labels[test] != wanted, found.distances.sum(1)))
        assert abs(areas[0] - areas[1]) < 0.001
        assert areas[0] > 0.6


def test_large_images_agree(real_data: Path, provider: FeatureProvider) -> None:
    files = sorted((real_data / "mvtec_loco" / "juice_bottle" / "train").rglob("*.png"))[:24]
    files += sorted((real_data / "mvtec" / "toothbrush" / "train").rglob("*.png"))[:8]
    source = folder_source(files)
    rows = np.arange(len(files))
    assert (
        apart(provider.features(source, rows, "mnv2"), provider.features(source, rows, "mnv2[pipeline=pil]"))
        < 0.01
    )


def test_maps_of_a_network_that_was_cut_off(real_data: Path, provider: FeatureProvider) -> None:
    source, _ = cifar(real_data, 20)
    maps = provider.feature_maps(source, np.arange(20), "r18", ["layer1", "layer2", "layer3"])
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(64, 56, 56), (128, 28, 28), (256, 14, 14)]
    pooled = provider.features(source, np.arange(20), "r18")
    torch.testing.assert_close(pooled, maps["layer3"].mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mnv2", "r18"])
def test_features_are_bit_identical_whatever_the_grouping(
    real_data: Path, tmp_path: Path, provider: FeatureProvider, name: str
) -> None:
    source, _ = cifar(real_data, 40)
    whole = provider.features(source, np.arange(40), name)
    alone = FeatureProvider(provider.backbones, cache=tmp_path / "other")
    for rows in (np.array([7]), np.array([39, 3, 12]), np.arange(0, 40, 2)):
        assert torch.equal(alone.features(source, rows, name), whole[rows])
