"""A backbone's own copy, to be trained: which parts, from where, and with whose features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BackboneError, DataError
from bench.data.images import Images
from bench.data.pixelrows import PixelRows
from bench.data.source import ArraySource, Source
from bench.features import trainable
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider


class Uneven(Source):
    """Images of different sizes."""

    name, fingerprint = "uneven", "f" * 64

    def __len__(self) -> int:
        return 5

    def read(self, rows: Any) -> list[Any]:
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, (40 + int(row), 30, 3), dtype=np.uint8) for row in rows]


@pytest.fixture
def images(backbones: Backbones, source: ArraySource) -> Images:
    return Images.of(source)[:20].bind(FeatureProvider(backbones, cache=None))


def table(backbones: Backbones, **more: Any) -> Backbones:
    known = backbones._tables["tiny"].model_dump(exclude_unset=True)
    return Backbones({"tiny": NetworkTable(**{**known, **more})}, backbones._folder)


def test_blocks_are_what_ends_at_each_stride(images: Images) -> None:
    assert images.network("tiny").blocks == {k: f"layer{k}" for k in range(1, 5)}
    with pytest.raises(BackboneError, match="no block 3; its blocks, by stride: none"):
        images.network("vit").thaw(3)
    with pytest.raises(BackboneError, match="cannot be trained"):
        images.network("pixels")


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_thawed_is_what_lies_behind_and_is_used(images: Images, first: int) -> None:
    network = images.network("tiny")
    names = list(network.thaw(first))
    expected = [
        name
        for name, _ in network.module.named_parameters()
        if name.startswith("layer") and int(name[5]) >= first
    ]
    assert names == expected  # without the classifier, on which features do not depend
    assert {n for n, p in network.module.named_parameters() if p.requires_grad} == set(names)
    assert not network.module.training


@pytest.mark.parametrize("first", [1, 2, 3, 4])
@pytest.mark.parametrize("read", [{}, {"layer": "layer4", "pool": "avg"}, {"layer": "layer3", "pool": "max"}])
def test_before_training_features_are_the_frozen_ones(
    backbones: Backbones, source: ArraySource, first: int, read: dict[str, Any]
) -> None:
    if first == 4 and "layer3" in read.values():
        pytest.skip("nothing is left to train")
    images = Images.of(source)[:10].bind(FeatureProvider(table(backbones, **read), cache=None))
    network = images.network("tiny")
    network.thaw(first)
    inputs = network.inputs(images)
    torch.testing.assert_close(network.features(inputs), images.features("tiny"), rtol=1e-5, atol=1e-6)


def test_the_frozen_front_is_left_out_of_every_step(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    by_maps = images.network("tiny")
    by_maps.thaw(3)
    maps = by_maps.inputs(images)
    assert maps[np.arange(2)].shape[1] == 48  # layer2's channels
    monkeypatch.setattr(trainable, "MAPS_BYTES", 0)
    by_pixels = images.network("tiny")
    by_pixels.thaw(3)
    pixels = by_pixels.inputs(images)
    assert pixels[np.arange(2)].shape == (2, 3, 64, 64)
    rows = np.arange(8)
    for network, inputs in ((by_maps, maps), (by_pixels, pixels)):
        network(inputs[rows]).square().sum().backward()
    assert all(p.grad is not None for p in by_maps.thawed.values())
    assert all(p.grad is None for n, p in by_maps.module.named_parameters() if n not in by_maps.thawed)
    for name, parameter in by_maps.thawed.items():
        torch.testing.assert_close(parameter.grad, by_pixels.thawed[name].grad, rtol=1e-3, atol=1e-5)
    names = [name for name, _ in by_maps.module.named_parameters()]
    assert names == [name for name, _ in images.network("tiny").module.named_parameters()]


def test_a_network_that_cannot_be_divided_runs_whole(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    network = images.network("tiny")
    # As if its forward pass did more than run one child after the other.
    monkeypatch.setattr(type(network.module), "forward_features", _doubling(type(network.module)))
    network.thaw(3)
    assert network.inputs(images)[np.arange(2)].shape[1] == 3


def _doubling(kind: Any) -> Any:
    original = kind.forward_features
    return lambda self, x: original(self, x * 2)


def test_features_do_not_depend_on_the_company(images: Images) -> None:
    network = images.network("tiny")
    network.thaw(3)
    together = network.features(network.inputs(images))
    alone = network.features(network.inputs(images[[7]]))
    assert torch.equal(alone[0], together[7])


def test_every_network_is_a_copy_of_its_own(images: Images) -> None:
    first, second = images.network("tiny"), images.network("tiny")
    with torch.no_grad():
        for parameter in first.module.parameters():
            parameter.zero_()
    assert any(bool(parameter.any()) for parameter in second.module.parameters())
    assert bool(images.features("tiny").any())


def test_maps_and_logits_carry_gradients(images: Images) -> None:
    network = images.network("tiny")
    network.module.requires_grad_(True)
    prepared = network.prepare(next(images[:4].batches(4)))
    maps = network.maps(prepared, (2, 3, 4))
    assert [tuple(m.shape) for m in maps.values()] == [(4, 48, 8, 8), (4, 192, 4, 4), (4, 96, 2, 2)]
    assert all(m.requires_grad for m in maps.values())
    frozen = images.network("tiny")
    frozen.thaw(3)
    logits = network.logits(prepared)
    assert logits.shape == (4, 1000)
    torch.testing.assert_close(frozen.logits(frozen.inputs(images)[np.arange(4)]), logits)


def test_a_network_without_its_classifier_has_no_logits(tmp_path: Path, source: ArraySource) -> None:
    import timm
    from safetensors.torch import save_file

    args = {"features_only": True, "out_indices": [1, 2, 3]}
    save_file(timm.create_model("test_resnet", **args).state_dict(), tmp_path / "to3.safetensors")
    spec = NetworkTable(
        timm="test_resnet", args=args, file="to3.safetensors", resize=64, crop=64, layer="layer3", pool="avg"
    )
    network = (
        Images.of(source).bind(FeatureProvider(Backbones({"to3": spec}, tmp_path), cache=None)).network("to3")
    )
    assert set(network.thaw(3)) == {n for n, _ in network.module.named_parameters() if n.startswith("layer3")}
    with pytest.raises(BackboneError, match="no block 4"):
        network.thaw(4)
    with pytest.raises(BackboneError, match="no classifier"):
        network.logits(torch.zeros(1, 3, 64, 64))


def test_images_too_small_for_the_network(tmp_path: Path, source: ArraySource) -> None:
    import timm
    from safetensors.torch import save_file

    module = timm.create_model("vgg11", features_only=True)
    save_file(module.state_dict(), tmp_path / "vgg.safetensors")
    last = module.feature_info.info[-1]["module"].replace(".", "_")
    spec = NetworkTable(
        timm="vgg11", args={"features_only": True}, file="vgg.safetensors", resize=16, crop=16, layer=last
    )
    images = Images.of(source).bind(FeatureProvider(Backbones({"vgg": spec}, tmp_path), cache=None))
    with pytest.raises(BackboneError, match="images of 16 px are too small"):
        images.network("vgg").thaw(4)


def test_images_are_read_once(source: ArraySource, backbones: Backbones) -> None:
    images = Images.of(source).bind(FeatureProvider(backbones, cache=None))
    kept, streamed = PixelRows(images, (16, 16)), PixelRows(images, (16, 16), keep_bytes=0)
    assert kept.shape == streamed.shape == (3, 16, 16)
    for rows in (np.array([4, 1, 4]), np.arange(20)):
        assert torch.equal(kept[rows], streamed[rows])
        assert kept[rows].dtype == torch.uint8
    read: list[int] = []
    provider: Any = images._provider
    original = provider.pixels
    provider.pixels = lambda source, rows, size: read.extend(rows) or original(source, rows, size)
    kept[np.arange(10)]
    assert not read
    streamed[np.arange(10)]
    assert read == list(range(10))


def test_images_of_different_sizes_are_brought_to_one(backbones: Backbones) -> None:
    source = Uneven()
    images = Images.of(source).bind(FeatureProvider(backbones, cache=None))
    with pytest.raises(DataError, match="differ in size"):
        PixelRows(images)[np.arange(5)]
    network = images.network("tiny")
    assert network.inputs(images)[np.arange(5)].shape == (5, 3, 64, 64)
