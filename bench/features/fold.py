"""BatchNorm folded into the convolution before it, for inference: one pass over the maps less for each.

In evaluation a BatchNorm is y = x·s + t with s = γ / √(σ² + ε) and t = β − μ·s, so that a convolution with
the weights W·s and the bias b·s + t gives its output.

References
----------
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, equation 14.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

#: Kinds whose forward pass is known. Others (weight standardisation, say) are left as they are.
_CONVOLUTIONS, _NORMS = ("Conv2d", "Conv2dSame"), ("BatchNorm2d", "BatchNormAct2d")
#: The largest change of the output that is rounding, relative to its length.
TOLERANCE = 1e-4


def folded(
    module: nn.Module, pooled: Callable[[nn.Module], Callable[[torch.Tensor], torch.Tensor]], side: int
) -> tuple[nn.Module, frozenset[str]]:
    """Return a copy of a network with its BatchNorms folded, and the modules whose outputs that changed.

    A BatchNorm is folded if what it gets is what a convolution gave, in the one call of each. The folded
    network is compared with the first one, which is returned where they differ (another module also used
    the convolution's output), or where the image is too small for it.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode, on the CPU.
    pooled : callable
        A network to the function that runs it.
    side : int
        Of the image to try, in pixels.
    """
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            pairs, same, before = _pairs(module, pooled(module), image)
        except RuntimeError as error:  # told where images come
            log.debug("BatchNorm stays unfolded: %s", error)
            return module, frozenset()
        if not pairs:
            return module, frozenset()
        other = copy.deepcopy(module)
        for convolution, norm in pairs.items():
            _fold(other, convolution, norm)
        after = pooled(other)(image)
    change = float((after - before).norm() / before.norm().clamp(min=1e-12))
    if not change < TOLERANCE:
        log.info("BatchNorm stays unfolded: the features would change by %.1e of their length", change)
        return module, frozenset()
    return other, frozenset(name for name, convolution in same.items() if convolution in pairs)


def _pairs(
    module: nn.Module, run: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor
) -> tuple[dict[str, str], dict[str, str], torch.Tensor]:
    """Return which BatchNorm follows which convolution, which modules give a convolution's output (it, and
    containers that end in it), and the network's output."""
    given: dict[int, tuple[str, torch.Tensor]] = {}  # by identity; the tensors stay alive for that
    found: dict[str, str] = {}
    same: dict[str, str] = {}
    calls: Counter[str] = Counter()

    def gave(name: str, convolution: bool) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if convolution and isinstance(output, torch.Tensor):
                calls[name] += 1
                given[id(output)] = (name, output)
            if id(output) in given:
                same[name] = given[id(output)][0]

        return hook

    def normalised(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            calls[name] += 1
            if id(inputs[0]) in given:
                found[given[id(inputs[0])][0]] = name

        return hook

    hooks = []
    for name, part in module.named_modules():
        hooks.append(part.register_forward_hook(gave(name, type(part).__name__ in _CONVOLUTIONS)))
        if type(part).__name__ in _NORMS and part.running_mean is not None:
            hooks.append(part.register_forward_pre_hook(normalised(name)))
    try:
        output = run(image)
    finally:
        for hook in hooks:
            hook.remove()
    once = {c: n for c, n in found.items() if calls[c] == calls[n] == 1}
    return once, same, output


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv: Any = module.get_submodule(convolution)
    bn: Any = module.get_submodule(norm)
    # In float64, so that each weight is rounded once.
    scale = torch.rsqrt(bn.running_var.double() + bn.eps)
    if bn.weight is not None:
        scale = scale * bn.weight.double()
    bias = -bn.running_mean.double() if conv.bias is None else conv.bias.double() - bn.running_mean.double()
    bias = bias * scale + (0.0 if bn.bias is None else bn.bias.double())
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(kind), requires_grad=False)
    rest = OrderedDict((part, getattr(bn, part)) for part in ("drop", "act") if hasattr(bn, part))
    parent, _, leaf = norm.rpartition(".")
    setattr(module.get_submodule(parent), leaf, nn.Sequential(rest) if rest else nn.Identity())
