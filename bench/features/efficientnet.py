"""State dictionaries of lukemelas' EfficientNet under timm's names.

The blocks are numbered through there, and by stage and place here; timm also counts the BatchNorms of a block
from 1, in the order in which they run. No value changes.

References
----------
Names: ``EfficientNet`` and ``MBConvBlock`` of github.com/lukemelas/EfficientNet-PyTorch; ``EfficientNet``,
``InvertedResidual`` and ``DepthwiseSeparableConv`` of timm. Networks: Tan and Le, "EfficientNet", ICML 2019;
EfficientNet-Lite leaves out squeeze-and-excitation, and has ReLU6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

#: The first tensor of such a dictionary.
STEM = "_conv_stem.weight"
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
#: Blocks that do not expand: without their first convolution the others have other names.
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}

T = TypeVar("T")


def renamed(state: Mapping[str, T], stages: list[int]) -> dict[str, T]:
    """Return a state dictionary under timm's names; names that are not in the tables stay.

    Parameters
    ----------
    state : mapping of str to tensor
    stages : list of int
        Blocks in each stage of timm's network.
    """
    places = [f"blocks.{stage}.{at}" for stage, blocks in enumerate(stages) for at in range(blocks)]
    expanding = {name.split(".")[1] for name in state if "._expand_conv." in name}
    out = {}
    for name, value in state.items():
        parts = name.split(".")
        block = parts[1] if parts[0] == "_blocks" else ""
        if block.isdecimal() and int(block) < len(places):
            table = _EXPANDING if block in expanding else _SEPARABLE
            parts = [places[int(block)], table.get(parts[2], parts[2]), *parts[3:]]
        else:
            parts[0] = _OUTSIDE.get(parts[0], parts[0])
        out[".".join(parts)] = value
    return out
