"""Thresholds of pixels from maps of normal images alone, and what a threshold does to a test set's pixels.

A pixel raises an alarm if its score is above the threshold. Pixels of one image depend on each other, so what
is promised is promised of images: *any pixel* and *area* are conformal rules on one number an image, its
highest score and the score that a ten-thousandth of its pixels exceed. The other rules count pixels, and
promise nothing.

References
----------
SuperADD's rule, a factor times a quantile of validation pixels, is read from its code; it draws the pixels by
chance, and here they are all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.metrics.pimo import UPPER
from bench.metrics.pixel import CodeHistogram, score_of_code
from bench.metrics.threshold import threshold

Floats = NDArray[np.float64]

#: Share of an image's pixels that may be above the rule *area*: the highest of AUPIMO.
AREA = UPPER
#: Rates of false pixels that are aimed at, and that of SuperADD's quantile, which records of older runs lack.
PIXEL_RATES = (1e-2, 1e-3, 5e-2)
#: SuperADD's factor.
FACTOR = 1.421
#: The rules, in the order in which reports show them.
PIXEL_RULES = ("any pixel", "area", "1 % of pixels", "0.1 % of pixels", "mean + 3 sd", "1.421 x 5 %")
#: What is kept of each map, in this order: highest score, that of `AREA`, mean, mean square.
SUMMARY = 4


def map_summary(maps: NDArray[Any]) -> Floats:
    """Return what rules need of each map (b, h, w): shape (b, 4), in the order of `SUMMARY`."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    at = flat.shape[1] - 1 - int(AREA * flat.shape[1])
    area = np.partition(flat, at, axis=1)[:, at]
    return np.stack([flat.max(1), area, flat.mean(1), np.square(flat).mean(1)], axis=1)


def pooled_quantiles(curve: tuple[NDArray[Any], Floats]) -> Floats:
    """Return the lowest scores that at most so many of all pixels exceed, for each of `PIXEL_RATES`.

    Parameters
    ----------
    curve : tuple of ndarray
        Of `bench.metrics.pimo.NormalTail`, up to the highest of the rates at least.
    """
    scores, reached = curve
    above = np.concatenate(([0.0], reached[:-1]))
    return np.array([float(scores[above <= rate][-1]) for rate in PIXEL_RATES])


def pixel_thresholds(summaries: Floats, quantiles: Floats, rate: float) -> dict[str, float]:
    """Return the threshold of each of `PIXEL_RULES`.

    The last is there only if its quantile is, and above 0: a factor means something for scores with a natural
    zero, such as distances, and nothing for scores that can be shifted.

    Parameters
    ----------
    summaries : ndarray, shape (n, 4)
        Of normal images that the method was not fitted on (`map_summary`).
    quantiles : ndarray, shape (3,) or (2,)
        Of their pixels (`pooled_quantiles`); the last is missing in records of older runs.
    rate : float
        Of images that are to raise an alarm, in (0, 1).
    """
    mean = summaries[:, 2].mean()
    spread = np.sqrt(max(0.0, summaries[:, 3].mean() - mean**2))
    found = [threshold("conformal", summaries[:, at], rate).value for at in (0, 1)]
    found += [*quantiles[:2].tolist(), float(mean + 3 * spread)]
    found += [FACTOR * float(each) for each in quantiles[2:] if each > 0]
    return dict(zip(PIXEL_RULES, found, strict=False))


def pixel_curve(found: CodeHistogram, starts: NDArray[np.int64], exponent: int) -> dict[str, Floats]:
    """Return what of a test set's pixels has at least the score of each bin's start.

    Parameters
    ----------
    found : CodeHistogram
        Pooled; of scores that were divided by 2 to the power `exponent`.
    starts : ndarray, shape (k,), int64
        First codes of the bins, rising, from 0.

    Returns
    -------
    dict of str to ndarray
        ``scores``, rising; ``normal`` and ``defective``, pixels; ``overlap``, the mean share of a region.
        The first of each are all there are. Each of shape (k,).
    """
    there = np.flatnonzero((found.normal > 0) | (found.defective > 0))
    codes = np.clip(starts, there[0], there[-1]) if len(there) else starts
    parts = (found.normal, found.defective, found.overlap / max(1, found.regions))
    above = [np.cumsum(np.add.reduceat(each, starts)[::-1])[::-1].astype(np.float64) for each in parts]
    scores = np.ldexp(score_of_code(codes).astype(np.float64), exponent)
    return dict(zip(("scores", "normal", "defective", "overlap"), (scores, *above), strict=True))


class PixelDecisions(NamedTuple):
    """What a threshold does to a test set: numbers of pixels, and the mean share of a region."""

    false: float
    normal: float
    found: float
    defective: float
    overlap: float

    @property
    def false_rate(self) -> float:
        return self.false / max(1.0, self.normal)

    @property
    def recall(self) -> float:
        return self.found / max(1.0, self.defective)

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1.0, self.found + self.false + self.defective)


def decide_pixels(curve: Mapping[str, Floats], value: float, highest: float) -> PixelDecisions:
    """Return what a threshold does, from `pixel_curve`; within a bin scores count as even.

    Parameters
    ----------
    curve : mapping of str to ndarray
    value : float
        A pixel above it raises an alarm.
    highest : float
        Score of all.
    """
    scores = curve["scores"]
    ends = np.append(scores, max(highest, np.nextafter(scores[-1], np.inf)))
    if value >= highest:
        above = [0.0, 0.0, 0.0]
    else:
        above = [
            float(np.interp(value, ends, np.append(curve[name], 0.0)))
            for name in ("normal", "defective", "overlap")
        ]
    return PixelDecisions(
        above[0], float(curve["normal"][0]), above[1], float(curve["defective"][0]), above[2]
    )
