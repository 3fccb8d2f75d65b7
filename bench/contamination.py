"""Contamination: a change of a task by which a given share of its train images are really anomalies.

"10 % contamination" has five meanings in published code; here it is one frozen object (PROTOCOLS, section 4).
Draws go by the order of sha256 hashes of (seed, data set, task, position in the pool), so that they are the
same on every platform, nested over rates (the draw for 5 % is the beginning of the draw for 10 %), shared by
all methods and independent of the method's own seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.images import Images
from bench.masks import LazyMasks
from bench.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """How a task's train images are contaminated.

    Attributes
    ----------
    rate : float
        From 0 to 0.5.
    of : {"set", "normals"}
        The rate is the share of the resulting train set, or relative to the clean set's size.
    mode : {"add", "replace"}
        Add anomalies to the normals, or replace normals so that the number of train images stays.
    source : {"holdout", "test", "test_overlap"}
        Where anomalies come from: labelled anomalies of the train split; the test set, from which they are
        then removed ("no overlap"); or the test set, where they stay.
    shortage : {"error", "cap"}
        What to do when the pool is too small: fail, or take what there is and record the realised rate.
    seed : int
        Of the draw.
    reserve : float
        The highest rate of the sweep. With ``source="test"`` the anomalies for that rate leave the test set
        at every rate, so that the test set is the same for the whole curve.
    """

    rate: float = 0.0
    of: Literal["set", "normals"] = "set"
    mode: Literal["add", "replace"] = "add"
    source: Literal["holdout", "test", "test_overlap"] = "holdout"
    shortage: Literal["error", "cap"] = "error"
    seed: int = 0
    reserve: float = 0.0

    def __post_init__(self) -> None:
        for what, value in (("rate", self.rate), ("reserve", self.reserve)):
            if not 0 <= value <= 0.5:
                raise ValueError(f"contamination {what} {value} lies outside 0 to 0.5")

    def resolved(self) -> Contamination:
        """Return the one form of all contaminations that mean the same, so that they share a cell's key."""
        reserve = max(self.rate, self.reserve) if self.source == "test" else 0.0
        if not self.rate and not reserve:
            return Contamination()
        return replace(self, reserve=reserve)

    def count(self, n: int, rate: float | None = None) -> int:
        """Return how many anomalies `n` clean train images get, rounded down, in exact arithmetic.

        With ``mode="add"`` and ``of="set"`` that is ``r n / (1 - r)``, in every other case ``r n``.
        """
        exact = Fraction(str(self.rate if rate is None else rate))
        if self.of == "set" and self.mode == "add":
            exact = exact / (1 - exact)
        return int(exact * n)


def hash_order(n: int, *names: object) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)``, shape (n,), that depends on `names` only, on every platform."""
    prefix = "/".join(str(name) for name in names).encode()
    digests = [hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n)]
    return np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable").astype(np.int64)


def contaminate(task: Task, dataset: str, how: Contamination) -> tuple[Task, dict[str, Any]]:
    """Return the contaminated task and what was drawn.

    Parameters
    ----------
    task : Task
        A clean task.
    dataset : str
        Canonical name of its data set, for the draw's seed.

    Returns
    -------
    task : Task
        With `train_labels` (1 = anomalous), known to the runner alone.
    drawn : dict
        ``count``; ``rate``, the realised share of the resulting train set; ``indices``, a hash of the drawn
        positions in the pool; ``removed_from_test``, how many images left the test set.

    Raises
    ------
    DataError
        The pool holds too few anomalies and ``shortage="error"``.
    """
    n = len(task.train)
    if not how.rate and not how.reserve:
        clean = replace(task, train_labels=np.zeros(n, np.uint8))
        return clean, {"count": 0, "rate": 0.0, "indices": "", "removed_from_test": 0}
    pool, positions = _pool(task, how)
    order = hash_order(len(positions), "contamination", how.seed, dataset, task.name)
    wanted, reserved = how.count(n), how.count(n, max(how.rate, how.reserve))
    # Without overlap at least one anomaly must stay in the test set.
    available = max(len(positions) - (how.source == "test"), 0)
    if max(wanted, reserved) > available:
        if how.shortage == "error":
            raise DataError(
                f"{dataset}/{task.name}: contamination of {max(how.rate, how.reserve):.0%} ({how.of}) needs "
                f"{max(wanted, reserved)} anomalies for {n} train images, but {how.source} has {available}; "
                'lower the rate, or set shortage = "cap"'
            )
        wanted, reserved = min(wanted, available), min(reserved, available)
    drawn = positions[order[:wanted]]
    kept = np.arange(n)
    if how.mode == "replace" and wanted:
        kept = np.sort(hash_order(n, "replaced", how.seed, dataset, task.name)[wanted:])
    # Mixed and sealed, so that no method can tell the anomalies by their place or by where they come from.
    mixed = hash_order(len(kept) + wanted, "mixed", how.seed, dataset, task.name)
    train, inside = (task.train[kept] + pool[drawn])[mixed].sealed()
    contaminated = replace(
        task,
        train=train,
        sources=(*task.sources, inside),
        train_labels=np.concatenate([np.zeros(len(kept), np.uint8), np.ones(wanted, np.uint8)])[mixed],
    )
    removed = positions[order[:reserved]] if how.source == "test" else positions[:0]
    return _without(contaminated, removed), {
        "count": wanted,
        "rate": wanted / (len(kept) + wanted),
        "indices": hashlib.sha256(np.sort(drawn).astype("<i8").tobytes()).hexdigest()[:16],
        "removed_from_test": len(removed),
    }


def _pool(task: Task, how: Contamination) -> tuple[Images, NDArray[np.int64]]:
    """Return the images to draw from and the positions of the anomalies among them."""
    if how.source == "holdout":
        if task.holdout is None:
            raise DataError(
                f"{task.name}: this data set has no labelled train anomalies to contaminate with; "
                'set source = "test" (no overlap) or "test_overlap"'
            )
        return task.holdout, np.arange(len(task.holdout))
    return task.test, np.flatnonzero(task.test_labels == 1)


def _without(task: Task, removed: NDArray[np.int64]) -> Task:
    if not len(removed):
        return task
    stays = np.setdiff1d(np.arange(len(task.test)), removed)
    return replace(
        task,
        test=task.test[stays],
        test_labels=task.test_labels[stays],
        test_types=tuple(task.test_types[i] for i in stays),
        masks=None if task.masks is None else LazyMasks.selection(task.masks, [int(i) for i in stays]),
    )
