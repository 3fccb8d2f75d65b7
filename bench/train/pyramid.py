"""A network whose maps at three strides are joined, with heads for a score, a probability and a mask.

References
----------
Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination", WACV
2025, and the authors' code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from bench.features.trainable import Trainable


class PyramidOutput(NamedTuple):
    """For b images: mask (b, 2, s, s), the shares of normal and anomalous; score (b,); probability (b,)."""

    mask: torch.Tensor
    score: torch.Tensor
    probability: torch.Tensor


class Pyramid(nn.Module):
    """A network whose maps at strides 8, 16 and 32 are joined at stride 8, with three heads on them.

    Parameters
    ----------
    net : Trainable
        Its module becomes part of this one, all of it trainable.
    last : nn.Module, optional
        Computes the maps at stride 32 if the network does not.
    picture : Tensor, shape (1, 3, s, s)
        A sample input, to find the number of channels.
    topk : float
    """

    def __init__(self, net: Trainable, last: nn.Module | None, picture: torch.Tensor, topk: float) -> None:
        super().__init__()
        self.net, self.backbone, self.last, self.topk = net, net.module.requires_grad_(True), last, topk
        if last is not None:
            last.eval()  # the sample must not change its statistics
        with torch.no_grad():
            wide, middle, deep = (maps.shape[1] for maps in self.maps(picture))
        self.middle_up = up_block(middle)
        self.deep_up = nn.Sequential(up_block(deep), up_block(deep))
        joined = wide + middle + deep
        self.scoring = nn.Conv2d(joined, 1, 1)
        self.classify = nn.Linear(deep, 1)
        ups = [part for _ in range(3) for part in (nn.Upsample(scale_factor=2), *convolution(64, 64))]
        self.segment = nn.Sequential(
            *convolution(joined, 64), *convolution(64, 64), *ups, nn.Conv2d(64, 2, 3, padding=1)
        )

    def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        found = self.net.maps(x, [2, 3] if self.last is not None else [2, 3, 4])
        return found[2], found[3], found[4] if self.last is None else self.last(found[3])

    def forward(self, x: torch.Tensor) -> PyramidOutput:
        wide, middle, deep = self.maps(x)
        joined = torch.cat([wide, self.middle_up(middle), self.deep_up(deep)], 1)
        return PyramidOutput(
            mask=self.segment(joined).softmax(1),
            score=top_mean(self.scoring(joined), self.topk),
            probability=self.classify(deep.mean((2, 3)))[:, 0].sigmoid(),
        )


def up_block(channels: int) -> nn.Sequential:
    """Double the side: nearest, then a convolution to twice the channels, half of which gate the others."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.GLU(1),
    )


def convolution(given: int, made: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(inplace=True)


def top_mean(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Return the mean (b,) of the largest absolute values of maps (b, 1, h, w): a share, but at least one."""
    flat = maps.flatten(1).abs()
    return flat.topk(max(int(share * flat.shape[1]), 1), dim=1).values.mean(1)
