"""Pixel-level metrics: pure functions on a histogram of scores, exact for float16 maps, in bounded memory.

There are 65,536 float16 numbers. For each the histogram counts normal and defective pixels, and sums
1/|region| over the defective ones, so that 1.6 MB hold what AUROC, average precision, F1-max and AUPRO of any
number of images need: one pass, and histograms of parts add up to that of the whole. Scores are ordered,
never squashed. What rounding maps of more digits to float16 can have changed is bounded (`Bounds`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Codes of float16 numbers.
CODES = 1 << 16
#: Limits of the false positive rate: ``aupro`` of MVTec AD and ``aupro5`` of MVTec AD 2.
LIMIT, LIMIT_5 = 0.3, 0.05
#: The metrics of `pixel_metrics`, in the order in which reports show them.
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro5")
#: The names in records: over a task's pooled pixels, of each defective image alone, and at 256 x 256.
POOLED = (*PIXEL_METRICS, "aupimo")
PER_IMAGE = ("pixel_auroc_per_image", "aupro_per_image")
AT_256 = tuple(f"{name}_256" for name in PIXEL_METRICS)
MAP_METRICS = (*POOLED, *PER_IMAGE, *AT_256)

_EIGHT = np.ones((3, 3), np.int8)


#: Bits of the float16 number at each place in their order: -inf to inf, what is no number at both ends.
_BITS = np.concatenate((np.arange(0xFFFF, 0x7FFF, -1), np.arange(0x8000)))
#: The places of -inf and inf, and of -0, which is equal to the 0 behind it.
_LOWEST, _HIGHEST, _MINUS_ZERO = 0x03FF, 0xFC00, 0x7FFF


def _in_order(counts: NDArray[Any]) -> NDArray[Any]:
    """Return counts of bits in the order of the numbers; those of -0 are 0's."""
    found = counts[_BITS]
    found[_MINUS_ZERO + 1] += found[_MINUS_ZERO]
    found[_MINUS_ZERO] = 0
    return found


def score_of_code(codes: NDArray[np.int64]) -> NDArray[np.float16]:
    """Return the numbers at places of the histogram; what is no number is the infinity next to it."""
    return _BITS[np.clip(codes, _LOWEST, _HIGHEST)].astype(np.uint16).view(np.float16)


class Regions(NamedTuple):
    """The connected regions of a mask.

    Attributes
    ----------
    labels : ndarray, shape (h, w), int32
        0 outside, else the region's number from 1.
    count : int
    """

    labels: NDArray[np.int32]
    number: int


