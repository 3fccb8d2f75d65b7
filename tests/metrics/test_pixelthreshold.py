"""Pixel thresholds: what is kept of maps, what rules promise, and decisions against counting pixels."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score

from bench.metrics.pimo import NormalTail
from bench.metrics.pixel import CODES, CodeHistogram, regions_of, score_of_code
from bench.metrics.pixelthreshold import (
    AREA,
    PIXEL_RATES,
    PIXEL_RULES,
    PixelDecisions,
    decide_pixels,
    map_summary,
    pixel_curve,
    pixel_thresholds,
    pooled_quantiles,
)
from bench.metrics.resampling import bin_starts
from tests.metrics.test_pixel import random_case
from tests.metrics.test_resampling import pixels_of


def calibrated(maps: np.ndarray, rate: float) -> dict[str, float]:
    tail = NormalTail(len(maps), maps[0].size, upper=max(PIXEL_RATES))
    for each in maps:
        tail.add(each)
    return pixel_thresholds(map_summary(maps), pooled_quantiles(tail.curve()), rate)


def smooth(rng: np.random.Generator, images: int, size: int = 120) -> np.ndarray:
    """Return maps whose images differ, and whose pixels depend on each other."""
    noise = ndimage.gaussian_filter(rng.normal(size=(images, size, size)), (0, 2, 2)) * 6
    return (noise + rng.normal(size=(images, 1, 1))).astype(np.float32)


def test_summaries_are_what_they_say() -> None:
    maps = smooth(np.random.default_rng(0), 5)
    found = map_summary(maps)
    for each, (highest, area, mean, square) in zip(maps.astype(float), found, strict=True):
        assert highest == each.max()
        assert (each > area).mean() <= AREA < (each >= area).mean()
        assert mean == pytest.approx(each.mean())
        assert square == pytest.approx((each**2).mean())
    small = map_summary(maps[:, :7, :7])
    assert (small[:, 0] == small[:, 1]).all(), "of so few pixels none may be above"


def test_rules_that_count_pixels_are_quantiles_of_all_of_them() -> None:
    maps = smooth(np.random.default_rng(1), 12) + 9
    found = calibrated(maps, 0.2)
    assert tuple(found) == PIXEL_RULES
    quantile = found["1.421 x 5 %"] / 1.421
    assert (maps > quantile).mean() == pytest.approx(0.05, abs=2 / maps.size)
    assert calibrated(4 * maps, 0.2)["1.421 x 5 %"] == pytest.approx(4 * found["1.421 x 5 %"])
    assert tuple(calibrated(maps - 100, 0.2)) == PIXEL_RULES[:-1], "scores without a natural zero"
    for rule, rate in (("1 % of pixels", 1e-2), ("0.1 % of pixels", 1e-3)):
        assert (maps > found[rule]).mean() <= rate < (maps >= found[rule]).mean()
    expected = maps.astype(float).mean() + 3 * maps.astype(float).std()
    assert found["mean + 3 sd"] == pytest.approx(expected)
    assert (calibrated(8 * maps - 16, 0.2)["any pixel"] + 16) / 8 == pytest.approx(found["any pixel"])


def test_older_records_have_the_other_rules() -> None:
    maps = smooth(np.random.default_rng(1), 12) + 9
    tail = NormalTail(len(maps), maps[0].size, upper=max(PIXEL_RATES))
    for each in maps:
        tail.add(each)
    every = pooled_quantiles(tail.curve())
    now, before = (pixel_thresholds(map_summary(maps), some, 0.2) for some in (every, every[:2]))
    assert list(before) == list(now)[:-1]
    assert before.items() <= now.items()


def test_rules_that_count_images_keep_their_promise() -> None:
    rng, any_pixel, too_many = np.random.default_rng(2), [], []
    for _ in range(60):
        maps = smooth(rng, 59, 32)
        found, good = calibrated(maps[:19], 0.1), map_summary(maps[19:])
        any_pixel.append((good[:, 0] > found["any pixel"]).mean())
        too_many.append((good[:, 1] > found["area"]).mean())
    for rates in (any_pixel, too_many):
        assert np.mean(rates) == pytest.approx(0.1, abs=3.5 * np.std(rates) / 60**0.5)


def test_a_plateau_raises_no_alarm() -> None:
    flat = np.full((20, 10, 10), 3.0, np.float32)
    found = calibrated(flat, 0.1)
    assert not (map_summary(flat)[:, 0] > found["any pixel"]).any()
    histogram = reduce(add, (CodeHistogram.of_image(each, regions_of(each < 0)) for each in flat))
    curve = pixel_curve(histogram, bin_starts(pixels_of(flat)), 0)
    for value in found.values():
        assert decide_pixels(curve, value, 3.0).false == 0


@pytest.mark.parametrize("seed", range(6))
def test_decisions_are_those_of_counting_pixels(seed: int) -> None:
    maps, masks = random_case(seed, images=8, size=64)
    every = [CodeHistogram.of_image(each, regions_of(mask)) for each, mask in zip(maps, masks, strict=True)]
    exponent = 2
    curve = pixel_curve(reduce(add, every), bin_starts(pixels_of(maps)), exponent)
    maps = maps.astype(float) * 2**exponent
    highest = float(maps.max())
    for value in [*np.quantile(maps, (0.3, 0.9, 0.99, 0.999)), highest, maps.min() - 1]:
        found, above = decide_pixels(curve, float(value), highest), maps > value
        regions = [
            above[at][labels == number].mean()
            for at, mask in enumerate(masks)
            for labels, count in [ndimage.label(mask, np.ones((3, 3)))]
            for number in range(1, count + 1)
        ]
        if seed % 4:  # no plateaus: then a bin may hold one
            assert found.false_rate == pytest.approx(above[~masks].mean(), abs=3e-3)
            assert found.recall == pytest.approx(above[masks].mean(), abs=1e-2)
            assert found.overlap == pytest.approx(np.mean(regions), abs=1.5e-2)
            expected = f1_score(masks.ravel(), above.ravel(), zero_division=0)
            assert found.f1 == pytest.approx(expected, abs=1e-2)
        assert (found.normal, found.defective) == ((~masks).sum(), masks.sum())
    nothing = decide_pixels(curve, highest, highest)
    assert (nothing.false, nothing.found, nothing.overlap, nothing.f1) == (0, 0, 0, 0)
    everything = decide_pixels(curve, float(maps.min()) - 1, highest)
    assert (everything.false_rate, everything.recall) == (1, 1)
    assert everything.overlap == pytest.approx(1)
    assert PixelDecisions(0, 0, 0, 0, 0).f1 == 0


def test_codes_are_their_numbers() -> None:
    places = np.arange(CODES)
    scores = score_of_code(places).astype(float)
    assert (scores[1:] >= scores[:-1]).all()
    assert (scores[0], scores[-1]) == (-np.inf, np.inf)
    values = np.array([-2.5, 0.0, 1e-7, 0.1, 3.0, 65504.0], np.float16)
    for value in values:
        held = CodeHistogram.of_image(np.full((1, 1), value), regions_of(np.zeros((1, 1))))
        assert score_of_code(np.flatnonzero(held.normal))[0] == value
