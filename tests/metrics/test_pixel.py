"""Pixel metrics against closed forms, scikit-learn on pooled pixels, and a plain PRO by its definition."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sklearn

from bench.metrics.maps import fitted, nearest_mask
from bench.metrics.pixel import (
    LIMIT_5,
    CodeHistogram,
    aupro,
    pixel_ap,
    pixel_auroc,
    pixel_f1max,
    pixel_metrics,
    regions_of,
    rounding_bounds,
    tie_width,
)


def histogram(maps: Any, masks: Any) -> CodeHistogram:
    return reduce(add, (CodeHistogram.of_image(m, regions_of(t)) for m, t in zip(maps, masks, strict=True)))


def random_case(seed: int, *, images: int = 4, size: int = 16) -> tuple[Any, Any]:
    """Return maps, coarse or fine, and masks: blobs, lines, nothing, touching the border."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(images, size, size))
    masks = ndimage.gaussian_filter(noise, (0, 2, 2)) > rng.uniform(0.05, 0.25)
    masks[0] = False
    if seed % 3 == 0:
        masks[1, 3, :] = True
    signal = rng.uniform(0, 2) * ndimage.gaussian_filter(masks.astype(float), (0, 1, 1))
    maps = (signal + rng.normal(size=noise.shape) * rng.uniform(0.1, 1)) * 10.0 ** rng.integers(-3, 4)
    if seed % 4 == 0:
        maps = np.round(maps, 1)
    return maps.astype(np.float16), masks


def plain_pro(maps: Any, masks: Any, limit: float) -> float:
    """Return AUPRO by a loop over thresholds and regions: Bergmann et al., section 4, and nothing else."""
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, [[1] * 3] * 3)
        regions += [scores[labels == number] for number in range(1, count + 1)]
    normal = np.concatenate([scores[~mask] for scores, mask in zip(maps, masks, strict=True)])
    x, y = [0.0], [0.0]
    for threshold in sorted(set(np.unique(np.asarray(maps)).tolist()), reverse=True):
        x.append(float(np.mean(normal >= threshold)))
        y.append(float(np.mean([np.mean(region >= threshold) for region in regions])))
    area = 0.0
    for left, right, low, high in zip(x, x[1:], y, y[1:], strict=False):
        if left >= limit or right == left:
            continue
        end = min(right, limit)
        area += (end - left) * (low + low + (high - low) * (end - left) / (right - left)) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(50))
def test_random_maps_against_plain_pro_and_sklearn(seed: int) -> None:
    maps, masks = random_case(seed)
    found = histogram(maps, masks)
    for limit in (0.3, LIMIT_5, 1.0):
        assert aupro(found, limit) == pytest.approx(plain_pro(maps, masks, limit), abs=1e-9)
    truth, scores = masks.ravel(), maps.astype(np.float64).ravel()
    assert pixel_auroc(found) == pytest.approx(sklearn.roc_auc_score(truth, scores), abs=1e-9)
    assert pixel_ap(found) == pytest.approx(sklearn.average_precision_score(truth, scores), abs=1e-9)
    precision, recall, _ = sklearn.precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert pixel_f1max(found) == pytest.approx(f1.max(), abs=1e-9)


def test_the_histogram_keeps_the_order_of_every_float16() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[~np.isnan(every)]
    order = np.argsort(every.astype(np.float64), kind="stable")
    for low, high in ((900, 1900), (31_500, 32_500), (60_000, 61_000)):
        held = every[order][low:high]
        good, bad = held[None, :-1], held[None, 1:]
        found = histogram([good, bad], [np.zeros(good.shape), np.ones(bad.shape)])
        truth = np.repeat([0, 1], good.size)
        scores = np.concatenate([good[0], bad[0]]).astype(np.float64)
        assert pixel_auroc(found) == pytest.approx(sklearn.roc_auc_score(truth, scores), abs=1e-12)
    places = histogram([every[order][None]], [np.zeros((1, len(every)))]).normal
    assert places.sum() == len(every)
    assert places.max() == 2  # 0 and -0
    assert (places == 1).sum() == len(every) - 2


def test_a_perfect_a_constant_and_a_wrong_map() -> None:
    masks = np.zeros((3, 10, 10), np.bool_)
    masks[1, 2:5, 2:5] = masks[2, 0, 0] = True
    assert pixel_metrics(histogram(masks, masks)) == dict.fromkeys(
        ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro5"), pytest.approx(1.0)
    )
    constant = histogram(np.ones(masks.shape), masks)
    assert aupro(constant) == pytest.approx(0.15)
    assert aupro(constant, LIMIT_5) == pytest.approx(0.025)
    assert pixel_auroc(constant) == 0.5
    assert tie_width(constant) == 1
    assert aupro(histogram(~masks, masks)) == 0


def test_one_region_of_equal_size_in_each_image_is_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(5, 12, 12)).astype(np.float16), np.zeros((5, 12, 12), np.bool_)
    masks[:, 3:6, 4:8] = True
    found = histogram(maps, masks)
    assert aupro(found, 1.0) == pytest.approx(pixel_auroc(found), abs=1e-12)


