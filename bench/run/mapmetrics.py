"""What a task's anomaly maps are worth: one pass over the spool with the task's own masks.

One image is in memory at a time. Good images come first, since AUPIMO asks what they score. Every map comes
to its mask's size and is rounded to float16; scopes are the task's pooled pixels, and each defective image
alone (``per_image``). The ``_256`` metrics are the preset ``256nearest``: masks by nearest pixel to 256 x
256, maps bilinearly to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.task import Mask
from bench.metrics.maps import WHOLE, fitted, nearest_mask
from bench.metrics.pimo import LOWER, NormalTail, aupimo
from bench.metrics.pixel import (
    CODES,
    CodeHistogram,
    Regions,
    aupro,
    pixel_auroc,
    pixel_metrics,
    regions_of,
    rounding_bounds,
    tie_width,
)
from bench.metrics.pixelthreshold import SUMMARY, map_summary, pixel_curve
from bench.metrics.resampling import Resampled, bin_starts, image_draws
from bench.run.spool import MapFile

#: Height and width of the preset ``256nearest``.
PRESET = (256, 256)
#: A bound on a metric is said from here on; and a share of normal pixels with one score at AUPRO's limit.
SAID_FROM, WIDE_TIE = 1e-4, 0.05
#: Images with a strange mask that are named.
NAMED = 5


class PixelResults(NamedTuple):
    """What maps are worth.

    Attributes
    ----------
    metrics : dict of str to float
        Those that are defined.
    counts : dict of str to int
        ``regions``, ``map_height``, ``map_width``.
    arrays : dict of str to ndarray
        To be kept beside the scores (`bench.core.scorefile.BESIDE`): AUPIMO and summaries of each image, in
        the order of the test images; metrics of resampled ones; and how many pixels have which scores.
    flags : tuple of str
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    arrays: dict[str, NDArray[np.float64]]
    flags: tuple[str, ...]


@dataclass(slots=True)
class _Sums:
    """What is known so far of a task's maps."""

    pooled: CodeHistogram = field(default_factory=CodeHistogram)
    preset: CodeHistogram = field(default_factory=CodeHistogram)
    pixel_auroc: list[float] = field(default_factory=list)
    aupro: list[float] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    marked: list[int] = field(default_factory=list)
    interpolated: bool = False
    resampled: Resampled | None = None

    def add(
        self, row: int, scores: NDArray[np.float16], covers: tuple[float, ...], mask: Mask
    ) -> NDArray[np.float32]:
        """Add the image of a row; return its map at the size of its mask."""
        at_mask = fitted(scores, mask.shape, covers)
        one = CodeHistogram.of_image(at_mask, regions_of(mask))
        self.pooled += one
        if self.resampled is not None:
            self.resampled.add(row, one)
        self.interpolated = self.interpolated or at_mask.shape != scores.shape or covers != WHOLE
        if mask.shape == PRESET:
            self.preset += one
        else:
            small = regions_of(nearest_mask(mask, PRESET))
            self.preset += CodeHistogram.of_image(fitted(scores, PRESET, covers), small)
        if one.regions:
            self.pixel_auroc.append(pixel_auroc(one))
            self.aupro.append(aupro(one))
        return at_mask


