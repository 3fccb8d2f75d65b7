"""Contaminating a task: which anomalies are drawn, in an order that is the same everywhere.

Draws go by the order of sha256 hashes of (seed, data set, task, position in the pool), so that they are the
same on every platform, nested over rates (the draw for 5 % is the beginning of the draw for 10 %), shared by
all methods and independent of the method's own seed.
"""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.contamination import AGAIN, Contamination
from bench.core.errors import DataError
from bench.data.copied import jittered, moved
from bench.data.images import Images
from bench.data.source import Source
from bench.data.task import NORMAL_TYPE, LazyMasks, Task


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
        are none; ``removed_from_test``, how many images left the test set; where some were drawn more than
        once, ``repeats``, how many times too many.

    Raises
    ------
    DataError
        The pool has too few anomalies and ``shortage="error"``, or there is no such pool.
    """
    transductive = how.source == "transductive"
    if how.source == "official" or (not how.rate and not how.reserve and not transductive):
        return _as_it_is(task)
    pool, names = pool_of(task, how.source), (how.seed, dataset, task.name)
    order, wanted, reserved = _order_and_counts(pool, task, dataset, how)
    chosen = pool.positions[order[:wanted]]
    drawn, keep = _drawn(pool, chosen, how, names)
    normal = _normals(task, how)
    kept = np.arange(len(normal))
    if how.mode == "replace" and wanted:
        kept = np.sort(hash_order(len(normal), "replaced", *names)[wanted:])
    # Shuffled and sealed, so that no method can tell the anomalies by their position or origin.
    mixed = hash_order(len(kept) + wanted, "mixed", *names)
    train, inside = (normal[kept] + drawn)[mixed].sealed()
    labels = np.concatenate([np.zeros(len(kept), np.uint8), np.ones(wanted, np.uint8)])[mixed]
    contaminated = replace(task, train=train, sources=(*task.sources, *keep, inside), train_labels=labels)
    if transductive:
        kinds = dict(zip(pool.positions.tolist(), pool.types, strict=True))
        good = next((task.test_types[i] for i in np.flatnonzero(task.test_labels == 0)), NORMAL_TYPE)
        types = [*[good] * len(kept), *(kinds[i] for i in chosen.tolist())]
        contaminated = replace(
            contaminated,
            test=train,
            test_labels=labels,
            test_types=tuple(types[i] for i in mixed),
            masks=None,
        )
    removed = pool.positions[order[:reserved]] if how.source == "test" else pool.positions[:0]
    repeats = wanted - len(np.unique(chosen))
    return without_test_images(contaminated, removed), {
        "count": wanted,
        "rate": wanted / max(1, len(kept) + wanted),
        "indices": positions_hash(chosen),
        "removed_from_test": len(removed),
        **({"repeats": repeats} if repeats else {}),
    }


def contaminate_together(
    tasks: Sequence[Task], name: str, dataset: str, how: Contamination
) -> tuple[Task, dict[str, Any]]:
    """Return the named one of some tasks, with the train images of all, each contaminated by itself."""
    if how.source == "transductive":
        raise DataError(f"{dataset}: one model for all tasks is not tested on what it is trained on")
    every = [contaminate(task, dataset, how) for task in tasks]
    own, drawn = next(pair for pair in every if pair[0].name == name)
    count = sum(each["count"] for _, each in every)
    train = functools.reduce(operator.add, (task.train for task, _ in every))
    labels = np.concatenate([np.asarray(task.train_labels, np.uint8) for task, _ in every])
    digest = hashlib.sha256("/".join(each["indices"] for _, each in every).encode()).hexdigest()[:16]
    sources = tuple(source for task, _ in every for source in task.sources)
    pooled = {"count": count, "rate": count / max(1, len(train)), "indices": digest if count else ""}
    return replace(own, train=train, train_labels=labels, sources=sources), drawn | pooled


def _normals(task: Task, how: Contamination) -> Images:
    """Return the images that anomalies are added to, or replace: the train images, and of the test, too."""
    if how.source != "transductive":
        return task.train
    return task.train + task.test[np.flatnonzero(task.test_labels == 0)]


def normal_count(task: Task, how: Contamination) -> int:
    """Return how many normal images a rate is relative to."""
    return len(task.train) + (int((task.test_labels == 0).sum()) if how.source == "transductive" else 0)


def _drawn(
    pool: AnomalyPool, chosen: NDArray[np.int64], how: Contamination, names: tuple[object, ...]
) -> tuple[Images, tuple[Source, ...]]:
    """Return the anomalies to train on, and the sources of those that are copies."""
    if not len(chosen):
        return pool.images[chosen], ()
    if how.source == "jittered":
        copies, source = jittered(pool.images[chosen], "jitter", *names)
        return copies, (source,)
    first = np.zeros(len(chosen), bool)
    first[np.unique(chosen, return_index=True)[1]] = True
    if how.shortage != "move" or first.all():
        return pool.images[chosen], ()
    copies, source = moved(pool.images[chosen[~first]], "moved", *names)
    return pool.images[chosen[first]] + copies, (source,)


def _order_and_counts(
    pool: AnomalyPool, task: Task, dataset: str, how: Contamination
) -> tuple[NDArray[np.int64], int, int]:
    """Return the order of drawing, how many are drawn, and how many are reserved for the highest rate."""
    check_supply(task, dataset, how)
    names, n = (how.seed, dataset, task.name), normal_count(task, how)
    order = drawing_order(pool, how.draw, names)
    wanted, reserved = how.count(n), how.count(n, max(how.rate, how.reserve))
    available = drawable(pool, task, dataset, how)
    if how.shortage in AGAIN and wanted > available:
        if how.shortage == "redraw":
            return order[_with_replacement(wanted, available, *names)], wanted, reserved
        return np.tile(order, -(-wanted // available)), wanted, reserved
    return order, min(wanted, available), min(reserved, available)


def _with_replacement(n: int, of: int, *names: object) -> NDArray[np.int64]:
    """Return `n` draws from ``range(of)`` that depend on `names` only; fewer are their beginning."""
    prefix = "/".join(map(str, ("redrawn", *names))).encode("utf-8", "surrogateescape")
    digests = (hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n))
    return np.array([int.from_bytes(digest, "big") % of for digest in digests], np.int64)


def check_supply(task: Task, dataset: str, how: Contamination) -> None:
    """Check that a clean task has enough anomalies for this contamination, or may do with fewer.

    Raises
    ------
    DataError
        It has not; the message gives how many are needed, how many there are, and the highest rate possible.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return
    rate, n = max(how.rate, how.reserve), normal_count(task, how)
    wanted, pool = how.count(n, rate), pool_of(task, how.source)
    available = drawable(pool, task, dataset, how)
    again = how.shortage in AGAIN and how.source not in ("test", "transductive") and available > 0
    if wanted <= available or how.shortage == "cap" or again:
        return
    most = available / max(1, n + available * (how.of == "set" and how.mode == "add"))
    raise DataError(
        f"{dataset}/{task.name}: contamination of {100 * rate:.4g}% ({how.of}) needs {wanted} anomalies for "
        f"{n} train images, but {how.source} has {available}; lower the rate (at most "
        f'{int(1000 * min(most, 0.5)) / 10:g} % can be had), or set shortage = "cap" or "skip"'
    )


