"""What getting features cost, counted for each cell by itself, also where several are fitted at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from bench.features.provider import FeatureProvider, Rows
    from bench.features.trainable import Trainable
    from bench.images import Resizing
    from bench.source import Source


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


class Meter:
    """A provider as one cell sees it: the same features, counted for this cell.

    Parameters
    ----------
    provider : FeatureProvider
    """

    def __init__(self, provider: FeatureProvider) -> None:
        self._provider, self._tally = provider, Tally()
        self.device = provider.device

    def usage(self) -> FeatureUsage:
        """Return what this cell spent since the last call, and start counting anew."""
        usage, self._tally = self._tally.usage(), Tally()
        return usage

    def features(self, source: Source, rows: Rows, backbone: str) -> torch.Tensor:
        with self._provider.counting(self._tally):
            return self._provider.features(source, rows, backbone)

    def patches(
        self, source: Source, rows: Rows, backbone: str, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        with self._provider.counting(self._tally):
            return self._provider.patches(source, rows, backbone, layers)

    def pixels(self, source: Source, rows: Rows, size: Resizing | None) -> torch.Tensor:
        with self._provider.counting(self._tally):
            return self._provider.pixels(source, rows, size)

    def network(self, backbone: str) -> Trainable:
        return self._provider.network(backbone)
