"""What getting features cost, counted for each cell by itself, also where several are fitted at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FeatureUsage:
    """What getting features cost since the last question.

    Attributes
    ----------
    seconds : float
        Wall time inside the provider, reading the store and building networks included.
    cold_seconds : float
        What extracting all rows asked for costs, by the recorded seconds a row, each row counted once.
    computed_rows, reused_rows : int
        Distinct rows that went through a backbone now, and that came from the store or memory.
    """

    seconds: float
    cold_seconds: float
    computed_rows: int
    reused_rows: int


@dataclass(slots=True)
class Tally:
    """A running count; `asked` marks the rows of each matrix that were counted already."""

    seconds: float = 0.0
    cold: float = 0.0
    computed: int = 0
    reused: int = 0
    asked: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def usage(self) -> FeatureUsage:
        return FeatureUsage(self.seconds, self.cold, self.computed, self.reused)