def test_increasing_transforms_change_nothing() -> None:
    masks = random_case(1)[1]
    ranks = np.random.default_rng(0).integers(0, 300, masks.shape) + 60 * masks
    values = np.unique(np.random.default_rng(1).lognormal(0, 2, 4000).astype(np.float16))[: ranks.max() + 1]
    assert len(values) == ranks.max() + 1
    found = pixel_metrics(histogram(values[ranks] - np.float16(0), masks))
    assert found == pixel_metrics(histogram(ranks, masks))
    assert found == pixel_metrics(histogram(values[ranks] * np.float16(4), masks))


def test_a_region_split_in_two_of_equal_recall_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    half, background = rng.normal(size=(2, 4)), rng.normal(size=(9, 20))
    alone = CodeHistogram.of_image(background, regions_of(np.zeros((9, 20))))
    two = CodeHistogram.of_image(half, regions_of(np.ones((2, 4))))
    joined = CodeHistogram.of_image(np.hstack([half, half]), regions_of(np.ones((2, 8))))
    assert (joined.regions, (two + two).regions) == (1, 2)
    assert aupro(alone + two + two) == pytest.approx(aupro(alone + joined), abs=1e-12)


def test_a_diagonal_pair_is_one_region() -> None:
    mask = np.eye(2, dtype=np.bool_)
    assert regions_of(mask).number == 1
    assert regions_of(np.zeros((3, 3))).number == 0


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    maps, masks = random_case(7, images=6)
    whole = histogram(maps, masks)
    parts = histogram(maps[3:], masks[3:]) + histogram(maps[:3], masks[:3])
    np.testing.assert_array_equal(parts.normal, whole.normal)
    np.testing.assert_array_equal(parts.defective, whole.defective)
    np.testing.assert_allclose(parts.overlap, whole.overlap, rtol=1e-14)
    assert parts.regions == whole.regions


def test_what_is_not_defined_is_not_a_number() -> None:
    good = histogram(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
    full = histogram(np.zeros((2, 3, 3)), np.ones((2, 3, 3)))
    for found in (good, full, CodeHistogram()):
        assert pixel_metrics(found) == {}
        assert rounding_bounds(found) == (0, 0, 0)
    assert np.isnan(tie_width(full))


def test_infinities_are_ordered_and_nan_is_refused() -> None:
    mask = np.array([[True, False, False]])
    assert pixel_auroc(histogram([np.array([[np.inf, 0, -np.inf]])], [mask])) == 1
    assert pixel_auroc(histogram([np.array([[-np.inf, 0, np.inf]])], [mask])) == 0
    with pytest.raises(ValueError, match="NaN"):
        histogram([np.array([[np.nan, 0, 1]])], [mask])
    with pytest.raises(ValueError, match="shape"):
        histogram([np.zeros((2, 2))], [mask])
    with pytest.raises(ValueError, match="limit"):
        aupro(CodeHistogram(), 0)


@pytest.mark.parametrize("seed", range(12))
def test_rounding_moves_metrics_by_no_more_than_the_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, masks = random_case(seed)
    maps = masks * rng.uniform(0, 1) + rng.normal(size=masks.shape) + 10.0 ** (seed % 4)  # few codes
    found = histogram(maps, masks)
    bounds = rounding_bounds(found)
    truth, scores = masks.ravel(), maps.ravel()
    auroc, ap = sklearn.roc_auc_score(truth, scores), sklearn.average_precision_score(truth, scores)
    assert abs(pixel_auroc(found) - auroc) <= bounds.auroc + 1e-12
    assert abs(pixel_ap(found) - ap) <= bounds.ap + 1e-12
    assert abs(aupro(found) - plain_pro(maps, masks, 0.3)) <= bounds.aupro + 1e-12
    assert bounds.auroc > 0


def test_fitted_is_torchs_bilinear_interpolation() -> None:
    import torch

    maps = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    for shape in ((7, 5), (28, 40), (13, 4), (3, 5)):
        theirs = torch.nn.functional.interpolate(torch.from_numpy(maps)[None, None], shape, mode="bilinear")
        np.testing.assert_allclose(fitted(maps, shape), theirs[0, 0].numpy(), atol=1e-5)


def test_a_map_of_a_part_lies_where_it_should() -> None:
    maps = np.arange(16, dtype=np.float32).reshape(4, 4)
    found = fitted(maps, (8, 8), (0.25, 0.25, 0.5, 0.5))
    np.testing.assert_allclose(found[2:6, 2:6], maps)
    np.testing.assert_allclose(found[0], found[2])  # outside: the nearest inside
    np.testing.assert_allclose(found[:, 7], found[:, 5])
    far = fitted(np.array([[np.inf, 0.0]], np.float16), (1, 4))
    assert not np.isnan(far).any()
    assert far[0, 0] > np.finfo(np.float16).max


def test_nearest_mask_takes_centres() -> None:
    mask = np.zeros((8, 8), np.bool_)
    mask[1, 1] = True
    assert nearest_mask(mask, (4, 4))[0, 0]
    mask[1, 1], mask[0, 0] = False, True
    assert not nearest_mask(mask, (4, 4)).any()  # a small region vanishes
    np.testing.assert_array_equal(nearest_mask(mask, (16, 16))[::2, ::2], mask)
