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
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.images import Images
from bench.jitter import jittered
from bench.masks import LazyMasks
from bench.task import Task

Source = Literal["holdout", "test", "test_overlap", "jittered", "official"]
Draw = Literal["uniform", "per_type", "one_class"]
Shortage = Literal["error", "cap", "repeat", "skip"]


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
    source : {"holdout", "test", "test_overlap", "jittered", "official"}
        Where anomalies come from: labelled anomalies of the train split; the test set, from which they are
        then removed ("no overlap"); the test set, where they stay; jittered copies of test anomalies, whose
        originals stay in the test set (see `bench.jitter`); or the data set's own noisy train split.
    draw : {"uniform", "per_type", "one_class"}
        From the whole pool; in turn from each defect type or class; or from one of them, chosen by the seed
        (clustered contamination).
    shortage : {"error", "cap", "repeat", "skip"}
        What to do when the pool is too small: fail; take what there is and record the realised rate; draw
        some anomalies again; or leave such cells out of the plan.
    seed : int
        Of the draw.
    reserve : float
        The highest rate of the sweep. With ``source="test"`` the anomalies for that rate leave the test set
        at every rate, so that the test set is the same for the whole curve.
    """

    rate: float = 0.0
    of: Literal["set", "normals"] = "set"
    mode: Literal["add", "replace"] = "add"
    source: Source = "holdout"
    draw: Draw = "uniform"
    shortage: Shortage = "error"
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
        if self.source == "official":
            # The data set has drawn; nothing here depends on a seed.
            return Contamination(rate=self.rate, source="official")
        return replace(self, reserve=reserve)

    def count(self, n: int, rate: float | None = None) -> int:
        """Return how many anomalies `n` clean train images get, rounded down, in exact arithmetic.

        With ``mode="add"`` and ``of="set"`` that is ``r n / (1 - r)``, in every other case ``r n``.
        """
        exact = Fraction(str(self.rate if rate is None else rate))
        if self.of == "set" and self.mode == "add":
            exact = exact / (1 - exact)
        return int(exact * n)


#: What papers mean by their contamination rates. The paper behind "iterative" does not say, its entry is our
#: reading; HSCL rounds per class, here the total is rounded and dealt to the classes in turn.
PRESETS: dict[str, dict[str, str]] = {
    "adl": {"of": "set", "mode": "add", "source": "jittered", "shortage": "repeat"},
    "llbnad": {"source": "official"},
    "softpatch": {"of": "normals", "mode": "add", "source": "test"},
    "softpatch-overlap": {"of": "normals", "mode": "add", "source": "test_overlap"},
    "deepsad": {"of": "set", "mode": "add", "source": "holdout"},
    "hscl": {"of": "set", "mode": "add", "source": "holdout", "draw": "per_type"},
    "iterative": {"of": "set", "mode": "add", "source": "default"},
}


def hash_order(n: int, *names: object) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)``, shape (n,), that depends on `names` only, on every platform."""
    prefix = "/".join(str(name) for name in names).encode()
    digests = [hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n)]
    return np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable").astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Images to draw from, the positions of the anomalies among them, and each anomaly's type."""

    images: Images
    positions: NDArray[np.int64]
    types: tuple[str, ...]


