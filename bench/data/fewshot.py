"""Drawing a task's labelled anomalies, which are neither in its test set nor among those that contaminate it.

They leave the task before anything else is drawn: no other draw can meet them. Draws go by the order of
hashes, as those of contamination, so that 5 anomalies are among the 10 of the same seed, for every method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.core.fewshot import UNLABELLED, FewShot
from bench.data.contaminate import AnomalyPool, hash_order, pool_of, positions_hash, without_test_images
from bench.data.task import Task


def label_some(task: Task, dataset: str, few: FewShot) -> tuple[Task, dict[str, Any]]:
    """Return a task with labelled anomalies, which left its pool or test set, and what was drawn.

    Parameters
    ----------
    task : Task
        Before contamination.
    dataset : str
        Canonical name of its data set, for the draw's seed.

    Returns
    -------
    task : Task
        With `labelled`.
    drawn : dict
        ``labelled``, how many; ``labelled_indices``, a hash of their positions in the pool.

    Raises
    ------
    DataError
        There are too few; says how many are asked for, how many there are, and what can be had.
    """
    if few == UNLABELLED:
        return task, {}
    pool = _pool(task, few)
    order = _order(pool, (few.seed, dataset, task.name))
    chosen = pool.positions[_first(pool, order, few, few.anomalies, f"{dataset}/{task.name}")]
    gone = pool.positions[_first(pool, order, few, max(few.anomalies, few.reserve), f"{dataset}/{task.name}")]
    labelled, inside = pool.images[chosen].sealed()
    left = replace(task, labelled=labelled, sources=(*task.sources, inside))
    if few.source == "test":
        if len(gone) == len(pool.positions):
            raise DataError(
                f"{dataset}/{task.name}: {len(gone)} labelled anomalies leave none of the "
                f"{len(pool.positions)} of the test set to be found; ask for fewer"
            )
        left = without_test_images(left, gone)
    else:
        stays = np.setdiff1d(np.arange(len(pool.images)), gone)
        types = tuple(task.anomaly_pool_types[i] for i in stays)
        left = replace(left, anomaly_pool=pool.images[stays], anomaly_pool_types=types)
    return left, {"labelled": len(chosen), "labelled_indices": positions_hash(chosen)}


def _pool(task: Task, few: FewShot) -> AnomalyPool:
    if few.source == "pool" and task.anomaly_pool is None:
        raise DataError(
            f"{task.name}: this data set has no labelled train anomalies; take them from the test set, which "
            'they then leave: from = "test" in [few_shot]'
        )
    return pool_of(task, "holdout" if few.source == "pool" else "test")


def _order(pool: AnomalyPool, names: tuple[object, ...]) -> NDArray[np.int64]:
    return hash_order(len(pool.positions), "few-shot", *names)


def _first(
    pool: AnomalyPool, order: NDArray[np.int64], few: FewShot, number: int, where: str
) -> NDArray[np.int64]:
    """Return the first so many in the order of drawing, of all or of each type."""
    types = np.array(pool.types, object)
    if few.only and few.only not in pool.types:
        raise DataError(
            f"{where}: few_shot asks for anomalies of {few.only!r}, of which there are none"
            f"{did_you_mean(few.only, sorted(set(pool.types)))}"
        )
    if few.only:
        parts = {few.only: order[types[order] == few.only]}
    elif few.per == "total":
        parts = {"": order}
    else:
        parts = {kind: order[types[order] == kind] for kind in sorted(set(pool.types))}
    kind, fewest = min(parts.items(), key=lambda item: len(item[1]), default=("", order))
    if len(fewest) < number:
        each = "" if few.only else " of each type"
        of = f"{each}, but of {kind!r} there are" if kind else ", but there are"
        raise DataError(
            f"{where}: few_shot asks for {number} labelled anomalies{of} {len(fewest)} in the "
            f"{'train split' if few.source == 'pool' else 'test set'}; ask for at most {len(fewest)}"
            + (', or for a number in all: per = "total"' if kind and not few.only else "")
        )
    return np.concatenate([part[:number] for part in parts.values()])
