"""Evaluation: what `bench.evaluate` found of one detector; `compare` sets two beside each other.

An evaluation is a method on one task with some seeds: intervals and tests are those that reports and
`anobench diff` have for such a task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from bench.core.cell import Cell, Record
from bench.core.contamination import Contamination
from bench.core.errors import AnobenchError
from bench.core.truth import Truth
from bench.metrics.image import image_metrics
from bench.report.compare.images import PairedImages
from bench.report.compare.method import compare_method
from bench.report.compare.paired import PairedTask
from bench.report.compare.sides import Measured, ResultKey
from bench.stats import Floats
from bench.stats.delong import image_parts, variance_over_images
from bench.stats.interval import perfect_interval, share_interval
from bench.stats.multiple import ROPE
from bench.stats.placements import placements
from bench.stats.seeds import SEEDS_OF_ONE_TASK, by_task

if TYPE_CHECKING:
    import pandas as pd

_PLACE = ResultKey("", "", "", "", "", "", "0.0")
#: Resamples of the test images for intervals of metrics other than AUROC.
RESAMPLES = 500


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One detector on one test set.

    Attributes
    ----------
    name : str
    truth : Truth
        Labels, 1 = anomalous, and which images they are of.
    values : ndarray, shape (seeds, n)
        Scores, higher = more anomalous.
    seeds : tuple of int
    random : bool
        Whether the seed changes anything.
    seconds : dict of str to float
        ``fit`` and ``score``, the mean over seeds, features included.
    pixels : dict of str to float
        Pixel metrics, where masks were given and the detector has maps: the mean over seeds.
    """

    name: str
    truth: Truth
    values: Floats
    seeds: tuple[int, ...]
    random: bool
    seconds: Mapping[str, float] = field(default_factory=dict)
    pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def labels(self) -> NDArray[np.uint8]:
        return self.truth.labels

    @property
    def metrics(self) -> dict[str, float]:
        """AUROC, AP, FPR at 95 % and F1max, the mean over seeds, in [0, 1]; then pixel metrics."""
        every = [image_metrics(self.labels, scores) for scores in self.values]
        return {name: float(np.mean([each[name] for each in every])) for name in every[0]} | dict(self.pixels)

    def interval(self, metric: str = "auroc", level: float = 0.95) -> tuple[float, float]:
        """Return the interval of a metric over test images, and over seeds for AUROC.

        AUROC's is that of a leaderboard: DeLong's variance and that over seeds, on the logit scale. Other
        metrics have percentiles over resampled test images of each class. NaN where nothing can be told: a
        random detector's AUROC with fewer than five seeds.
        """
        if metric == "auroc":
            return self._auroc_interval(level)
        if metric not in image_metrics(self.labels, self.values[0]):
            raise AnobenchError(f"there is no interval of {metric!r}; available: auroc, ap, fpr95, f1max")
        rng, found = np.random.default_rng(0), []
        of = [np.flatnonzero(self.labels == label) for label in (0, 1)]
        for _ in range(RESAMPLES):
            drawn = np.concatenate([rng.choice(each, len(each)) for each in of])
            held = [image_metrics(self.labels[drawn], scores[drawn])[metric] for scores in self.values]
            found.append(float(np.mean(held)))
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return low, high

    def _auroc_interval(self, level: float) -> tuple[float, float]:
        if self.random and len(self.seeds) < SEEDS_OF_ONE_TASK:
            return math.nan, math.nan
        placed = placements(self.labels, self.values)
        parts = image_parts(placed, self.labels).mean(axis=0, keepdims=True)
        variance = variance_over_images(parts, self.labels.astype(np.int64))
        if self.random:
            variance = variance + by_task(placed.auroc[None])
        mean = placed.auroc.mean(keepdims=True)
        low, high = share_interval(mean, variance, level=level)[0].tolist()
        if not math.isnan(low):
            return low, high
        anomalous = int(self.labels.sum())
        low, high = perfect_interval(anomalous=anomalous, normal=len(self.labels) - anomalous, level=level)
        return (low, high) if mean[0] > 0.5 else (1 - high, 1 - low)

    def frame(self) -> pd.DataFrame:
        """Return the scores: a row for each seed and test image, with image, label, seed and score."""
        import pandas as pd

        n, runs = len(self.labels), len(self.seeds)
        return pd.DataFrame(
            {
                "image": np.tile(np.arange(n), runs),
                "label": np.tile(self.labels, runs),
                "seed": np.repeat(self.seeds, n),
                "score": self.values.ravel(),
            }
        )

    def __repr__(self) -> str:
        low, high = self.interval()
        span = "" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f})"
        return f"<Evaluation of {self.name}: AUROC {100 * self.metrics['auroc']:.1f}{span}>"

    # What `PairedImages` asks an archive.
    def scores(self, record: Record) -> Floats:
        found: Floats = self.values[self.seeds.index(record.cell.seed or 0)]
        return found

    def cells(self) -> dict[str, Measured]:
        """Return the evaluation as a comparison has it: by seed, or a single one where none counts."""
        found = {}
        for seed, scores in zip(self.seeds, self.values, strict=True):
            cell = Cell(
                dataset="",
                task="",
                method=self.name,
                params=(),
                backbone="",
                contamination=Contamination(),
                seed=seed,
            )
            record = Record(cell=cell, status="ok", setting="", selection="", truth=self.truth.identity)
            metrics = image_metrics(self.labels, scores)
            found[str(seed) if self.random else ""] = Measured("ok", metrics, record, self.random)
        return found


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """How two detectors differ on the same test images.

    Attributes
    ----------
    difference : float
        AUROC of the second less that of the first, in [-1, 1].
    low, high : float
        Its 95 % interval; NaN where it cannot be told.
    p : float
        Of no difference, two-sided: the paired test over test images and seeds; NaN where it cannot be told.
    equivalent : bool
        They differ by less than `rope`, by two one-sided tests at 5 %.
    rope : float
    why : str
        Why it cannot be told.
    """

    difference: float
    low: float
    high: float
    p: float
    equivalent: bool
    rope: float = ROPE
    why: str = ""


