"""Contamination: a change of a task by which a given share of its train images are really anomalies.

"10 % contamination" has five meanings in published code; here it is one frozen object. `bench.draw` tells how
anomalies are drawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.draw import Pool, drawable, drawing_order, hash_order, pool_of
from bench.errors import DataError
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


#: What papers mean by their contamination rates. HSCL rounds per class, here the total is rounded and dealt
#: to the classes in turn.
PRESETS: dict[str, dict[str, str]] = {
    "adl": {"of": "set", "mode": "add", "source": "jittered", "shortage": "repeat"},
    "llbnad": {"source": "official"},
    "softpatch": {"of": "normals", "mode": "add", "source": "test"},
    "softpatch-overlap": {"of": "normals", "mode": "add", "source": "test_overlap"},
    "deepsad": {"of": "set", "mode": "add", "source": "holdout"},
    "hscl": {"of": "set", "mode": "add", "source": "holdout", "draw": "per_type"},
}
#: Presets that cannot be given, and why.
UNKNOWN_PRESETS: dict[str, str] = {
    "iterative": (
        "of the paper (Kim et al., arXiv 2309.09436) only the abstract is known here, and it does not say "
        "what rates are relative to or where anomalies come from; give of, mode and source yourself"
    ),
}


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
        positions in the pool (of an official noisy split: of the anomalies' positions in it), empty if there
        are none; ``removed_from_test``, how many images left the test set.

    Raises
    ------
    DataError
        The pool holds too few anomalies and ``shortage="error"``, or there is no such pool.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return _as_it_is(task)
    pool, names = pool_of(task, how.source), (how.seed, dataset, task.name)
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
        "indices": _hash(chosen),
        "removed_from_test": len(removed),
    }


def _enough(pool: Pool, task: Task, dataset: str, how: Contamination) -> tuple[NDArray[np.int64], int, int]:
    """Return the order of drawing, how many are drawn, and how many are reserved for the highest rate."""
    check_supply(task, dataset, how)
    order = drawing_order(pool, how.draw, (how.seed, dataset, task.name))
    wanted, reserved = how.count(len(task.train)), how.count(len(task.train), max(how.rate, how.reserve))
    available = _available(pool, task, dataset, how)
    if how.shortage == "repeat" and wanted > available:
        return np.concatenate([order] * -(-wanted // available)), wanted, reserved
    return order, min(wanted, available), min(reserved, available)


def _available(pool: Pool, task: Task, dataset: str, how: Contamination) -> int:
    names = (how.seed, dataset, task.name)
    return drawable(pool, how.draw, names, one_stays=how.source == "test")


def check_supply(task: Task, dataset: str, how: Contamination) -> None:
    """Raise if a clean task holds too few anomalies for this contamination, unless it is capped.

    Raises
    ------
    DataError
        Says how many are needed, how many there are, and which rate could be had.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return
    rate = max(how.rate, how.reserve)
    wanted, pool = how.count(len(task.train), rate), pool_of(task, how.source)
    available = _available(pool, task, dataset, how)
    again = how.shortage == "repeat" and how.source != "test" and available > 0
    if wanted <= available or how.shortage == "cap" or again:
        return
    most = available / max(1, len(task.train) + available * (how.of == "set" and how.mode == "add"))
    raise DataError(
        f"{dataset}/{task.name}: contamination of {100 * rate:.4g}% ({how.of}) needs {wanted} anomalies for "
        f"{len(task.train)} train images, but {how.source} has {available}; lower the rate (at most "
        f'{int(1000 * min(most, 0.5)) / 10:g} % can be had), or set shortage = "cap" or "skip"'
    )


def shortfall(task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies are lacking for this contamination of a clean task; 0 if it can be had."""
    if how.source == "official" or not how.rate:
        return 0
    available = _available(pool_of(task, how.source), task, dataset, how)
    return max(0, how.count(len(task.train)) - available)


def _as_it_is(task: Task) -> tuple[Task, dict[str, Any]]:
    labels = np.zeros(len(task.train), np.uint8) if task.train_labels is None else task.train_labels
    count = int(labels.sum())
    drawn = {
        "count": count,
        "rate": count / max(1, len(labels)),
        "indices": _hash(np.flatnonzero(labels)),
        "removed_from_test": 0,
    }
    return replace(task, train_labels=labels), drawn


def _hash(positions: NDArray[np.int64]) -> str:
    """Return 16 hex digits that tell one set of positions from another; nothing for none."""
    if not len(positions):
        return ""
    return hashlib.sha256(np.sort(positions).astype("<i8").tobytes()).hexdigest()[:16]


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
