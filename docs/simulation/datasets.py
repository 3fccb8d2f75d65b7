"""A world of data sets: what is found over them holds for data sets like these, the independent units."""

from __future__ import annotations

import numpy as np

from bench.report.evidence.comparison import Samples, compare_methods
from simulation.counting import Counts, Share

#: Standard deviations over data sets, classes of one data set, and seeds of one task, in AUROC.
DATA_SET, CLASS, SEED = 0.02, 0.02, 0.01
CLASSES, SEEDS = 10, 3


def over_data_sets(
    n: int, methods: int, reps: int, *, auroc: float = 0.85, skewed: bool = False, seed: int = 0
) -> dict[str, Share]:
    """Count false findings between equally good methods on n data sets, and intervals that hold the truth.

    Parameters
    ----------
    n, methods, reps : int
    auroc : float
    skewed : bool
        Data sets favour a method by an exponentially distributed amount.
    seed : int
    """
    rng, counts = np.random.default_rng([seed, n, methods]), Counts()
    for _ in range(reps):
        of_set = rng.exponential(size=(n, methods)) - 1 if skewed else rng.normal(size=(n, methods))
        values = auroc + (
            DATA_SET * of_set[:, :, None, None]
            + CLASS * rng.normal(size=(n, methods, CLASSES, 1))
            + SEED * rng.normal(size=(n, methods, CLASSES, SEEDS))
        )
        found = compare_methods(
            Samples(
                rows=tuple(range(methods)),
                blocks=tuple(range(n)),
                values=tuple(np.clip(values, 0, 1)),
                told=np.ones(methods, bool),
                images=None,
            )
        )
        low, high = found.over_datasets[0]
        counts.add("mean", low <= auroc <= high)
        counts.add("told", found.scope == "data sets")
        if found.scope:
            counts.add("letters", found.better.any())
            counts.add("difference", found.low[0, 1] <= 0 <= found.high[0, 1])
    return {name: counts.share(name) for name in ("letters", "mean", "difference", "told")}
