"""Archives with scores for tests of reports: made-up scores of made-up images, evaluated as in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.metrics.image import image_metrics
from tests.report.report_factory import make_record

Scores = NDArray[np.float32]


def truth_of(labels: Any, rows: Any = None, source: str = "images", content: Any = None) -> Truth:
    """Return the truth of a test set; its images are rows 0, 1, … of one source unless they are given.

    `content` are the numbers of the images' content, which files of old do not have.
    """
    held = np.asarray(labels, np.uint8)
    at = np.arange(len(held)) if rows is None else np.asarray(rows)
    return Truth(
        labels=held,
        sources=(source,),
        which=np.zeros(len(held), np.uint8),
        rows=at.astype(np.int64),
        images=None if content is None else np.asarray(content, np.uint64),
    )


def write_archive(
    folder: Path,
    plan: Plan,
    score: Callable[[Entry, Truth], Any],
    truth: Callable[[Entry], Truth],
    **changes: Any,
) -> tuple[Archive, Mapping[str, Record]]:
    """Write every cell of a plan with its scores and their metrics; return archive and records."""
    archive = Archive(folder)
    records = {}
    for entry in plan.entries:
        of = truth(entry)
        scores = np.asarray(score(entry, of), np.float32)
        metrics = image_metrics(of.labels, scores)
        given = {"entry_row": plan.rows[entry.row], "truth": of.identity, **changes}
        record = replace(make_record(entry.cell, metrics["auroc"], **given), metrics=metrics)
        records[entry.cell.key] = archive.write(record, scores, of)
    archive.write_plan(plan)
    return archive, records


def balanced(entry: Entry, n: int = 20) -> Truth:
    """Return a test set of its own for each task: the first half normal, the second anomalous."""
    return truth_of(np.arange(n) >= n // 2, source=f"{entry.cell.dataset}/{entry.cell.task}")


def above(truth: Truth, hits: int) -> Scores:
    """Return scores whose AUROC is hits / anomalies: so many anomalies above all normals, the rest below."""
    scores = np.zeros(len(truth.labels), np.float32)
    anomalous = np.flatnonzero(truth.labels == 1)
    scores[anomalous] = -1 - np.arange(len(anomalous))
    scores[anomalous[:hits]] = 1 + np.arange(hits)
    scores[truth.labels == 0] = np.linspace(-0.5, 0.5, (truth.labels == 0).sum())
    return scores


def noisy(entry: Entry, truth: Truth, shift: float) -> Scores:
    """Return random scores, the same for the same cell; those of anomalies shifted."""
    rng = np.random.default_rng([entry.row, entry.column, entry.cell.seed or 0, round(100 * entry.rate)])
    scores: Scores = (rng.normal(size=len(truth.labels)) + shift * truth.labels).astype(np.float32)
    return scores
