"""What became of one task of a method, or of its mean over tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bench.report.compare.sides import ResultKey

ChangeState = Literal["same", "moved", "failed", "mended", "holes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One task of a method on both sides, or its mean over tasks.

    Attributes
    ----------
    place : ResultKey
        Of a mean without data set and task.
    tasks : int
        That the mean is over; 0 for a single task.
    state : {"same", "moved", "failed", "mended", "holes"}
        The metric is the same to the last digit; another one; cells that were finished have failed; failed
        ones have finished; nothing to compare.
    before, after : float or None
        Means over the seeds that are compared.
    se, p : float or None
        Standard error of the difference, and its p value adjusted for all tests; None where nothing was
        tested.
    freedom, least_p : float
        Degrees of freedom of the standard error, and the least two-sided p value that so few images allow.
    seeds, needed : int
        How many seeds are compared, 0 where nothing depends on one; how many it takes where too few are there
        to tell anything, else 0.
    why : str
        Why test images have no part in the test.
    changed : tuple of str
        What differs in the cells' keys: ``method's code``, ``data``, …
    """

    place: ResultKey
    tasks: int = 0
    state: ChangeState
    before: float | None = None
    after: float | None = None
    se: float | None = None
    p: float | None = None
    freedom: float = math.inf
    least_p: float = 0.0
    seeds: int = 0
    needed: int = 0
    why: str = ""
    changed: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        return 0.0 if self.before is None or self.after is None else self.after - self.before
