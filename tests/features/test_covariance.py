"""Shrunk covariances: scikit-learn's to the last bit on a CPU, the same numbers on a device."""

from __future__ import annotations

import pytest
import torch
from sklearn.covariance import ledoit_wolf

from bench import ledoit_wolf_shrinkage, shrunk_covariance
from bench.run.standin import standin


def rows(n: int, d: int, *, alike: bool = False) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(n + d)
    found = torch.randn(n, d, generator=drawn, dtype=torch.float64) * torch.rand(d, generator=drawn)
    return torch.zeros_like(found) if alike else found - found.mean(0)


@pytest.mark.parametrize(("n", "d"), [(5, 12), (100, 12), (30, 1), (2, 3), (2500, 40)])
def test_a_device_has_scikit_learns_numbers(n: int, d: int) -> None:
    given = rows(n, d)
    covariance, share = ledoit_wolf(given.numpy(), assume_centered=True)
    assert float(ledoit_wolf_shrinkage(given)) == share
    assert torch.equal(shrunk_covariance(given), torch.from_numpy(covariance))
    with standin() as counts:
        there = given.to("cuda")
        found, shrinkage = shrunk_covariance(there), ledoit_wolf_shrinkage(there)
        assert found.device.type == shrinkage.device.type == "cuda"
        assert not counts.waits
        assert not counts.to_host
        assert sum(counts.to_device.values()) == 1, "the rows alone"
        assert float(shrinkage.cpu()) == pytest.approx(share, abs=1e-12)
        torch.testing.assert_close(found.cpu(), torch.from_numpy(covariance), rtol=1e-12, atol=1e-14)


def test_rows_that_are_all_the_same_are_not_shrunk() -> None:
    for device in ("cpu", "cuda"):
        with standin():
            given = rows(4, 3, alike=True).to(device)
            assert float(ledoit_wolf_shrinkage(given)) == 0
            assert not shrunk_covariance(given).any()
