"""Draws: which anomalies contaminate a task, in an order that is the same everywhere.

Draws go by the order of sha256 hashes of (seed, data set, task, position in the pool), so that they are the
same on every platform, nested over rates (the draw for 5 % is the beginning of the draw for 10 %), shared by
all methods and independent of the method's own seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.images import Images
from bench.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images to draw from, the positions of the anomalies among them, and each anomaly's type."""

    images: Images
    positions: NDArray[np.int64]
    types: tuple[str, ...]


def hash_order(n: int, *names: object) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)``, shape (n,), that depends on `names` only, on every platform."""
    prefix = "/".join(str(name) for name in names).encode()
    digests = [hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n)]
    return np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable").astype(np.int64)


def pool_of(task: Task, source: str) -> Pool:
    """Return what a clean task has to draw from.

    Parameters
    ----------
    source : str
        ``"holdout"``, or any other that takes test anomalies.

    Raises
    ------
    DataError
        The holdout is asked for and there is none.
    """
    if source == "holdout":
        if task.holdout is None:
            raise DataError(
                f"{task.name}: this data set has no labelled train anomalies to contaminate with; "
                'set source = "test" (no overlap), "test_overlap" or "jittered"'
            )
        return Pool(task.holdout, np.arange(len(task.holdout)), task.holdout_types)
    positions = np.flatnonzero(task.test_labels == 1)
    return Pool(task.test, positions, tuple(task.test_types[i] for i in positions))


def drawing_order(pool: Pool, draw: str, names: tuple[object, ...]) -> NDArray[np.int64]:
    """Return the order in which anomalies are drawn: indices into the pool's positions.

    Parameters
    ----------
    draw : {"uniform", "per_type", "one_class"}
        ``one_class`` leaves out all types but one, chosen by `names`.
    """
    order = hash_order(len(pool.positions), "contamination", *names)
    if draw == "uniform" or not len(order):
        return order
    turns = _turns(pool, names)
    of_kind = {kind: [i for i in order if pool.types[i] == kind] for kind in turns}
    if draw == "one_class":
        return np.array(of_kind[turns[0]], np.int64)
    dealt = [i for row in zip_longest(*of_kind.values()) for i in row if i is not None]
    return np.array(dealt, np.int64)


def _turns(pool: Pool, names: tuple[object, ...]) -> list[str]:
    """Return the pool's types in the order in which they are dealt from."""
    kinds = sorted(set(pool.types))
    return [kinds[i] for i in hash_order(len(kinds), "types", *names)]


def drawable(pool: Pool, draw: str, names: tuple[object, ...], *, one_stays: bool) -> int:
    """Return how many anomalies may be drawn, without drawing them.

    Parameters
    ----------
    one_stays : bool
        The drawn ones leave the test set, which must keep an anomaly.
    """
    n = len(pool.positions)
    if draw == "one_class" and n:
        n = pool.types.count(_turns(pool, names)[0])
    return max(n - (one_stays and n == len(pool.positions)), 0)
