"""Sampling: a draw that anyone can redo, and with what probability it finds an inflated mean.

Some units are drawn by weight, others as likely as each other. Only the second carry a probability that holds
whatever a forger knows: it is hypergeometric. The first find what stands out.

References
----------
Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006, algorithm A: in the order of
``-log(u) / w``, units come as if drawn one after the other, each in proportion to its weight.
Neff, "Election confidence", 2003: how many units must be off for a result to be off by so much, when each can
be off by no more than a bound, and what a random sample finds of so many.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import hypergeom

from bench.stats import Floats


def seed_text(pack: str, nonce: str) -> str:
    """Return the seed of a draw: the sha256 of a pack's sha256, a colon and the verifier's nonce."""
    return hashlib.sha256(f"{pack}:{nonce}".encode()).hexdigest()


def parts(n: int) -> tuple[int, int]:
    """Return how many of `n` draws go by weight, and how many are as likely as each other."""
    return n - n // 2, n // 2


def drawn(
    keys: Sequence[str], weights: Floats, groups: Sequence[Hashable], n: int, seed: str
) -> tuple[list[int], list[int]]:
    """Draw `n` units without replacement.

    Parameters
    ----------
    keys : sequence of str
        What each unit's random numbers are made of, besides the seed; their order does not matter.
    weights : ndarray, shape (len(keys),), float64
        Positive.
    groups : sequence of hashable
        Of those drawn by weight no two are of one group until all groups have been drawn.
    n : int
    seed : str

    Returns
    -------
    by_weight, uniform : list of int
        Positions, in the order of drawing; so many as `parts` says.

    Raises
    ------
    ValueError
        A weight is not positive and finite, or `n` is out of range.
    """
    if len(weights) != len(keys) or not np.all((weights > 0) & np.isfinite(weights)):
        raise ValueError("expected a positive finite weight for each key")
    if not 0 <= n <= len(keys):
        raise ValueError(f"expected n from 0 to {len(keys)}, got {n}")
    first, second = parts(n)
    late = [-math.log(_uniform(seed, "weight", key)) / by for key, by in zip(keys, weights, strict=True)]
    order = sorted(range(len(keys)), key=lambda at: (late[at], keys[at]))
    turns: dict[Hashable, int] = {}
    turn: dict[int, int] = {}
    for at in order:
        turn[at] = turns.get(groups[at], 0)
        turns[groups[at]] = turn[at] + 1
    by_weight = sorted(order, key=lambda at: turn[at])[:first]  # stable: in the order of drawing
    left = sorted(set(order) - set(by_weight), key=lambda at: (_uniform(seed, "uniform", keys[at]), keys[at]))
    return by_weight, left[:second]


def _uniform(seed: str, what: str, key: str) -> float:
    """Return a number in (0, 1) from the first 52 bits of a sha256."""
    digest = hashlib.sha256(f"{seed}:{what}:{key}".encode()).hexdigest()
    return (int(digest[:13], 16) + 0.5) / 2**52


def fewest_altered(most: Floats, rise: float) -> int:
    """Return how many units must be altered at least for the mean to rise; more than all where it cannot.

    Parameters
    ----------
    most : ndarray, shape (n,), float64
        By how much each unit can be raised at most.
    rise : float
        Of the mean, in the unit of `most`.
    """
    reached = np.cumsum(np.sort(most)[::-1])
    return int(np.searchsorted(reached, rise * len(most) - 1e-12)) + 1


def chance_to_find(units: int, altered: int, n: int) -> float:
    """Return the probability that `n` draws (`drawn`) find one of the altered units: a lower bound.

    It takes those drawn by weight for lost: a forger may know the weights. The others are a simple random
    sample of what is left.

    Returns
    -------
    float
        1 - C(u - m, k) / C(u, k) with u units left, of which m are altered, and k drawn.
    """
    first, second = parts(n)
    left = units - first
    return 1.0 if altered > left else float(hypergeom.sf(0, left, altered, second))


def draws_needed(units: int, altered: int, wanted: float = 0.95) -> int:
    """Return the fewest draws with which `chance_to_find` is at least `wanted`."""
    return next(n for n in range(units + 1) if n == units or chance_to_find(units, altered, n) >= wanted)