def compare(a: Evaluation, b: Evaluation, *, rope: float = ROPE) -> PairedComparison:
    """Compare two detectors that were evaluated on the same test images: ``bench.compare``.

    Parameters
    ----------
    a, b : Evaluation
    rope : float
        Share of 1: the region of practical equivalence.

    Raises
    ------
    AnobenchError
        They are no evaluations, or of different test images or labels.

    Examples
    --------
    >>> import numpy as np, bench
    >>> from sklearn.neighbors import LocalOutlierFactor
    >>> from sklearn.svm import OneClassSVM
    >>> rng = np.random.default_rng(0)
    >>> train, test = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    >>> labels = np.repeat([0, 1], 50)
    >>> test[labels == 1] += 1.5
    >>> a = bench.evaluate(OneClassSVM(), train, test, labels)
    >>> b = bench.evaluate(LocalOutlierFactor(novelty=True), train, test, labels)
    >>> found = bench.compare(a, b)
    >>> found.low < found.difference < found.high
    True
    """
    for each in (a, b):
        if not isinstance(each, Evaluation):
            raise AnobenchError(f"compare: expected two results of bench.evaluate, got {type(each).__name__}")
    if a.truth.identity != b.truth.identity:
        raise AnobenchError("the two were evaluated on different test images or labels; give both the same")
    task = PairedTask(_PLACE, "auroc", a.cells(), b.cells())
    images = PairedImages(_Archive(a), _Archive(b), "auroc")  # type: ignore[arg-type]
    change = compare_method([task], images)[1][0]
    difference, nan = change.difference, math.nan
    if change.state == "same" and not change.needed:
        return PairedComparison(0.0, 0.0, 0.0, 1.0, equivalent=True, rope=rope)
    if change.p is None or change.se is None:
        why = f"{change.seeds} of the {change.needed} seeds that it takes" if change.needed else change.why
        return PairedComparison(difference, nan, nan, nan, equivalent=False, rope=rope, why=why)
    reach = float(stdtrit(change.freedom, 0.975)) * change.se
    inside = (
        (rope - abs(difference)) / change.se if change.se else math.copysign(math.inf, rope - abs(difference))
    )
    equal = float(stdtr(change.freedom, -inside)) <= 0.05
    return PairedComparison(
        difference, difference - reach, difference + reach, change.p, equivalent=equal, rope=rope
    )


@dataclass(frozen=True, slots=True)
class _Archive:
    """An evaluation as an archive of its scores."""

    of: Evaluation

    def scores(self, record: Record) -> Floats:
        return self.of.scores(record)

    def truth(self, record: Record) -> Truth:
        del record
        return self.of.truth
