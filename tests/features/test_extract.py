"""Raw pixels and histograms of oriented gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.feature import hog

from bench.core.errors import BackboneError
from bench.features.backbone import Backbones
from bench.features.extract import Handcrafted

CPU = torch.device("cpu")


def test_pixels_are_rgb_in_zero_to_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    vectors = Handcrafted(Backbones().get("pixels[size=8]"), CPU).pooled(pixels)
    assert vectors.shape == (4, 192)
    np.testing.assert_allclose(
        vectors.numpy().reshape(4, 3, 8, 8).transpose(0, 2, 3, 1), pixels / 255, rtol=1e-6
    )
    small = Handcrafted(Backbones().get("pixels[size=4]"), CPU)
    mixed = small.pooled([pixels[0], pixels[1][:5]])
    assert mixed.shape == (2, 48)
    assert torch.equal(mixed[0], small.pooled(pixels)[0])


def test_hog_is_scikit_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    vectors = Handcrafted(Backbones().get("hog[orientations=6,cell=4]"), CPU).pooled(pixels)
    expected = hog(pixels[1], orientations=6, pixels_per_cell=(4, 4), cells_per_block=(2, 2), channel_axis=-1)
    np.testing.assert_allclose(vectors[1].numpy(), expected, rtol=1e-5, atol=1e-7)


def test_there_are_no_maps() -> None:
    with pytest.raises(BackboneError, match="no feature maps"):
        Handcrafted(Backbones().get("hog"), CPU).maps(np.zeros((1, 8, 8, 3), np.uint8), ["layer1"])
