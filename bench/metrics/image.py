"""Image-level metrics: pure functions on labels and scores, on numpy alone.

Scores may have any real range and be infinite; they are ordered, never squashed, clipped or repaired. All
metrics come from the counts of true and false positives at the distinct scores, so that one sort serves
them all. AUROC is a ratio of two integers, rounded once: it does not depend on the order of the images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The names of `image_metrics`, in the order in which reports show them.
IMAGE_METRICS = ("auroc", "ap", "fpr95", "f1max")

#: True and false positives at each distinct threshold, from the highest to the lowest.
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(anomalous > normal) + P(equal) / 2.

    Parameters
    ----------
    labels : array_like, shape (n,)
        1 (or True) = anomalous, 0 = normal.
    scores : array_like, shape (n,)
        Higher = more anomalous. Any real range; infinities are legal.

    Returns
    -------
    float
        In [0, 1]; NaN if one of the two classes is missing. Constant scores give 0.5.

    Raises
    ------
    ValueError
        Shapes differ or are not one-dimensional, a label is neither 0 nor 1, or a score is NaN.

    References
    ----------
    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    return _auroc(_counts(labels, scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision, the sum of (R_i - R_(i-1)) P_i over the distinct thresholds.

    There is no interpolation between thresholds; equal scores form one threshold. Anomalous is the positive
    class.

    Parameters
    ----------
    labels, scores : array_like, shape (n,)
        As for `auroc`.

    Returns
    -------
    float
        In (0, 1]; NaN if one of the two classes is missing. Constant scores give the share of anomalies.

    Raises
    ------
    ValueError
        As for `auroc`.
    """
    return _average_precision(_counts(labels, scores))


def fpr_at_tpr(labels: ArrayLike, scores: ArrayLike, tpr: float = 0.95) -> float:
    """Return the false positive rate at the highest threshold that finds a share `tpr` of the anomalies.

    Thresholds are the distinct scores; an image is reported if its score reaches the threshold.

    Parameters
    ----------
    labels, scores : array_like, shape (n,)
        As for `auroc`.
    tpr : float
        In (0, 1].

    Returns
    -------
    float
        In [0, 1], lower is better; NaN if one of the two classes is missing. Constant scores give 1.

    Raises
    ------
    ValueError
        As for `auroc`, or `tpr` outside (0, 1].
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"expected a true positive rate in (0, 1], got {tpr}")
    return _fpr_at_tpr(_counts(labels, scores), tpr)


def f1_max(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the largest F1 over all thresholds: an oracle's, as its threshold is chosen on the test set.

    Calling every image anomalous has 2 p / (1 + p) already, p being the share of anomalies.

    Parameters
    ----------
    labels, scores : array_like, shape (n,)
        As for `auroc`.

    Returns
    -------
    float
        In (0, 1]; NaN if one of the two classes is missing.

    Raises
    ------
    ValueError
        As for `auroc`.
    """
    return _f1_max(_counts(labels, scores))


def image_metrics(labels: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """Return all image-level metrics of one task, for one sort.

    Parameters
    ----------
    labels, scores : array_like, shape (n,)
        As for `auroc`.

    Returns
    -------
    dict
        ``auroc``, ``ap``, ``fpr95``, ``f1max``, each in [0, 1]. Where one class is missing no metric is
        defined, and the dictionary is empty: a record is JSON, which has no NaN.

    Raises
    ------
    ValueError
        As for `auroc`.
    """
    counts = _counts(labels, scores)
    values = (_auroc(counts), _average_precision(counts), _fpr_at_tpr(counts, 0.95), _f1_max(counts))
    return {name: value for name, value in zip(IMAGE_METRICS, values, strict=True) if not np.isnan(value)}


def _counts(labels: ArrayLike, scores: ArrayLike) -> Counts:
    """Return true and false positives at each distinct threshold, two arrays (t,) int64, both rising."""
    truth, ordered = _checked(labels, scores)
    if not len(truth):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(ordered)[::-1]
    ordered = ordered[order]
    # The last image of each run of equal scores; `!=` is right for infinities where a difference is not.
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    true = np.cumsum(truth[order], dtype=np.int64)[ends]
    return true, ends + 1 - true


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth: NDArray[Any] = np.asarray(labels)
    values: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise ValueError(
            f"expected labels and scores of the same shape (n,), got {truth.shape} and {values.shape}"
        )
    anomalous: NDArray[np.bool_] = truth == 1
    others = ~anomalous & (truth != 0)
    if others.any():
        raise ValueError(f"expected labels 0 (normal) and 1 (anomalous), got {truth[others][0]!r}")
    nans = int(np.count_nonzero(np.isnan(values)))
    if nans:
        raise ValueError(
            f"{nans} of {len(values)} scores are NaN; a score may be infinite but must be a number"
        )
    return anomalous, values


def _sizes(counts: Counts) -> tuple[int, int]:
    """Return the number of anomalous and of normal images."""
    true, false = counts
    return (int(true[-1]), int(false[-1])) if len(true) else (0, 0)


def _auroc(counts: Counts) -> float:
    anomalous, normal = _sizes(counts)
    if not anomalous or not normal:
        return float("nan")
    true, false = counts
    # Twice the area, in integers: each step's normals times the mean of the anomalies above and with them.
    doubled = np.diff(false, prepend=0) * (true + np.concatenate(([0], true[:-1])))
    return int(doubled.sum()) / (2 * anomalous * normal)


def _average_precision(counts: Counts) -> float:
    anomalous, normal = _sizes(counts)
    if not anomalous or not normal:
        return float("nan")
    true, false = counts
    return float(np.sum(np.diff(true, prepend=0) * (true / (true + false))) / anomalous)


def _f1_max(counts: Counts) -> float:
    anomalous, normal = _sizes(counts)
    if not anomalous or not normal:
        return float("nan")
    true, false = counts
    return float((2 * true / (true + false + anomalous)).max())


def _fpr_at_tpr(counts: Counts, tpr: float) -> float:
    anomalous, normal = _sizes(counts)
    if not anomalous or not normal:
        return float("nan")
    true, false = counts
    first = int(np.argmax(true / anomalous >= tpr))
    return int(false[first]) / normal
