"""The device pipeline against PIL and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from bench.core.errors import DataError
from bench.data.resize import resize, resize_by_float, resized
from bench.features.preprocess import Preprocess, centre_crop

HALF = (0.5, 0.5, 0.5)
CPU = torch.device("cpu")


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image with structure at all scales."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("before", "after", "levels", "share"),
    [
        ((32, 32), (256, 256), 1, 0.02),
        ((300, 200), (96, 64), 1, 0.02),
        # Smaller one way and larger the other: rounding between the passes shows more.
        ((64, 64), (40, 80), 2, 0.25),
    ],
)
def test_resize_agrees_with_pil(
    before: tuple[int, int], after: tuple[int, int], levels: int, share: float, mode: str
) -> None:
    image = smooth(*before)
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    ours = resize(pixels, after, mode)[0].permute(1, 2, 0).numpy().astype(int)
    pil = np.asarray(Image.fromarray(image).resize(after[::-1], Image.Resampling[mode.upper()])).astype(int)
    assert np.abs(ours - pil).max() <= levels
    assert (ours != pil).mean() < share
    on_a_gpu = resize_by_float(pixels, after, mode)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(on_a_gpu - pil).max() <= levels
    assert (on_a_gpu != pil).mean() < share


@pytest.mark.parametrize("pipeline", ["device", "pil"])
@pytest.mark.parametrize("shape", [(32, 32), (300, 200), (201, 333), (20, 64)])
def test_agrees_with_torchvision_on_pil_images(shape: tuple[int, int], pipeline: str) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = smooth(*shape)
    ours = Preprocess(96, 80, "bilinear", mean, std, pipeline)  # type: ignore[arg-type]
    theirs = transforms.Compose(
        [
            transforms.Resize(96),
            transforms.CenterCrop(80),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    out = ours(ours.on_host(image[None]), CPU)[0]
    expected = theirs(Image.fromarray(image))
    assert out.shape == expected.shape
    level = 1 / 255 / 0.224
    assert (out - expected).abs().max() <= (1.01 * level if pipeline == "device" else 1e-5)


def test_images_of_different_sizes_become_one_batch() -> None:
    images = [smooth(40, 60), smooth(60, 40), smooth(50, 50)]
    cropped = Preprocess(48, 32, "bilinear", HALF, HALF)(images, CPU)
    assert cropped.shape == (3, 3, 32, 32)
    assert cropped.is_contiguous(memory_format=torch.channels_last)
    exact = Preprocess((24, 30), None, "bilinear", HALF, HALF)(images, CPU)
    assert exact.shape == (3, 3, 24, 30)
    with pytest.raises(DataError, match="differ in size"):
        Preprocess(48, None, "bilinear", HALF, HALF)(images, CPU)


def test_what_is_trained_on_is_what_is_extracted_from() -> None:
    images = np.stack([smooth(40, 60, seed) for seed in range(3)])
    fed = Preprocess(48, 32, "bicubic", HALF, HALF, "pil")
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.equal(fed.normalise(fed.shrink(pixels)), fed(fed.on_host(images), CPU))


def test_an_image_does_not_depend_on_its_batch() -> None:
    batch = np.stack([smooth(40, 40, seed) for seed in range(7)])
    fed = Preprocess(64, 56, "bilinear", HALF, HALF)
    together = fed(batch, CPU)
    for at in range(7):
        assert torch.equal(fed(batch[at : at + 1], CPU)[0], together[at])


def test_sizes_and_crops_round_as_torchvision() -> None:
    assert resized(300, 200, 256) == (384, 256)
    assert resized(201, 333, 96) == (96, 159)
    assert resized(5, 7, (3, 9)) == (3, 9)
    pixels = torch.randint(0, 256, (1, 3, 37, 52), dtype=torch.uint8)
    assert torch.equal(centre_crop(pixels, 10), pixels[:, :, 14:24, 21:31]), "halves are rounded to even"
    assert torch.equal(centre_crop(pixels, (20, 31)), pixels[:, :, 8:28, 10:41])
    assert torch.equal(centre_crop(pixels, 60), torch.nn.functional.pad(pixels, (4, 4, 11, 12)))
