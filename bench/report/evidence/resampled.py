"""Pixel metrics of methods on a data set: which differ, by a bootstrap over test images.

Replicates are made while the maps are at hand (`bench.metrics.resampling`); methods with the same test images
have the same draws, so the difference of two replicates is one of the methods' difference. What is claimed is
of these images, and of the runs that were made: where there are several seeds, of their mean.

Few images with large defects carry most of a pooled metric, and the spread of its replicates is uncertain and
often too small. So a variance counts as one of half as many images as there are: of simulated pairs of equal
methods (20 good and 30 defective images, areas that differ tenfold) 3 to 6 % then differ at 5 %, instead of
up to 8 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.core.errors import ArchiveError
from bench.metrics.pixel import PIXEL_METRICS
from bench.report.evidence.comparison import Comparison, compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.samples import ImageReplicates, Samples
from bench.stats import Floats


class _OnTask(NamedTuple):
    """A row on one task: its test set, the smaller number of images of a label, replicates by metric."""

    truth: str
    images: int
    replicates: Mapping[str, Floats]


@lru_cache(maxsize=64)
def compare_pixels(evidence: Evidence, name: str, rate: float) -> dict[str, Comparison]:
    """Return the comparison of each metric of `PIXEL_METRICS` on a data set, of the rows that rank.

    Only rows count whose cells all have replicates of the same test images; a metric that no row has is not
    there.
    """
    columns, held = evidence.board.datasets[name], {}
    for row in evidence.board.ranked:
        found = [on for column in columns if (on := _on_task(evidence, row, column, rate))]
        if len(found) == len(columns):
            held[row] = found
    if len({tuple(on.truth for on in found) for found in held.values()}) != 1:
        return {}
    of_metric = {}
    for metric in PIXEL_METRICS:
        rows = tuple(row for row, found in held.items() if all(metric in on.replicates for on in found))
        if not rows:
            continue
        images = ImageReplicates(
            np.stack([[on.replicates[metric] / len(columns) for on in held[row]] for row in rows]),
            np.array([freedom(on.images) for on in held[rows[0]]]),
        )
        samples = Samples(
            rows=rows,
            blocks=(0,),
            values=(evidence.values(columns, rows, rate, metric=metric),),
            told=np.ones(len(rows), bool),
            images=(images,),
            comparable=name not in evidence.mixed,
        )
        of_metric[metric] = compare_methods(samples.with_freedom(), rope=evidence.rope)
    return of_metric


def freedom(images: int) -> float:
    """Return the degrees of freedom of a variance over replicates, from the images of the rarer label."""
    return max(1.0, (images - 1) / 2)


def _on_task(evidence: Evidence, row: int, column: int, rate: float) -> _OnTask | None:
    """Return what a row has on a task, means over seeds; None unless all cells have it."""
    records, every = evidence.board.group(row, column, rate).records, []
    truths = {record.truth for record in records if record is not None}
    if evidence.archive is None or len(truths) != 1:
        return None  # other test images for each seed are other draws
    images = 0
    for record in records:
        if record is None or record.status != "ok":
            return None
        try:
            beside = evidence.archive.beside(record)
        except ArchiveError:
            return None
        every.append({name: beside.get(f"{name}_resampled") for name in PIXEL_METRICS})
        good = record.counts["test"] - record.counts["test_anomalous"]
        images = min(number for number in (good, record.counts["test_anomalous"]) if number)
    means = {}
    for name in PIXEL_METRICS:
        there = [values.astype(np.float64) for each in every if (values := each[name]) is not None]
        if len(there) == len(every) and len({len(values) for values in there}) == 1:
            means[name] = np.mean(there, axis=0)
    return _OnTask(truths.pop(), images, means) if means else None
