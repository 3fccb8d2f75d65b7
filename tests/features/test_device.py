"""Threads: a cell's are fixed, those of forward passes do not matter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from bench.core.determinism import CELL_THREADS
from bench.features.device import fix_threads, torch_threads


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_inside_a_block_are_given_back() -> None:
    fix_threads(CELL_THREADS)
    with torch_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == CELL_THREADS
    with torch_threads(None):
        assert torch.get_num_threads() == CELL_THREADS


def test_forward_passes_give_the_same_bits_with_any_number() -> None:
    """What lets an extraction use all cores while the cells beside it have one thread each."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, 1, 1, groups=32),
        nn.Conv2d(32, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 128),
    ).eval()
    network.to(memory_format=torch.channels_last)
    images = torch.randn(16, 3, 64, 64)
    found = []
    for number in (1, 2, 3, 4):
        with torch_threads(number), torch.inference_mode():
            found.append(network(images))
    assert all(torch.equal(found[0], other) for other in found[1:])