def regions_of(mask: ArrayLike) -> Regions:
    """Return the 8-connected regions of a mask (h, w), as in MVTec's evaluation code."""
    from scipy import ndimage

    inside, labels = np.asarray(mask) != 0, np.zeros(np.shape(mask), np.int32)
    rows = np.flatnonzero(inside.any(1))
    if not len(rows):
        return Regions(labels, 0)
    columns = np.flatnonzero(inside.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    found, number = ndimage.label(inside[box], _EIGHT)
    labels[box] = found
    return Regions(labels, int(number))


@dataclass(slots=True)
class CodeHistogram:
    """Pixels by the float16 code of their score; two of them add up with ``+``.

    Attributes
    ----------
    normal, defective : ndarray, shape (65536,), int64
        Pixels outside and inside of regions.
    overlap : ndarray, shape (65536,), float64
        Sum of 1/|region| over the defective pixels: it adds up to the number of regions.
    regions : int
    """

    normal: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CODES, np.int64))
    defective: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CODES, np.int64))
    overlap: NDArray[np.float64] = field(default_factory=lambda: np.zeros(CODES, np.float64))
    regions: int = 0

    @classmethod
    def of_image(cls, scores: ArrayLike, regions: Regions) -> CodeHistogram:
        """Return the histogram of one image.

        Parameters
        ----------
        scores : array_like, shape (h, w)
            Higher = more anomalous; rounded to float16, so the caller scales what float16 cannot hold.
        regions : Regions
            Of a mask of the same shape.

        Raises
        ------
        ValueError
            Shapes differ, or a score is NaN.
        """
        values = np.asarray(scores)
        if values.shape != regions.labels.shape:
            raise ValueError(f"expected a map of the mask's shape {regions.labels.shape}, got {values.shape}")
        with np.errstate(over="ignore"):
            bits = np.ascontiguousarray(values, np.float16).view(np.uint16)
        every = _in_order(np.bincount(bits.ravel(), minlength=CODES))
        if every[:_LOWEST].any() or every[_HIGHEST + 1 :].any():
            raise ValueError("a map has NaN; a score may be infinite but must be a number")
        if not regions.number:
            return cls(normal=every)
        inside = regions.labels != 0
        labels, defective = regions.labels[inside], bits[inside]
        weights = 1.0 / np.bincount(labels, minlength=regions.number + 1)[1:]
        counts = _in_order(np.bincount(defective, minlength=CODES))
        overlap = np.bincount(defective, weights=weights[labels - 1], minlength=CODES)
        return cls(every - counts, counts, _in_order(overlap), regions.number)

    def __add__(self, other: CodeHistogram) -> CodeHistogram:
        return CodeHistogram(
            self.normal + other.normal,
            self.defective + other.defective,
            self.overlap + other.overlap,
            self.regions + other.regions,
        )

    def __iadd__(self, other: CodeHistogram) -> CodeHistogram:
        self.normal += other.normal
        self.defective += other.defective
        self.overlap += other.overlap
        self.regions += other.regions
        return self

    def descending(self) -> _Descending:
        """Return what lies at each distinct score, from the highest to the lowest."""
        there = np.flatnonzero((self.normal > 0) | (self.defective > 0))[::-1]
        return _Descending(self.normal[there], self.defective[there], self.overlap[there])


class _Descending(NamedTuple):
    normal: NDArray[np.int64]
    defective: NDArray[np.int64]
    overlap: NDArray[np.float64]


def pixel_auroc(histogram: CodeHistogram) -> float:
    """Return the area under the ROC curve of all pixels, ties counted half; NaN without one of the kinds."""
    normal, defective, _ = histogram.descending()
    pixels = float(normal.sum()) * float(defective.sum())
    if not pixels:
        return float("nan")
    above = np.cumsum(defective) - defective
    return float(np.dot(normal.astype(np.float64), above + defective / 2) / pixels)


def pixel_ap(histogram: CodeHistogram) -> float:
    """Return the average precision over all pixels, a sum of steps; NaN without one of the kinds.

    anomalib's AUPR, adeval and VisA's script integrate by trapezoids instead, which gives more.
    """
    normal, defective, _ = histogram.descending()
    if not normal.sum() or not defective.sum():
        return float("nan")
    true, false = np.cumsum(defective), np.cumsum(normal)
    return float(np.sum(defective * (true / (true + false))) / true[-1])


def pixel_f1max(histogram: CodeHistogram) -> float:
    """Return the largest F1 over all thresholds, an oracle's; NaN without one of the kinds."""
    normal, defective, _ = histogram.descending()
    if not normal.sum() or not defective.sum():
        return float("nan")
    true, false = np.cumsum(defective), np.cumsum(normal)
    return float((2 * true / (true + false + true[-1])).max())