def measure(
    maps: MapFile, masks: Sequence[Mask], labels: NDArray[np.uint8], at: Sequence[int], *, seed: int = 0
) -> PixelResults:
    """Return what a task's maps are worth.

    Parameters
    ----------
    maps : MapFile
    masks : sequence of ndarray, each of shape (h, w), bool
        Of the test images; read one by one.
    labels : ndarray, shape (n,), uint8
        1 = anomalous: from the list of files, whatever the masks show.
    at : sequence of int
        The position among the maps of each test image.
    seed : int
        Of the draws of test images: the same for all methods that are to be compared.

    Raises
    ------
    ScoreError
        A map has NaN.
    DataError
        A mask cannot be read.
    """
    good, defective = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    draws, (starts, summaries) = image_draws(labels, seed=seed), _looked_over(maps, at)
    resampled = None if draws is None else Resampled(draws, starts)
    sums, found = _Sums(resampled=resampled), np.full(len(labels), np.nan)
    # Masks of good images are not read from files, as they have none: only their sizes are.
    tail = NormalTail(len(good), max((masks[int(row)].size for row in good), default=0))
    for row in good.tolist():
        mask = masks[row]
        tail.add(sums.add(row, maps.read(at[row]), maps.covers, mask))
        if mask.any():
            sums.marked.append(row)
    curve, resolved = tail.curve(), tail.pixels * LOWER >= 1
    for row in defective.tolist():
        mask = masks[row]
        at_mask = sums.add(row, maps.read(at[row]), maps.covers, mask)
        if not mask.any():
            sums.empty.append(row)
        elif mask.all():
            sums.full.append(row)
        if resolved:
            found[row] = aupimo(at_mask[mask], curve)
    metrics = pixel_metrics(sums.pooled)
    metrics |= {"aupimo": _mean(found)}
    metrics |= {"pixel_auroc_per_image": _mean(sums.pixel_auroc), "aupro_per_image": _mean(sums.aupro)}
    metrics |= {f"{name}_256": value for name, value in pixel_metrics(sums.preset).items()}
    arrays = {"maps": summaries.ravel()}
    arrays |= {
        f"pixels_{name}": values for name, values in pixel_curve(sums.pooled, starts, maps.exponent).items()
    }
    if not np.isnan(found).all():
        arrays["aupimo"] = found
    if resampled is not None:
        replicates = resampled.replicates(sums.pooled)
        arrays |= {f"{name}_resampled": values for name, values in replicates.items()}
    return PixelResults(
        {name: value for name, value in metrics.items() if not np.isnan(value)},
        {"regions": sums.pooled.regions, "map_height": maps.shape[0], "map_width": maps.shape[1]},
        arrays,
        tuple(_flags(maps, sums, tail)),
    )


def _looked_over(maps: MapFile, at: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return bins for the scores of all maps, as they are, and a summary of each test image's, (n, 4)."""
    nothing, pixels = Regions(np.zeros(maps.shape, np.int32), 0), np.zeros(CODES, np.int64)
    summaries = np.empty((len(at), SUMMARY))
    for row, position in enumerate(at):
        values = maps.read(position)
        pixels += CodeHistogram.of_image(values, nothing).normal
        with np.errstate(all="ignore"):  # a score may be infinite
            summaries[row] = map_summary(np.ldexp(values.astype(np.float64), maps.exponent)[None])[0]
    return bin_starts(pixels), summaries


def _mean(values: NDArray[np.float64] | Sequence[float]) -> float:
    """Return the mean of what is defined; NaN if nothing is."""
    held = np.asarray(values, np.float64)
    held = held[~np.isnan(held)]
    return float(held.mean()) if len(held) else float("nan")


def _flags(maps: MapFile, sums: _Sums, tail: NormalTail) -> Iterator[str]:
    """Yield what a reader of the pixel metrics should know."""
    if maps.covers != WHOLE:
        share = maps.covers[2] * maps.covers[3]
        yield f"maps cover {share:.0%} of each image: pixels outside take the score of the nearest inside"
    for rows, what in (
        (sums.empty, "anomalous images have an empty mask: their pixels count as normal"),
        (sums.full, "anomalous images have a mask without a normal pixel"),
        (sums.marked, "good images have a mask that is not empty: its pixels count as defective"),
    ):
        if rows:
            named = ", ".join(map(str, rows[:NAMED])) + (", …" if len(rows) > NAMED else "")
            yield f"{len(rows)} {what} (of the test images, from 0: {named})"
    if not sums.pooled.regions:
        yield "no mask marks anything: pixel metrics undefined"
        return
    if not maps.exact or sums.interpolated:
        bounds = rounding_bounds(sums.pooled)
        told = [
            f"{name} {value:.1e}"
            for name, value in zip(bounds._fields, bounds, strict=True)
            if value > SAID_FROM
        ]
        if told:
            yield f"pixel scores rounded to float16 may change metrics by up to: {', '.join(told)}"
    if (width := tie_width(sums.pooled)) > WIDE_TIE:
        yield f"{width:.0%} of the normal pixels share the score at AUPRO's limit: a straight line there"
    pixels = tail.pixels * LOWER
    if pixels < 1:
        yield f"AUPIMO undefined: it needs {1 / LOWER:.0f} pixels of good images, there are {tail.pixels}"
    elif pixels < 100:
        yield f"AUPIMO rests on {pixels:.0f} pixels of good images at its lower bound (better: 100 or more)"
