"""Restoring networks before they are trained in full: missing blocks, folded BatchNorm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.core.errors import BackboneError
from bench.data.pixelrows import PixelRows
from bench.features.spec import NetworkTable
from bench.features.trainable import Trainable, named_blocks

#: Training images for the statistics of folded BatchNorm, and how many are read at once.
STATISTICS, _READ = 64, 16
#: Arguments with which timm cuts a network down to its maps.
_CUT = ("features_only", "out_indices", "out_features", "output_stride")


def restored(
    net: Trainable, pictures: PixelRows, feed: Callable[[torch.Tensor], torch.Tensor], seed: int
) -> tuple[nn.Module | None, tuple[str, ...]]:
    """Give a network what it is missing before all of it is trained.

    Parameters
    ----------
    net : Trainable
        Its folded BatchNorm layers get statistics (`unfold_batchnorm`).
    pictures : PixelRows
        Training images, of which the first `STATISTICS` are for these.
    feed : callable
        From pixels, shape (b, 3, h, w), uint8, to the network's input.
    seed : int
        Of a last block at stride 32 that has no weights.

    Returns
    -------
    nn.Module or None
        The last block, if the network has none (`lacking_block`).
    tuple of str
        What the record should say.
    """
    rows = np.arange(min(len(pictures), STATISTICS))
    parts = (feed(pictures[rows[at : at + _READ]]) for at in rows[::_READ])
    notes: tuple[str, ...] = ()
    if folded := unfold_batchnorm(net.module, parts):
        notes += (
            f"{folded} BatchNorm layers were folded into the weights: their statistics are those of "
            f"{len(rows)} training images, their scale and shift follow from these",
        )
    if 4 in net.blocks:
        return None, notes
    last = lacking_block(net, 4, seed)
    return last, (*notes, f"block 4 of {net.backbone.name} has no weights: it started from chance")


def lacking_block(net: Trainable, block: int, seed: int) -> nn.Module:
    """Return a block that a cut-down network is missing, initialised at random as its architecture does.

    For networks whose weights end early (timm's ``features_only``).

    Parameters
    ----------
    net : Trainable
        It must have block ``block - 1``.
    seed : int

    Returns
    -------
    nn.Module
        From the maps of block ``block - 1`` to those of `block`; in training mode, on the network's device.

    Raises
    ------
    BackboneError
        The full network is unknown, or the block is not a module that follows the one before.
    """
    spec = net.backbone.spec
    assert isinstance(spec, NetworkTable)
    said = f"backbone {net.backbone.name}: it has no block {block}, and"
    if block - 1 not in net.blocks:
        raise BackboneError(f"{said} no block {block - 1} to put it on")
    if spec.timm is None:
        raise BackboneError(f"{said} only timm's networks can be completed; name one (timm = ...)")
    import timm

    args: dict[str, Any] = {name: value for name, value in spec.args.items() if name not in _CUT}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        full = timm.create_model(spec.timm, pretrained=False, **args)
    blocks = named_blocks(full)
    children = [name for name, _ in full.named_children()]
    before, wanted = blocks.get(block - 1, ""), blocks.get(block, "")
    if not {before, wanted} <= set(children) or children.index(wanted) != children.index(before) + 1:
        raise BackboneError(f"{said} in {spec.timm} it is not a single module that could be added")
    return full.get_submodule(wanted).to(net.device).to(memory_format=torch.channels_last)


def folded_batchnorm(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the BatchNorm layers whose scale and statistics were folded into the convolution before.

    They have weight 1, mean 0 and variance 1, but a bias; in evaluation the network is unchanged.
    """
    layers = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d) and each.affine]
    return [
        each
        for each in layers
        if bool((each.weight == 1).all() and each.bias.any())
        and each.running_mean is not None
        and not bool(each.running_mean.any())
    ]


def folding_note(module: nn.Module) -> tuple[str, ...]:
    """Return what a record should say of folded BatchNorm layers that are trained; nothing without any."""
    layers = len(folded_batchnorm(module))
    said = (
        f"{layers} BatchNorm layers were folded into the weights before them: their scale and shift are "
        "trained on neutral statistics, which is not quite the training of the original network"
    )
    return (said,) if layers else ()


def unfold_batchnorm(module: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Give folded BatchNorm layers the statistics of images, and the scale and shift to match.

    In evaluation the network computes the same as before; in training, where each mini-batch is normalised by
    its own statistics, it now computes nearly that, and no longer something far from it.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    batches : iterable of Tensor, shape (b, 3, h, w)
        The network's input.

    Returns
    -------
    int
        Number of folded layers.
    """
    layers = folded_batchnorm(module)
    sums = {layer: torch.zeros(3, layer.num_features, dtype=torch.float64) for layer in layers}

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d)
        x = given[0].double().transpose(0, 1).flatten(1)
        counted = torch.full_like(x[:, 0], x.shape[1])
        sums[layer] += torch.stack([counted, x.sum(1), x.square().sum(1)]).cpu()

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.no_grad():
        try:
            for batch in batches if layers else ():
                module(batch)
        finally:
            for hook in hooks:
                hook.remove()
        for layer, (count, total, squares) in sums.items():
            mean = total / count
            _restate(layer, mean, (squares / count - mean.square()).clamp(min=0))
    return len(layers)


def _restate(layer: nn.BatchNorm2d, mean: torch.Tensor, var: torch.Tensor) -> None:
    """Change a layer's statistics, and its weight and bias so that it computes the same."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = layer.weight.cpu().double() / (layer.running_var.cpu().double() + layer.eps).sqrt()
    shift = layer.bias.cpu().double() + (mean - layer.running_mean.cpu().double()) * scale
    layer.weight.copy_(scale * (var + layer.eps).sqrt())
    layer.bias.copy_(shift)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(var)