def contaminate(task: Task, dataset: str, how: Contamination) -> tuple[Task, dict[str, Any]]:
    """Return the contaminated task and what was drawn.

    Parameters
    ----------
    task : Task
        A clean task; with ``source="official"`` the data set's noisy one, which knows its train labels.
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
        The pool holds too few anomalies and ``shortage="error"``, or there is no such pool.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return _as_it_is(task)
    pool, names = _pool(task, how), (how.seed, dataset, task.name)
    order, wanted, reserved = _enough(pool, task, dataset, how)
    chosen = pool.positions[order[:wanted]]
    drawn, keep = pool.images[chosen], task.sources
    if how.source == "jittered" and wanted:
        drawn, copies = jittered(drawn, "jitter", *names)
        keep = (*keep, copies)
    kept = np.arange(len(task.train))
    if how.mode == "replace" and wanted:
        kept = np.sort(hash_order(len(task.train), "replaced", *names)[wanted:])
    # Mixed and sealed, so that no method can tell the anomalies by their place or by where they come from.
    mixed = hash_order(len(kept) + wanted, "mixed", *names)
    train, inside = (task.train[kept] + drawn)[mixed].sealed()
    labels = np.concatenate([np.zeros(len(kept), np.uint8), np.ones(wanted, np.uint8)])[mixed]
    contaminated = replace(task, train=train, sources=(*keep, inside), train_labels=labels)
    removed = pool.positions[order[:reserved]] if how.source == "test" else pool.positions[:0]
    return _without(contaminated, removed), {
        "count": wanted,
        "rate": wanted / (len(kept) + wanted),
        "indices": hashlib.sha256(np.sort(chosen).astype("<i8").tobytes()).hexdigest()[:16],
        "removed_from_test": len(removed),
    }


def _enough(pool: _Pool, task: Task, dataset: str, how: Contamination) -> tuple[NDArray[np.int64], int, int]:
    """Return the order of drawing, how many are drawn, and how many are reserved for the highest rate."""
    n = len(task.train)
    order = _order(pool, how, (how.seed, dataset, task.name))
    wanted, reserved = how.count(n), how.count(n, max(how.rate, how.reserve))
    available = _available(pool, order, how)
    if max(wanted, reserved) <= available:
        return order, wanted, reserved
    if how.shortage == "repeat" and how.source != "test" and available:
        return np.concatenate([order] * -(-wanted // available)), wanted, reserved
    if how.shortage == "cap":
        return order, min(wanted, available), min(reserved, available)
    raise _shortage(task, dataset, how, max(wanted, reserved), available)


def _available(pool: _Pool, order: NDArray[np.int64], how: Contamination) -> int:
    """Return how many may be drawn: without overlap at least one anomaly must stay in the test set."""
    all_of_them = len(pool.positions) == len(order)
    return max(len(order) - (how.source == "test" and all_of_them), 0)


def shortfall(task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies are lacking for this contamination of a clean task; 0 if it can be had."""
    if how.source == "official" or not how.rate:
        return 0
    pool = _pool(task, how)
    order = _order(pool, how, (how.seed, dataset, task.name))
    return max(0, how.count(len(task.train)) - _available(pool, order, how))


def _as_it_is(task: Task) -> tuple[Task, dict[str, Any]]:
    labels = np.zeros(len(task.train), np.uint8) if task.train_labels is None else task.train_labels
    count = int(labels.sum())
    drawn = {"count": count, "rate": count / max(1, len(labels)), "indices": "", "removed_from_test": 0}
    return replace(task, train_labels=labels), drawn


def _pool(task: Task, how: Contamination) -> _Pool:
    if how.source == "holdout":
        if task.holdout is None:
            raise DataError(
                f"{task.name}: this data set has no labelled train anomalies to contaminate with; "
                'set source = "test" (no overlap), "test_overlap" or "jittered"'
            )
        return _Pool(task.holdout, np.arange(len(task.holdout)), task.holdout_types)
    positions = np.flatnonzero(task.test_labels == 1)
    return _Pool(task.test, positions, tuple(task.test_types[i] for i in positions))


def _order(pool: _Pool, how: Contamination, names: tuple[object, ...]) -> NDArray[np.int64]:
    """Return the order in which anomalies are drawn: indices into the pool's positions."""
    order = hash_order(len(pool.positions), "contamination", *names)
    if how.draw == "uniform" or not len(order):
        return order
    kinds = sorted(set(pool.types))
    turns = [kinds[i] for i in hash_order(len(kinds), "types", *names)]
    of_kind = {kind: [i for i in order if pool.types[i] == kind] for kind in turns}
    if how.draw == "one_class":
        return np.array(of_kind[turns[0]], np.int64)
    dealt = [i for row in zip_longest(*of_kind.values()) for i in row if i is not None]
    return np.array(dealt, np.int64)


def _shortage(task: Task, dataset: str, how: Contamination, wanted: int, available: int) -> DataError:
    rate = max(how.rate, how.reserve)
    return DataError(
        f"{dataset}/{task.name}: contamination of {rate:.0%} ({how.of}) needs {wanted} anomalies for "
        f"{len(task.train)} train images, but {how.source} has {available}; "
        'lower the rate, or set shortage = "cap" or "skip"'
    )


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