def shortfall(task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies are missing for this contamination of a clean task; 0 if there are enough."""
    if how.source == "official" or not how.rate:
        return 0
    available = drawable(pool_of(task, how.source), task, dataset, how)
    return max(0, how.count(normal_count(task, how)) - available)


def _as_it_is(task: Task) -> tuple[Task, dict[str, Any]]:
    labels = np.zeros(len(task.train), np.uint8) if task.train_labels is None else task.train_labels
    count = int(labels.sum())
    drawn = {
        "count": count,
        "rate": count / max(1, len(labels)),
        "indices": positions_hash(np.flatnonzero(labels)),
        "removed_from_test": 0,
    }
    return replace(task, train_labels=labels), drawn


def positions_hash(positions: NDArray[np.int64]) -> str:
    """Return 16 hex digits that tell one set of positions from another; nothing for none."""
    if not len(positions):
        return ""
    return hashlib.sha256(np.sort(positions).astype("<i8").tobytes()).hexdigest()[:16]


def without_test_images(task: Task, removed: NDArray[np.int64]) -> Task:
    """Return a task without the test images at these positions."""
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


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyPool:
    """Images to draw from, the positions of the anomalies among them, and the type of each anomaly."""

    images: Images
    positions: NDArray[np.int64]
    types: tuple[str, ...]


def hash_order(n: int, *names: object) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)``, shape (n,), that depends on `names` only, on every platform."""
    prefix = "/".join(str(name) for name in names).encode("utf-8", "surrogateescape")
    digests = [hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n)]
    return np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable").astype(np.int64)


def pool_of(task: Task, source: str) -> AnomalyPool:
    """Return the anomalies that a clean task can be contaminated with.

    Parameters
    ----------
    source : str
        ``"holdout"``, ``"transductive"`` (those of both splits), or any other that takes test anomalies.

    Raises
    ------
    DataError
        The source is ``"holdout"`` and the data set has no such pool.
    """
    if source == "holdout":
        if task.anomaly_pool is None:
            raise DataError(
                f"{task.name}: this data set has no labelled train anomalies to contaminate with; "
                'set source = "test" (no overlap), "test_overlap" or "jittered"'
            )
        return AnomalyPool(task.anomaly_pool, np.arange(len(task.anomaly_pool)), task.anomaly_pool_types)
    positions = np.flatnonzero(task.test_labels == 1)
    types = tuple(task.test_types[i] for i in positions)
    if source == "transductive" and task.anomaly_pool is not None:
        before = len(task.anomaly_pool)
        every = np.concatenate([np.arange(before), before + positions])
        return AnomalyPool(task.anomaly_pool + task.test, every, (*task.anomaly_pool_types, *types))
    return AnomalyPool(task.test, positions, types)


def drawing_order(pool: AnomalyPool, draw: str, names: tuple[object, ...]) -> NDArray[np.int64]:
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


def _turns(pool: AnomalyPool, names: tuple[object, ...]) -> list[str]:
    """Return the pool's types in the order in which they are dealt from."""
    kinds = sorted(set(pool.types))
    return [kinds[i] for i in hash_order(len(kinds), "types", *names)]


def drawable(pool: AnomalyPool, task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies may be drawn; where they leave the test set, it keeps at least one."""
    n = len(pool.positions)
    if how.draw == "one_class" and n:
        n = pool.types.count(_turns(pool, (how.seed, dataset, task.name))[0])
    return max(n - (how.source == "test" and n == len(pool.positions)), 0)
