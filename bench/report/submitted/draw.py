"""Which cells of a submission are run again, and what an inflated mean would have met with.

Half of them are drawn by weight (`bench.report.submitted.suspicion`), from different tasks: they find what
stands out. The other half are as likely as each other: what is said of the probability to find a forgery
rests on them alone, as a forger may know the weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from bench.core.cell import Cell
from bench.report.submitted.suspicion import Floats, Profiles, weights
from bench.stats.sampling import chance_to_find, drawn, draws_needed, fewest_altered, seed_text

#: The inflation of the mean that is asked about, in AUROC.
RISE = 0.01
#: What a method gets at least: chance. No cell is thought to be raised from below.
FLOOR = 0.5
#: For the model: by how much no cell was raised more, in AUROC.
MOST = (0.5, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True, slots=True)
class Chance:
    """What a draw finds of a mean inflated by `RISE`, had no cell been raised by more than `most`.

    Attributes
    ----------
    most : float
    altered : int
        Cells that must have been altered at least; 0 where the mean cannot rise by so much.
    found : float
        Probability (`bench.stats.sampling.chance_to_find`).
    needed : int
        Cells to draw for 95 %.
    """

    most: float
    altered: int
    found: float
    needed: int


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw.

    Attributes
    ----------
    nonce, seed : str
    by_weight, uniform : tuple of str
        Keys, in the order of drawing.
    weights : dict of str to float
        Of all cells that could be drawn.
    cells : int
        With a claim; those that the receiver has itself are not drawn.
    chances : tuple of Chance
    """

    nonce: str
    seed: str
    by_weight: tuple[str, ...]
    uniform: tuple[str, ...]
    weights: Mapping[str, float]
    cells: int
    chances: tuple[Chance, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return *self.by_weight, *self.uniform


def draw_cells(
    cells: Mapping[str, Cell],
    claims: Mapping[str, float],
    *,
    profiles: Profiles,
    copied: Collection[str],
    known: Collection[str],
    pack: str,
    nonce: str,
    share: float,
) -> Draw:
    """Draw cells.

    Parameters
    ----------
    cells : mapping of str to Cell
        That have a claim, by key.
    claims : mapping of str to float
        AUROC.
    profiles, copied
        See `bench.report.submitted.suspicion.weights`.
    known : collection of str
        Keys that the receiver has itself, and compares without a rerun.
    pack, nonce : str
        The pack's sha256, and what nobody knew before.
    share : float
        Of the cells: so many are drawn, rounded up.
    """
    held: dict[str, float] = {}
    for method in dict.fromkeys((cell.method, cell.params, cell.backbone) for cell in cells.values()):
        of = [key for key, each in cells.items() if (each.method, each.params, each.backbone) == method]
        own = np.array([claims[key] for key in of])
        found = weights([cells[key] for key in of], own, profiles, [key in copied for key in of])
        held |= dict(zip(of, found.tolist(), strict=True))
    left = [key for key in cells if key not in known]
    n = min(math.ceil(share * len(cells) - 1e-9), len(left))
    by = np.array([held[key] for key in left])
    seed, tasks = seed_text(pack, nonce), [cells[key].task_name for key in left]
    first, second = drawn(left, by, tasks, n, seed)
    room = np.clip(np.array([claims[key] for key in left]) - FLOOR, 0, None)
    rise = RISE * len(cells) / max(len(left), 1)
    return Draw(
        nonce,
        seed,
        tuple(left[at] for at in first),
        tuple(left[at] for at in second),
        {key: held[key] for key in left},
        len(cells),
        tuple(_chance(np.minimum(room, most), rise, most, n) for most in MOST) if left else (),
    )


def _chance(room: Floats, rise: float, most: float, n: int) -> Chance:
    units, altered = len(room), fewest_altered(room, rise)
    if altered > units:
        return Chance(most, 0, 1.0, 0)
    return Chance(most, altered, chance_to_find(units, altered, n), draws_needed(units, altered))