def aupro(histogram: CodeHistogram, limit: float = LIMIT) -> float:
    """Return the area under the per-region overlap curve up to a false positive rate, divided by it.

    The points are at the distinct scores, from (0, 0); PRO is the mean over all regions of the share of the
    region that is found, FPR the share of all normal pixels, those of good images included. At the limit the
    curve is interpolated linearly, and nothing is rescaled.

    Parameters
    ----------
    limit : float
        Of the false positive rate, in (0, 1]; 0.3 for MVTec AD, 0.05 for MVTec AD 2.

    Returns
    -------
    float
        In [0, 1]; NaN without a region or without a normal pixel. A constant map has limit / 2.

    References
    ----------
    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021, section 4.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"expected a limit in (0, 1], got {limit}")
    normal, _, overlap = histogram.descending()
    if not histogram.regions or not normal.sum():
        return float("nan")
    fpr = np.concatenate(([0.0], np.cumsum(normal) / normal.sum()))
    pro = np.concatenate(([0.0], np.minimum(np.cumsum(overlap) / histogram.regions, 1.0)))
    last = int(np.searchsorted(fpr, limit, side="right"))
    inside_fpr, inside_pro = fpr[:last], pro[:last]
    if inside_fpr[-1] < limit:
        inside_fpr = np.append(inside_fpr, limit)
        inside_pro = np.append(
            inside_pro, np.interp(limit, fpr[last - 1 : last + 1], pro[last - 1 : last + 1])
        )
    steps = np.diff(inside_fpr)
    return float(np.dot(steps, inside_pro[1:] + inside_pro[:-1]) / (2 * limit))


def tie_width(histogram: CodeHistogram, limit: float = LIMIT) -> float:
    """Return the share of the normal pixels that have the score at which the limit lies.

    Of a coarse map one tie may span the limit: `aupro` is then a straight line's there, not the curve's.
    """
    normal = histogram.descending().normal
    if not normal.sum():
        return float("nan")
    fpr = np.cumsum(normal) / normal.sum()
    return float(normal[min(int(np.searchsorted(fpr, limit)), len(fpr) - 1)] / normal.sum())


def pixel_metrics(histogram: CodeHistogram) -> dict[str, float]:
    """Return the metrics of `PIXEL_METRICS` that are defined, each in [0, 1]."""
    values = (
        pixel_auroc(histogram),
        pixel_ap(histogram),
        pixel_f1max(histogram),
        aupro(histogram),
        aupro(histogram, LIMIT_5),
    )
    return {name: value for name, value in zip(PIXEL_METRICS, values, strict=True) if not np.isnan(value)}


class Bounds(NamedTuple):
    """How far the metrics of maps with more digits than float16 can lie from those of the histogram."""

    auroc: float
    ap: float
    aupro: float


def rounding_bounds(histogram: CodeHistogram, limit: float = LIMIT) -> Bounds:
    """Return bounds of what rounding to float16, which keeps the order, can have changed.

    Within a code the order is unknown: AUROC by at most half the sum of products of shares, AUPRO likewise
    below the limit and in the code at it, average precision between the best and the worst order of each.
    """
    normal, defective, overlap = histogram.descending()
    if not normal.sum() or not defective.sum():
        return Bounds(0.0, 0.0, 0.0)
    share, found = normal / normal.sum(), defective / defective.sum()
    below = np.concatenate(([0.0], np.cumsum(share)[:-1])) < limit
    areas = (np.minimum(share, limit) * overlap / max(1, histogram.regions))[below]
    return Bounds(
        auroc=float(np.dot(share, found) / 2),
        ap=_ap_bound(normal, defective),
        aupro=float(min(1.0, areas.sum() / (2 * limit) + (areas[-1] if len(areas) else 0.0) / (2 * limit))),
    )


def _ap_bound(normal: NDArray[np.int64], defective: NDArray[np.int64]) -> float:
    from scipy.special import digamma

    true, false = np.cumsum(defective) - defective, np.cumsum(normal) - normal

    def ordered(before: NDArray[Any]) -> float:
        """Return the sum of precisions at each defective pixel, `before` normal ones above its code."""
        start = true + before
        return float(np.sum(defective - before * (digamma(start + defective + 1) - digamma(start + 1))))

    tied = float(np.sum(defective * ((true + defective) / (true + defective + false + normal))))
    best, worst = ordered(false), ordered(false + normal)
    return max(best - tied, tied - worst, 0.0) / float(defective.sum())
