"""Networks made full: blocks that were cut off, and BatchNorm that was folded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bench.core.errors import BackboneError
from bench.features.backbone import Backbones, NetworkTable
from bench.features.restore import folded_batchnorm, folding_note, lacking_block, unfold_batchnorm
from bench.features.trainable import Trainable

CPU = torch.device("cpu")


def cut(folder: Path, blocks: tuple[int, ...], name: str = "test_resnet") -> Trainable:
    """Return a network whose weights reach only up to the last of these maps."""
    args = {"features_only": True, "out_indices": blocks}
    save_file(timm.create_model(name, pretrained=False, **args).state_dict(), folder / "cut.safetensors")
    spec = NetworkTable(timm=name, args=args, file="cut.safetensors", resize=64, mean=0, std=1)
    return Trainable(Backbones({"cut": spec}, folder).get("cut"), CPU)


def test_the_lacking_block_is_the_architectures(tmp_path: Path) -> None:
    net = cut(tmp_path, (1, 2, 3))
    assert sorted(net.blocks) == [1, 2, 3]
    before = torch.random.get_rng_state()
    first, again, other = (lacking_block(net, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    full = timm.create_model("test_resnet", pretrained=False)
    shapes = {name: tensor.shape for name, tensor in first.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in full.layer4.state_dict().items()}
    weights = [torch.cat([p.detach().flatten() for p in each.parameters()]) for each in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first(net.maps(torch.rand(2, 3, 64, 64), [3])[3]).shape[2:] == (2, 2)


def test_what_cannot_be_added_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no block 3 to put it on"):
        lacking_block(cut(tmp_path, (1, 2)), 4, 0)
    with pytest.raises(BackboneError, match="in mobilenetv2_035 it is not a single module"):
        lacking_block(cut(tmp_path, (0, 1, 2), "mobilenetv2_035"), 3, 0)
    net = cut(tmp_path, (1, 2, 3))
    foreign = net.backbone.spec.model_copy(update={"timm": None, "torchvision": "resnet18"})
    net.backbone = replace(net.backbone, spec=foreign)
    with pytest.raises(BackboneError, match="only timm's networks"):
        lacking_block(net, 4, 0)


def network(*, folded: bool) -> nn.Sequential:
    """Return two convolutions with BatchNorm, which may be folded into them."""
    generator = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for given, made in ((3, 6), (6, 4)):
        norm = nn.BatchNorm2d(made)
        with torch.no_grad():
            norm.bias.copy_(torch.randn(made, generator=generator))
            if folded:
                assert norm.running_var is not None
                norm.running_var.fill_(1 - norm.eps)
            else:
                norm.weight.uniform_(0.5, 2, generator=generator)
        layers += [nn.Conv2d(given, made, 3, bias=False), norm, nn.ReLU()]
    with torch.no_grad():
        for layer in layers[::3]:
            assert isinstance(layer, nn.Conv2d)
            layer.weight.copy_(3 * torch.randn(layer.weight.shape, generator=generator))
    return nn.Sequential(*layers).eval()


def test_unfolded_it_is_the_same_function_also_in_training() -> None:
    module, x = network(folded=True), torch.rand(32, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    before = module(x).detach()
    off = (module.train()(x) - before).abs().mean()
    module = network(folded=True)
    assert len(folded_batchnorm(module)) == 2
    assert folding_note(module)[0].startswith("2 BatchNorm layers were folded")
    assert unfold_batchnorm(module, x.split(8)) == 2
    torch.testing.assert_close(module(x), before, rtol=1e-4, atol=1e-4)
    in_training = (module.train()(x) - before).abs().mean().detach()
    assert float(in_training) < 1e-3 * float(off)
    assert unfold_batchnorm(module, x.split(8)) == 0, "once is enough"


def test_what_was_not_folded_stays_as_it_is() -> None:
    module = network(folded=False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert unfold_batchnorm(module, [torch.rand(2, 3, 12, 12)]) == 0
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert folding_note(module) == ()
    fresh = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    assert not folded_batchnorm(fresh), "a layer that was never trained is not a folded one"
