"""Sampling: a draw that anyone can redo, and with what probability it finds an inflated mean.

Cells are drawn one after the other without replacement, each with a probability in proportion to its weight.
Where all weights are equal that is a simple random sample, and the probability of finding one of m altered
cells among N is hypergeometric; with unequal weights the product of the same form is a lower bound.

References
----------
Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006, algorithm A: the order of
``log(u) / w``.
Aslam, Popa, Rivest, "On auditing elections when precincts have different sizes", 2008, section 5: the bound on
what each unit may be off by, and draws in proportion to it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from bench.stats import Floats


def seed_text(pack: str, nonce: str) -> str:
    """Return the seed of a draw: the sha256 of a pack's sha256, a colon and the verifier's nonce."""
    return hashlib.sha256(f"{pack}:{nonce}".encode()).hexdigest()


def drawn(keys: Sequence[str], weights: Floats, n: int, seed: str) -> list[int]:
    """Return the positions of `n` cells, drawn without replacement, in the order of drawing.

    Parameters
    ----------
    keys : sequence of str
        What each cell's random number is made of, besides the seed; their order does not matter.
    weights : ndarray, shape (len(keys),), float64
        Positive.
    n : int
    seed : str

    Raises
    ------
    ValueError
        A weight is not positive and finite, or `n` is out of range.
    """
    if len(weights) != len(keys) or not np.all((weights > 0) & np.isfinite(weights)):
        raise ValueError("expected a positive finite weight for each key")
    if not 0 <= n <= len(keys):
        raise ValueError(f"expected n from 0 to {len(keys)}, got {n}")
    late = [-math.log(_uniform(seed, key)) / weight for key, weight in zip(keys, weights, strict=True)]
    return sorted(range(len(keys)), key=lambda at: (late[at], keys[at]))[:n]


def _uniform(seed: str, key: str) -> float:
    """Return a number in (0, 1) from the first 52 bits of a sha256."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
    return (int(digest[:13], 16) + 0.5) / 2**52


def fewest_altered(most: Floats, rise: float) -> int:
    """Return how many cells must be altered at least for the mean to rise; more than all where it cannot.

    Parameters
    ----------
    most : ndarray, shape (n,), float64
        By how much each cell can be raised at most.
    rise : float
        Of the mean, in the unit of `most`.
    """
    reached = np.cumsum(np.sort(most)[::-1])
    return int(np.searchsorted(reached, rise * len(most) - 1e-12)) + 1


def chance_to_find(weights: Floats, most: Floats, rise: float, n: int) -> float:
    """Return the probability that an inflated mean is found, whichever cells were altered: a lower bound.

    The forger knows the weights and alters the cells that are least likely to be drawn; each can be raised by
    `most`, together they must raise the mean by `rise`. Of those, the weight is at least that of the
    fractional knapsack, and of as many of the lightest cells as must be altered.

    Parameters
    ----------
    weights : ndarray, shape (n_cells,), float64
        Those of `drawn`.
    most : ndarray, shape (n_cells,), float64
        By how much each cell can be raised at most.
    rise : float
    n : int
        Cells drawn.

    Returns
    -------
    float
        1 where the mean cannot rise by so much.
    """
    fewest = fewest_altered(most, rise)
    if fewest > len(most):
        return 1.0
    light = np.sort(weights)
    altered = max(float(light[:fewest].sum()), _knapsack(weights, most, rise * len(most)))
    # The lightest that are not altered are drawn first, so that the most weight is left beside the altered.
    before = [0.0, *accumulate(light.tolist())]
    total, missed = before[-1], 1.0
    for at in range(n):
        left = total - before[at]
        missed *= max(0.0, 1 - altered / left) if left > altered else 0.0
    return 1 - missed


def _knapsack(weights: Floats, most: Floats, need: float) -> float:
    """Return the least weight of cells that can be raised by `need` together, parts of cells allowed."""
    able = most > 0
    order = np.argsort(weights[able] / most[able], kind="stable")
    held, gains = weights[able][order], most[able][order]
    reached = np.cumsum(gains)
    at = int(np.searchsorted(reached, need - 1e-12))
    done = float(reached[at - 1]) if at else 0.0
    return float(held[:at].sum() + held[at] * min(1.0, (need - done) / gains[at]))


def draws_needed(weights: Floats, most: Floats, rise: float, wanted: float = 0.95) -> int:
    """Return the fewest draws with which `chance_to_find` is at least `wanted`; all cells find everything."""
    low, high = 0, len(weights)
    while low < high:
        middle = (low + high) // 2
        if chance_to_find(weights, most, rise, middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low
