"""Replicates of pixel metrics against drawn images put together, and DeLong's variance for single pixels."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from bench.metrics.pixel import CODES, PIXEL_METRICS, CodeHistogram, Regions, pixel_metrics, regions_of
from bench.metrics.resampling import BINS, Resampled, bin_starts, image_draws
from bench.stats.delong import image_parts, variance_over_images
from bench.stats.placements import placements
from tests.metrics.test_pixel import random_case


def pixels_of(maps: Any) -> np.ndarray:
    nothing = Regions(np.zeros(maps[0].shape, np.int32), 0)
    return sum((CodeHistogram.of_image(each, nothing).normal for each in maps), np.zeros(CODES, np.int64))


def resampled(maps: Any, masks: Any, draws: Any) -> tuple[dict[str, np.ndarray], list[CodeHistogram]]:
    """Return the replicates, and each image's histogram."""
    held = Resampled(draws, bin_starts(pixels_of(maps)))
    every = [CodeHistogram.of_image(each, regions_of(mask)) for each, mask in zip(maps, masks, strict=True)]
    for at, each in enumerate(every):
        held.add(at, each)
    return dict(held.replicates(reduce(add, every))), every


def test_draws_are_the_seeds_and_leave_one_of_each_label_out() -> None:
    labels = np.repeat([0, 1], [5, 9]).astype(np.uint8)
    draws = image_draws(labels, seed=3, replicates=400)
    assert draws is not None
    assert (draws[:, :5].sum(1) == 4).all()
    assert (draws[:, 5:].sum(1) == 8).all()
    assert (draws == image_draws(labels, seed=3, replicates=400)).all()
    assert (draws != image_draws(labels, seed=4, replicates=400)).any()
    assert draws[:, 5:].mean() == pytest.approx(8 / 9)
    assert image_draws(np.array([0, 0, 1], np.uint8), seed=0) is None, "one defective image does not vary"
    assert image_draws(np.ones(3, np.uint8), seed=0, replicates=2) is not None, "nor are good ones needed"


@pytest.mark.parametrize("seed", range(8))
def test_replicates_are_the_metrics_of_the_drawn_images(seed: int) -> None:
    maps, masks = random_case(seed, images=9, size=24)
    labels = masks.any((1, 2)).astype(np.uint8)
    draws = image_draws(labels, seed=seed, replicates=25)
    assert draws is not None
    found, every = resampled(maps, masks, draws)
    assert set(found) == set(PIXEL_METRICS)
    for at, times in enumerate(draws):
        drawn = [each for each, often in zip(every, times, strict=True) for _ in range(often)]
        for name, value in pixel_metrics(reduce(add, drawn)).items():
            assert found[name][at] == pytest.approx(value, abs=4e-3), name


def test_the_images_as_they_are_have_the_exact_metrics() -> None:
    maps, masks = random_case(1, images=6)
    found, every = resampled(maps, masks, np.ones((1, 6), np.int64))
    exact = pixel_metrics(reduce(add, every))
    assert {name: values[0] for name, values in found.items()} == pytest.approx(exact, abs=1e-7)


def test_images_of_one_pixel_vary_as_delong_says() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 40]).astype(np.uint8)
    scores = (rng.normal(size=100) + labels).astype(np.float16)
    draws = image_draws(labels, seed=1, replicates=2000)
    found, _ = resampled(scores[:, None, None], labels[:, None, None] == 1, draws)
    parts = image_parts(placements(labels, scores[None].astype(np.float64)), labels)
    expected = variance_over_images(parts, labels.astype(np.int64)).value[0]
    assert found["pixel_auroc"].var(ddof=1) == pytest.approx(expected, rel=0.12)


def test_bins_cover_every_code_and_are_finest_above() -> None:
    rng = np.random.default_rng(0)
    pixels = pixels_of(rng.normal(1000, 1, (4, 200, 200)))  # few codes
    starts = bin_starts(pixels)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    pixels = pixels_of(rng.normal(size=(4, 200, 200)))
    starts = bin_starts(pixels)
    assert 0.5 * BINS < len(starts) <= BINS + 1
    share = np.add.reduceat(pixels, starts) / pixels.sum()
    assert share[:20].max() > 20 * share[-100:].max()
    assert bin_starts(np.zeros(CODES, np.int64)).tolist() == [0]


def test_a_metric_that_a_replicate_lacks_is_left_out() -> None:
    maps, masks = random_case(2, images=6)
    masks[2:] = False  # one mask alone marks anything
    labels = np.array([0, 1, 1, 1, 1, 1], np.uint8)
    draws = image_draws(labels, seed=0, replicates=50)
    found, _ = resampled(maps, masks, draws)
    assert found == {}
