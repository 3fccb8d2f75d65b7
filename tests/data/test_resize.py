"""Resizing without antialiasing, in closed form; with it, see the preprocessing of networks."""

from __future__ import annotations

import pytest
import torch

from bench.data.resize import resize_plainly


@pytest.mark.parametrize(
    ("row", "width", "expected"),
    [
        ([0, 100], 4, [0, 25, 75, 100]),
        ([0, 100, 200, 100], 2, [50, 150]),
        ([10, 20, 250, 70, 80, 90], 2, [20, 80]),
        ([1, 2, 3], 3, [1, 2, 3]),
    ],
)
def test_pixels_lie_at_their_centres(row: list[int], width: int, expected: list[int]) -> None:
    pixels = torch.tensor(row, dtype=torch.uint8).expand(1, 3, 2, -1)
    across, down = resize_plainly(pixels, (2, width)), resize_plainly(pixels.mT, (width, 2))
    assert across.dtype == down.dtype == torch.uint8
    assert across.tolist() == [[[expected] * 2] * 3]
    assert torch.equal(down, across.mT)
