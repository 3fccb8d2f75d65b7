"""Which cells of a submission are run again sooner: those whose claim stands out from what is known.

A suspicion accuses nobody. It makes a cell's weight in the draw larger, since of two cells that one whose
claim nobody would have expected is more worth its seconds. Whether a claim holds is said by the rerun alone.

A cell's weight is exp of `STEEP` times the sum of two robust z scores, each between 0 and `CAP`:

- *among its own*: the claim against the same method's claims of the same task under other seeds and rates (an
  additive fit by medians, of task, and of rate and seed);
- *among methods*: the claims of a task, averaged, against what other methods of the receiver's archive get
  there, those with a similar profile over the tasks counting most.

The scores of a cell that put the images in the very order of another of its method's cells, or of another
method's scores, add `COPY`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell
from bench.report.groups import cell_seed

#: The most that each of the two z scores counts, how much, and what a copied order adds.
CAP, STEEP, COPY = 6.0, 2.0, 24.0
#: Standard deviations of AUROC below which nothing stands out: among its own cells, and among methods.
LEAST_OWN, LEAST_OTHERS = 0.003, 0.005
#: Rounds of taking medians off, alternately.
ROUNDS = 10
#: Fewer tasks than this give no profile to compare.
FEWEST_TASKS = 4

Floats = NDArray[np.float64]
#: What other methods get on the tasks: of each, AUROC by task name.
Profiles = Sequence[Mapping[str, float]]


def weights(cells: Sequence[Cell], claims: Floats, others: Profiles, copied: Sequence[bool]) -> Floats:
    """Return the weights of the cells of one method.

    Parameters
    ----------
    cells : sequence of Cell
    claims : ndarray, shape (n,), float64
        AUROC.
    others : sequence of mapping
        Of the receiver's other methods.
    copied : sequence of bool
        Whose scores are in the order of another's.

    Returns
    -------
    ndarray, shape (n,), float64
        At least 1.
    """
    own, across = (np.clip(each, 0, CAP) for each in stands_out(cells, claims, others))
    total: Floats = STEEP * (own + across) + COPY * np.asarray(copied, np.float64)
    return np.exp(total)


def stands_out(cells: Sequence[Cell], claims: Floats, others: Profiles) -> tuple[Floats, Floats]:
    """Return by how many standard deviations each claim stands out: among its own, and among methods.

    Parameters
    ----------
    cells, claims, others
        As for `weights`.
    """
    names, task = np.unique([cell.task_name for cell in cells], return_inverse=True)
    means = np.array([claims[task == at].mean() for at in range(len(names))])
    return _among_own(cells, claims, task), _among_methods(names.tolist(), means, others)[task]


def _among_own(cells: Sequence[Cell], claims: Floats, task: NDArray[np.intp]) -> Floats:
    """Return how many standard deviations each claim lies above what its own method's others let expect."""
    where = [(cell.contamination.rate, cell_seed(cell)) for cell in cells]
    condition = np.unique([repr(each) for each in where], return_inverse=True)[1]
    left = claims.astype(np.float64)
    for _ in range(ROUNDS):
        for group in (condition, task):
            for at in range(int(group.max()) + 1):
                left[group == at] -= np.median(left[group == at])
    return left / max(1.4826 * float(np.median(np.abs(left))), LEAST_OWN)


def _among_methods(names: Sequence[str], means: Floats, others: Profiles) -> Floats:
    """Return the same of each task's mean, against other methods on the same tasks."""
    usable = [each for each in others if all(name in each for name in names)]
    if len(names) < FEWEST_TASKS or not usable:
        return np.zeros(len(names))
    held = np.array([[each[name] for name in names] for each in usable])
    held = held - held.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.array([np.corrcoef(each, means)[0, 1] for each in held])
    alike = np.clip(np.nan_to_num(alike, nan=0.0), 0.05, None) ** 4
    left = means - (alike[:, None] * held).sum(axis=0) / alike.sum()
    found: Floats = left - np.median(left)
    return found / max(1.4826 * float(np.median(np.abs(found))), LEAST_OTHERS)
