"""Networks: weights, layers, pooling, and features that do not depend on the batch."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import BackboneError
from bench.data.resize import resize_by_float
from bench.features.backbone import Backbones, NetworkTable, has_bfloat16
from bench.features.build import _head
from bench.features.network import FrozenNetwork
from bench.features.preprocess import on_device
from bench.run.standin import standin

CPU = torch.device("cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (21, 32, 32, 3), dtype=np.uint8)


def network(backbones: Backbones, name: str) -> FrozenNetwork:
    return FrozenNetwork(backbones.get(name), CPU)


def test_vectors_are_those_of_the_plain_network(
    backbones: Backbones, weights: Path, pixels: np.ndarray
) -> None:
    import timm
    from safetensors.torch import load_file

    tiny = network(backbones, "tiny")
    plain = timm.create_model("test_resnet", pretrained=False)
    plain.load_state_dict(load_file(weights / "test_resnet.safetensors"))
    plain.eval()
    with torch.no_grad():
        images = tiny.preprocess(pixels, CPU)
        expected = plain.forward_head(plain.forward_features(images), pre_logits=True)
        layer3 = plain.layer3(
            plain.layer2(plain.layer1(plain.maxpool(plain.act1(plain.bn1(plain.conv1(images))))))
        )
    torch.testing.assert_close(tiny.pooled(pixels), expected, rtol=1e-4, atol=1e-5)
    maps = tiny.maps(pixels, ["layer3", "layer1"])
    torch.testing.assert_close(maps["layer3"], layer3, rtol=1e-4, atol=1e-5)
    assert maps["layer1"].shape[:1] == (21,)
    pooled = network(backbones, "tiny[layer=layer3]").pooled(pixels)
    torch.testing.assert_close(pooled, layer3.mean((2, 3)), rtol=1e-4, atol=1e-5)
    highest = network(backbones, "tiny[layer=layer3,pool=max]").pooled(pixels)
    torch.testing.assert_close(highest, layer3.amax((2, 3)), rtol=1e-4, atol=1e-5)
    flat = network(backbones, "tiny[layer=layer3,pool=flatten]").pooled(pixels)
    torch.testing.assert_close(flat, layer3.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny", "tiny[layer=layer2]", "vit"])
def test_features_are_bit_identical_whatever_the_grouping(
    backbones: Backbones, pixels: np.ndarray, name: str
) -> None:
    net = network(backbones, name)
    together = net.pooled(pixels)
    random = np.random.default_rng(1)
    for size in (1, 2, 5, 16, 17):
        rows = random.permutation(len(pixels))[:size]
        assert torch.equal(net.pooled(pixels[rows]), together[rows])


@pytest.mark.skipif(not has_bfloat16(), reason="needs a CPU with instructions for bfloat16")
def test_bfloat16_on_a_cpu_is_near_float32(backbones: Backbones, pixels: np.ndarray) -> None:
    half, whole = (network(backbones, name).pooled(pixels) for name in ("tiny[precision=bfloat16]", "tiny"))
    assert half.dtype == torch.float32
    assert not torch.equal(half, whole)
    assert (half - whole).norm() < 0.02 * whole.norm()
    again = network(backbones, "tiny[precision=bfloat16]").pooled(pixels[5:7])
    assert torch.equal(again, half[5:7]), "whatever an image's company"


def test_a_network_whose_features_depend_on_the_place_runs_one_by_one(
    backbones: Backbones,
    pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = network(backbones, "tiny")
    forward = net._forward

    def shaky(images: torch.Tensor, *given: object) -> dict[str, torch.Tensor]:
        return {
            key: value + torch.arange(len(value))[:, None]
            for key, value in forward(images, *given).items()  # type: ignore[arg-type]
        }

    monkeypatch.setattr(net, "_forward", shaky)
    together = net.pooled(pixels)
    assert net.batch_size == 1
    assert "one by one" in caplog.text
    assert torch.equal(net.pooled(pixels[7:9]), together[7:9])


def test_the_batch_shrinks_when_memory_runs_out(
    backbones: Backbones,
    pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = network(backbones, "tiny")
    expected = net.pooled(pixels)
    forward = net._forward

    def small(images: torch.Tensor, *given: object) -> dict[str, torch.Tensor]:
        if len(images) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return forward(images, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(net, "_forward", small)
    torch.testing.assert_close(net.pooled(pixels), expected)
    assert net.batch_size == 4
    assert "out of memory; continuing in batches of 4" in caplog.text
    monkeypatch.setattr(net, "_forward", lambda *_: (_ for _ in ()).throw(RuntimeError("no such kernel")))
    with pytest.raises(RuntimeError, match="no such kernel"):
        net.pooled(pixels)


def test_the_batch_shrinks_when_memory_runs_out_for_the_images_themselves(
    backbones: Backbones, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(backbones, "tiny")
    expected, prepare, alive = net.pooled(pixels), net.preprocess, list[weakref.ref[torch.Tensor]]()

    def small(images: np.ndarray, device: torch.device) -> torch.Tensor:
        assert not any(each() is not None for each in alive), "what failed must be gone"
        if len(images) > 3:
            held = torch.zeros(4)
            alive.append(weakref.ref(held))
            raise RuntimeError("CUDA error: out of memory")
        return prepare(images, device)

    monkeypatch.setattr(net, "preprocess", small)
    torch.testing.assert_close(net.pooled(pixels), expected)
    assert len(alive) >= 1
    assert net.batch_size <= 3


def test_full_size_images_reach_a_gpu_in_parts(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink = lambda images: resize_by_float(images, (8, 8), "bilinear")  # noqa: E731
    whole = on_device(pixels, torch.device("cpu"), shrink)
    monkeypatch.setattr("bench.data.resize.DEVICE_BYTES", 2 * pixels[:1].nbytes)
    with standin() as counts:
        found = on_device(pixels, torch.device("cuda"), shrink)
        assert counts.totals()["to_device"] == -(-len(pixels) // 2)
        assert found.is_cuda
        assert torch.equal(found.cpu(), whole)


def test_a_methods_precision_reaches_a_network_in_training_but_no_frozen_one(
    backbones: Backbones, pixels: np.ndarray
) -> None:
    net, seen = network(backbones, "tiny"), list[torch.dtype]()
    expected, images = net.pooled(pixels), net.preprocess(pixels, torch.device("cpu"))
    first = next(m for m in net.module.modules() if isinstance(m, torch.nn.Conv2d))
    first.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net.vectors(images)
        assert torch.equal(net.pooled(pixels), expected)
    assert seen[0] == torch.bfloat16
    assert set(seen[1:]) == {torch.float32}


def test_transformers_have_tokens_and_maps(backbones: Backbones, pixels: np.ndarray) -> None:
    net = network(backbones, "vit")
    last = [name for name in net._modules if name.startswith("blocks.") and name.count(".") == 1][-1]
    maps = net.maps(pixels[:3], [last])[last]
    assert maps.ndim == 4
    assert maps.shape[2] == maps.shape[3]
    means = network(backbones, f"vit[layer={last},pool=avg]").pooled(pixels[:3])
    torch.testing.assert_close(maps.mean((2, 3)), means, rtol=1e-4, atol=1e-5)
    token = network(backbones, f"vit[layer={last}]").pooled(pixels[:3])
    assert token.shape == means.shape
    assert not torch.allclose(token, means)


def test_width_groups_the_vector_and_batchnorm_is_fresh(backbones: Backbones, pixels: np.ndarray) -> None:
    plain = network(backbones, "tiny[layer=layer3]").pooled(pixels)
    d = plain.shape[1]
    wide = network(backbones, f"tiny[layer=layer3,width={d * 3 // 2}]").pooled(pixels)
    # PLUME: 2 entries become 3, (x0, (x0 + x1) / 2, x1).
    torch.testing.assert_close(wide[:, 0::3], plain[:, 0::2])
    torch.testing.assert_close(wide[:, 1::3], (plain[:, 0::2] + plain[:, 1::2]) / 2)
    normed = network(backbones, "tiny[layer=layer3,norm=batchnorm]").pooled(pixels)
    fresh = torch.nn.BatchNorm1d(d, affine=False).eval()
    torch.testing.assert_close(normed, fresh(plain))


def test_a_network_whose_features_depend_on_the_batch_runs_image_by_image(
    backbones: Backbones,
    pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = network(backbones, "tiny")
    plain, forward, last = network(backbones, "tiny").pooled(pixels[:3]), net._forward, []

    def dependent(images: torch.Tensor, *more: object) -> dict[str, torch.Tensor]:
        last.append(images.is_contiguous(memory_format=torch.channels_last))
        return {name: out + torch.arange(len(out))[:, None] for name, out in forward(images, *more).items()}

    monkeypatch.setattr(net, "_forward", dependent)
    found = net.pooled(pixels[:3])
    assert net.batch_size == 1
    assert "features depend on the place in a batch of 16; running images one by one" in caplog.text
    assert all(last), "tried as images are given"
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)


def test_torchvision_gives_what_its_classifier_gets(tmp_path: Path, pixels: np.ndarray) -> None:
    from torchvision.models import get_model

    torch.manual_seed(0)
    module = get_model("resnet18", weights=None).eval()
    torch.save(module.state_dict(), tmp_path / "r18.pth")
    table = NetworkTable(torchvision="resnet18/IMAGENET1K_V1", file="r18.pth", resize=64, crop=56)
    found = Backbones({"mine": table}, tmp_path)
    net = network(found, "mine")
    assert net.preprocess.mean == (0.485, 0.456, 0.406)
    pooled = net.pooled(pixels[:3])
    seen: list[torch.Tensor] = []
    module.fc.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        module(net.preprocess(pixels[:3], CPU))
    torch.testing.assert_close(pooled, seen[0], rtol=1e-4, atol=1e-5)
    assert pooled.shape == (3, 512)
    same = network(found, "mine[layer=layer4]").pooled(pixels[:3])
    torch.testing.assert_close(pooled, same, rtol=1e-4, atol=1e-5)


def test_preprocessing_comes_from_the_model_unless_said(weights: Path) -> None:
    table = NetworkTable(timm="test_vit", file="test_vit.safetensors")
    own = network(Backbones({"mine": table}, weights), "mine").preprocess
    assert own.crop == (160, 160)
    assert own.interpolation == "bicubic"
    told = network(Backbones({"mine": table}, weights), "mine[resize=200,crop=160]").preprocess
    assert (told.resize, told.crop, told.interpolation) == (200, 160, "bilinear")


def test_torch_files_and_safetensors_are_the_same(
    backbones: Backbones, weights: Path, pixels: np.ndarray
) -> None:
    one = network(backbones, "tiny").pooled(pixels[:2])
    two = network(backbones, f"tiny[file={weights / 'test_resnet.pth'}]").pooled(pixels[:2])
    assert torch.equal(one, two)


def test_an_unknown_layer_lists_the_layers(backbones: Backbones, pixels: np.ndarray) -> None:
    with pytest.raises(BackboneError) as caught:
        network(backbones, "tiny[layer=layr3]").pooled(pixels)
    assert "did you mean 'layer3'" in str(caught.value)
    assert "layer1, " in str(caught.value)
    with pytest.raises(BackboneError, match="not maps"):
        network(backbones, "tiny").maps(pixels, ["global_pool"])


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_truncated_weights_name_the_file_and_its_hash(
    backbones: Backbones, weights: Path, tmp_path: Path, ending: str
) -> None:
    content = (weights / f"test_resnet.{ending}").read_bytes()
    file = tmp_path / f"cut.{ending}"
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError, match=r"cut\.\w+ cannot be read as weights \(sha256 [0-9a-f]{64}"):
        network(backbones, f"tiny[file={file}]")


def test_weights_of_another_network_are_refused(backbones: Backbones, weights: Path) -> None:
    with pytest.raises(BackboneError, match="do not fit the network: missing from the file"):
        network(backbones, f"tiny[file={weights / 'test_vit.safetensors'}]")
    with pytest.raises(BackboneError, match=r"has shape \(\d+, \d+\) instead of \(7, \d+\)"):
        network(backbones, 'tiny[args={"num_classes":7}]')


def test_pickled_objects_are_never_loaded(backbones: Backbones, tmp_path: Path) -> None:
    torch.save({"weight": Path("x")}, tmp_path / "evil.pth")
    with pytest.raises(BackboneError, match="cannot be read as weights"):
        network(backbones, f"tiny[file={tmp_path / 'evil.pth'}]")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="is not a plain table of tensors"):
        network(backbones, f"tiny[file={tmp_path / 'list.pth'}]")


def test_a_network_that_cannot_be_built_says_why(backbones: Backbones) -> None:
    with pytest.raises(BackboneError, match=r"cannot be built.*nonsense"):
        network(backbones, 'tiny[args={"nonsense":1}]')
    with pytest.raises(BackboneError, match="no weights 'IMAGENET1K_V9'; available: IMAGENET1K_V1"):
        network(Backbones(), "torchvision:resnet18/IMAGENET1K_V9")


def test_images_too_small_are_named_with_the_mend(tmp_path: Path, pixels: np.ndarray) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("inception_v3", num_classes=0).state_dict(), tmp_path / "it.safetensors")
    table = NetworkTable(
        timm="inception_v3", args={"num_classes": 0}, file="it.safetensors", resize=16, crop=16
    )
    small = network(Backbones({"small": table}, tmp_path), "small")
    with pytest.raises(BackboneError, match=r"backbone small: images of 16 px are too small .*larger"):
        small.pooled(pixels[:2])


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_network_of_several_outputs_gives_its_last(kind: type) -> None:
    class Several(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> object:
            return kind([images, images + 1, images + 2])

    assert _head(Several())(torch.zeros(1)).item() == 2
