"""Anomaly maps against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from bench.train.anomalymaps import anomaly_maps, mean_of_highest

SCORES = torch.from_numpy(np.random.default_rng(0).random((3, 7, 5)))


@pytest.mark.parametrize("border", ["reflect", "mirror"])
@pytest.mark.parametrize(
    ("interpolation", "corners"), [("bilinear", False), ("bilinear", True), ("nearest", False)]
)
def test_resized_and_smoothed_as_one_after_the_other(border: str, interpolation: str, corners: bool) -> None:
    how = {"align_corners": corners} if interpolation == "bilinear" else {}
    large = F.interpolate(SCORES[:, None], (56, 40), mode=interpolation, **how)[:, 0].numpy()
    expected = np.stack([gaussian_filter(each, 4, mode=border) for each in large])
    found = anomaly_maps(SCORES, (56, 40), interpolation=interpolation, align_corners=corners, border=border)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_without_a_filter_the_maps_are_only_resized() -> None:
    found = anomaly_maps(SCORES, (14, 10), sigma=0)
    expected = F.interpolate(SCORES[:, None], (14, 10), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_a_kernel_cut_off_with_zeros_beyond_the_border() -> None:
    x = np.arange(-2, 3)
    kernel = np.exp(-(x**2) / 32)
    kernel = torch.from_numpy(np.outer(kernel, kernel) / kernel.sum() ** 2)[None, None]
    large = F.interpolate(SCORES[:, None], (28, 20), mode="bilinear", align_corners=False)
    expected = F.conv2d(large, kernel, padding=2)[:, 0]
    found = anomaly_maps(SCORES, (28, 20), radius=2, border="constant")
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_a_constant_stays_constant_and_one_image_is_as_many() -> None:
    np.testing.assert_allclose(anomaly_maps(torch.full((1, 4, 4), 2.5), (32, 32)).numpy(), 2.5, rtol=1e-6)
    together = anomaly_maps(SCORES, (56, 40))
    assert torch.equal(anomaly_maps(SCORES[1:2], (56, 40))[0], together[1])


def test_the_mean_of_the_highest() -> None:
    maps = torch.arange(400.0).view(1, 20, 20)
    assert float(mean_of_highest(maps, 0.01)) == pytest.approx((399 + 398 + 397 + 396) / 4)
    assert float(mean_of_highest(maps[:, :3, :3], 0.01)) == 42.0, "at least one"
    assert float(mean_of_highest(torch.full((1, 8, 8), 3.0), 0.01)) == 3.0
