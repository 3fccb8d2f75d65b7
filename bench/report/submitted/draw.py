"""Which cells of a submission are run again, and what an inflated mean would have met with."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from bench.core.cell import Cell
from bench.report.submitted.suspicion import Profiles, weights
from bench.stats.sampling import chance_to_find, drawn, draws_needed, fewest_altered, seed_text

#: The inflation of the mean that is asked about, in AUROC.
RISE = 0.01
#: What a method gets at least: chance. No cell is thought to be raised from below.
FLOOR = 0.5
#: For the model: by how much no cell was raised more, in AUROC.
MOST = (0.5, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True, slots=True)
class Chance:
    """What the draw would have found of a mean inflated by `RISE`, had no cell been raised more than by `most`.

    Attributes
    ----------
    most : float
    altered : int
        Cells that must have been altered at least; 0 where the mean cannot rise by so much.
    found : float
        Probability, whichever cells a forger chose who knows the weights: a lower bound.
    simple : float
        The same of a simple random sample of as many cells (hypergeometric).
    needed : int
        Cells to draw for a probability of 95 %.
    """

    most: float
    altered: int
    found: float
    simple: float
    needed: int


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw.

    Attributes
    ----------
    nonce, seed : str
    keys : tuple of str
        Drawn, in the order of drawing.
    weights : dict of str to float
        Of all cells that could be drawn.
    cells : int
        With a claim; those that the receiver has itself are not drawn.
    chances : tuple of Chance
    """

    nonce: str
    seed: str
    keys: tuple[str, ...]
    weights: Mapping[str, float]
    cells: int
    chances: tuple[Chance, ...]


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
    seed = seed_text(pack, nonce)
    chosen = tuple(left[at] for at in drawn(left, by, n, seed)) if left else ()
    room = np.clip(np.array([claims[key] for key in left]) - FLOOR, 0, None)
    rise = RISE * len(cells) / max(len(left), 1)
    chances = tuple(_chance(by, np.minimum(room, most), rise, most, n) for most in MOST) if left else ()
    return Draw(nonce, seed, chosen, {key: held[key] for key in left}, len(cells), chances)


def _chance(by: np.ndarray, room: np.ndarray, rise: float, most: float, n: int) -> Chance:
    altered = fewest_altered(room, rise)
    return Chance(
        most,
        altered if altered <= len(room) else 0,
        chance_to_find(by, room, rise, n),
        chance_to_find(np.ones_like(by), room, rise, n),
        draws_needed(by, room, rise),
    )
