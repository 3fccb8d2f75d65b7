"""Losses: values by hand, and what they imply."""

from __future__ import annotations

import math

import pytest
import torch

from bench import deviation_loss, focal_loss

D = torch.tensor([-3.0, -0.5, 0.0, 4.0, 9.0, 12.0])


def test_deviation_of_normal_and_anomalous() -> None:
    torch.testing.assert_close(deviation_loss(D, torch.zeros(6), 10.0), D.abs())
    torch.testing.assert_close(deviation_loss(D, torch.ones(6), 10.0), (10 - D).clamp(min=0))


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_between_them_it_is_linear(q: float) -> None:
    ends = [deviation_loss(D, torch.full((6,), label), 5.0) for label in (0.0, 1.0)]
    torch.testing.assert_close(deviation_loss(D, torch.full((6,), q), 5.0), (1 - q) * ends[0] + q * ends[1])


def test_beyond_the_margin_an_anomaly_pulls_no_more() -> None:
    d = D.clone().requires_grad_()
    deviation_loss(d, torch.ones(6), 8.0).sum().backward()
    assert d.grad is not None
    assert d.grad.tolist() == [-1, -1, -1, -1, 0, 0]


def test_focal_loss_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(2, 1, 3, 4, generator=generator)
    shares = torch.cat([1 - shares, shares], 1)
    mask = (torch.rand(2, 1, 3, 4, generator=generator) < 0.5).float()
    total = 0.0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                which = int(mask[b, 0, y, x])
                right = (1 - 1e-5) * float(shares[b, which, y, x]) + 1e-5 * float(shares[b, 1 - which, y, x])
                right += 1e-5
                total -= (1 - right) ** 2 * math.log(right)
    assert float(focal_loss(shares, mask)) == pytest.approx(total / 24, rel=1e-5)


def test_focal_loss_is_finite_where_a_share_is_zero() -> None:
    shares = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert math.isfinite(float(focal_loss(shares, torch.zeros(1, 1, 1, 1))))
    assert float(focal_loss(shares, torch.ones(1, 1, 1, 1))) == pytest.approx(0, abs=1e-9)
