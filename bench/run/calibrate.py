"""Calibration scores: what a method says of normal images that it was not fitted on.

A decision threshold needs them, and a method's scores of its own training images will not do: a memory bank
scores itself 0. So the training images are cut into folds, by an order that depends on the task alone, and
each fold is scored by a method fitted on the others; the method that scores the test images is fitted on all
of them, so the scores are a little too high rather than too low. ``held-out`` does so for the first fold
only. Under contamination the planted anomalies are among them: nobody who sets a threshold knows which.

The methods of the folds score the test images, too, where all folds are scored: cross-conformal decisions
compare a test image with each training image under the one method that saw neither.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.core.determinism import derive_seed
from bench.core.errors import ScoreError, kind_of, said
from bench.metrics.pimo import NormalTail
from bench.metrics.pixelthreshold import PIXEL_RATES, SUMMARY, map_summary, pooled_quantiles
from bench.run.evaluation import CellRun, Shuffled
from bench.run.spool import to_half
from bench.suite.keys import How
from bench.train.method import Method, Scores, returned_scores

#: A fold of normal images, and what it scored, both in the order of the task's training images.
Arrays = dict[str, NDArray[np.float64]]


def calibration_scores(
    cell_run: CellRun, make: Callable[[str], Method], *, folds: int, how: How
) -> tuple[Arrays, tuple[str, ...]]:
    """Return calibration scores, and remarks for the record.

    Parameters
    ----------
    cell_run : CellRun
        Opened; its test images are scored already.
    make : callable
        Makes an unfitted method like the cell's own, given a name for its checkpoints.
    folds : int
        Two or more.
    how : {"cross-fit", "held-out"}

    Returns
    -------
    arrays : dict
        ``calibration``, the scores, shape (m,), and ``calibration_fold``, the fold of each; with
        cross-fitting ``calibration_test``, the scores of the n test images by each fold's method, shape
        (folds · n,), unless the model serves other tasks too. Empty where the method cannot be fitted on a
        part of the images: a remark says why. Of methods with anomaly maps also ``calibration_maps``, shape
        (4 · m,), and ``calibration_pixels`` (`bench.metrics.pixelthreshold`).
    flags : tuple of str
    """
    images, n = cell_run.train.images, len(cell_run.train.images)
    if n < 2:
        return {}, (f"no calibration scores: {n} training images",)
    of = fold_of(cell_run.cell.train_name, n, min(folds, n))
    # In the order of the task, whatever order the method sees.
    of = of[cell_run.train.order]
    scores, of_test, maps = np.full(n, np.nan), [], _Maps(n if how == "cross-fit" else sum(of == 0), n)
    for fold in range(min(folds, n) if how == "cross-fit" else 1):
        method = make(f"fold-{fold}")
        try:
            method.fit(images[of != fold])
            scores[of == fold] = maps.of(returned_scores(method.score(images[of == fold])), of == fold)
            if how == "cross-fit" and cell_run.cell.train_name == cell_run.cell.task_name:
                of_test.append(_in_order(cell_run.test, method))
        except Exception as error:
            return {}, (f"no calibration scores: {kind_of(error)}: {said(error)}",)
    if not np.isfinite(scores[~np.isnan(scores)]).all():
        return {}, ("no calibration scores: some are infinite",)
    there = np.flatnonzero(~np.isnan(scores))
    there = there[np.argsort(cell_run.train.order[there])]
    found = {"calibration": scores[there], "calibration_fold": of[there].astype(np.float64)}
    found |= {"calibration_test": np.concatenate(of_test)} if of_test else {}
    return found | maps.arrays(there), ()


class _Maps:
    """What is kept of the normal images' maps.

    Parameters
    ----------
    images : int
        Of all folds that are scored.
    n : int
        Training images.
    """

    def __init__(self, images: int, n: int) -> None:
        self._images, self._summaries = images, np.full((n, SUMMARY), np.nan)
        self._tail: NormalTail | None = None

    def of(self, returned: Scores, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Take in a fold's maps, rounded as those of test images are; return its scores."""
        scores, rows = [np.empty(0)], np.flatnonzero(which)
        for given, maps in returned.each_part(len(rows)):
            if maps is not None:
                some = rows[sum(map(len, scores)) :][: len(maps)]
                halves, exponent, _ = to_half(maps)
                values = np.ldexp(halves.astype(np.float64), exponent)
                with np.errstate(all="ignore"):  # a score may be infinite
                    self._summaries[some] = map_summary(values)
                self._tail = self._tail or NormalTail(self._images, values[0].size, upper=max(PIXEL_RATES))
                for each in values:
                    self._tail.add(each)
            scores.append(given)
        return np.concatenate(scores)

    def arrays(self, rows: NDArray[np.int64]) -> Arrays:
        """Return what is kept of the images of some rows; nothing unless all have finite maps."""
        found = self._summaries[rows]
        if self._tail is None or not np.isfinite(found).all():
            return {}
        quantiles = pooled_quantiles(self._tail.curve())
        return {"calibration_maps": found.ravel(), "calibration_pixels": quantiles}


def _in_order(images: Shuffled, method: Method) -> NDArray[np.float64]:
    """Return what a method says of images, in the order of the task."""
    scores = np.empty(len(images.order))
    scores[images.order] = returned_scores(method.score(images.images)).checked(len(scores))
    return scores


def fold_of(task: str, n: int, folds: int) -> NDArray[np.int64]:
    """Return the fold of each of a task's training images: the same for all methods and seeds."""
    if folds < 2:
        raise ScoreError(f"expected 2 folds or more, got {folds}")
    order = np.random.default_rng(derive_seed("calibration", task, bits=31)).permutation(n)
    found = np.empty(n, np.int64)
    found[order] = np.arange(n) % folds
    return found
