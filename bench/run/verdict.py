"""What the driver says of a cell: metrics from its scores and labels, whatever its worker said.

Nothing here runs where a method does: what a method exchanges in its own process changes none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core import checks
from bench.core.cell import Cell, Record
from bench.core.errors import ScoreError, kind_of, said
from bench.core.truth import Truth
from bench.metrics.image import image_metrics
from bench.metrics.purification import OVERLAP_METRICS, PURIFICATION_METRICS

if TYPE_CHECKING:
    from bench.suite.resolve import ResolvedMethod


def record_header(
    cell: Cell, method: ResolvedMethod | None, environment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that a cell's record has, failed or not."""
    return {
        "cell": cell,
        "setting": cell.few_shot.setting or (method.setting if method else "one-class"),
        "selection": method.selection if method else "last",
        "environment": environment,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def failed_by(record: Record, error: BaseException) -> Record:
    """Return a record as failed for a reason that its worker did not give."""
    reason = {"kind": kind_of(error), "reason": said(error), "traceback": ""}
    return replace(record, status="failed", error=reason, metrics={}, candidates={}, truth="", timing=None)


def kept(record: Record) -> Record:
    """Return a record as it can be read again; failed, if what its cell did makes it none."""
    try:
        checks.record(record)
    except (TypeError, ValueError) as error:
        return failed_by(record, ScoreError(f"its record cannot be kept: {said(error)}"))
    return record


def evaluated(record: Record, scores: NDArray[Any] | None, truth: Truth | None) -> Record:
    """Return a record with the metrics, counts and flags of its scores; failed, if these cannot be evaluated.

    Parameters
    ----------
    truth : Truth or None
        What the record's `truth` names.
    """
    if record.status != "ok":
        return record
    try:
        if truth is None or truth.identity != record.truth:
            raise ScoreError("the labels of its test images did not come with its scores")
        if scores is None or scores.dtype.kind != "f" or scores.shape != truth.labels.shape:
            raise ScoreError(f"its scores are not one number for each of the {len(truth.labels)} test images")
        metrics = image_metrics(truth.labels, scores)
    except (ScoreError, ValueError) as error:
        return failed_by(record, error)
    own = (*PURIFICATION_METRICS, *OVERLAP_METRICS)
    chosen = {name: record.metrics[name] for name in own if name in record.metrics}
    counts = {"test": len(truth.labels), "test_anomalous": int(truth.labels.sum())}
    return replace(
        record,
        metrics=metrics | chosen,
        counts={**record.counts, **counts},
        flags=(*record.flags, *flags_of(scores, truth.labels)),
    )


def flags_of(scores: NDArray[Any], labels: NDArray[np.uint8]) -> tuple[str, ...]:
    flags = []
    if len(scores) and (scores == scores[0]).all():
        flags.append("constant scores")
    if len(np.unique(labels)) < 2:
        flags.append("one class only in the test set: AUROC undefined")
    if np.isinf(scores).any():
        flags.append("infinite scores")
    return tuple(flags)
