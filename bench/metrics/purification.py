"""How well a choice among contaminated training images was made: pure functions on labels and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.image import auroc

#: The names of `purification_metrics`, in the order in which reports show them.
PURIFICATION_METRICS = (
    "kept_anomalous",
    "filter_auroc",
    "normals_lost",
    "anomalies_kept",
    "estimated_rate",
)

#: The AUROC without the test anomalies that were trained on, of train sets that overlap with the test set.
OVERLAP_METRICS = ("auroc_unseen",)


def purification_metrics(
    labels: ArrayLike, kept: NDArray[np.bool_], scores: ArrayLike | None = None, rate: float | None = None
) -> dict[str, float]:
    """Return how many of the kept images are anomalous, how well the scores rank, and what it cost.

    Parameters
    ----------
    labels : array_like, shape (n,)
        The truth about the training images: 1 = anomalous.
    kept : ndarray, shape (n,), bool
    scores : array_like, shape (n,), optional
        Those that were filtered by, higher = more anomalous.
    rate : float, optional
        The contamination rate that was estimated.

    Returns
    -------
    dict
        ``kept_anomalous``, the share of anomalies among the kept images; ``filter_auroc``, the AUROC of the
        scores over all training images; ``normals_lost``, the share of the normal images that were not kept;
        ``anomalies_kept``, the share of the anomalies that were; ``estimated_rate``, as given.
        Each in [0, 1]; what is not defined (no anomaly to find, no scores) is left out.
    """
    truth = np.asarray(labels).astype(bool)
    found: dict[str, float] = {}
    if kept.any():
        found["kept_anomalous"] = float(truth[kept].mean())
    if scores is not None and 0 < truth.sum() < len(truth):
        found["filter_auroc"] = auroc(truth, scores)
    if not truth.all():
        found["normals_lost"] = float(1 - kept[~truth].mean())
    if truth.any():
        found["anomalies_kept"] = float(kept[truth].mean())
    if rate is not None:
        found["estimated_rate"] = rate
    return found
