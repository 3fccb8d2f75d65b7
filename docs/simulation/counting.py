"""Events counted over repetitions, and the test that is naively made of whatever numbers there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Share:
    """How often something happened.

    Attributes
    ----------
    what : str
    kind : {"leaderboard", "naive", "interval"}
    times, of : int
    """

    what: str
    kind: str
    times: int
    of: int

    @property
    def percent(self) -> float:
        return 100 * self.times / self.of

    @property
    def error(self) -> float:
        """Standard error of the percentage."""
        share = self.times / self.of
        return float(100 * np.sqrt(share * (1 - share) / self.of))


def naive_p(differences: Floats) -> float:
    """Return what a paper's script does: a signed-rank test of whatever numbers there are."""
    return float(stats.wilcoxon(differences.ravel()).pvalue)


def counted(kinds: Mapping[str, str], events: Iterator[dict[str, bool]]) -> list[Share]:
    """Count events by name; each name belongs to a kind."""
    times, of = Counter[str](), Counter[str]()
    for each in events:
        for name, happened in each.items():
            times[name] += happened
            of[name] += 1
    return [Share(name, kind, times[name], of[name]) for name, kind in kinds.items()]
