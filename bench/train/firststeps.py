"""The first steps of a training, for an estimate of what all of them take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.features.device import synchronise

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class FirstSteps:
    """Asks trainings to take some steps only, as if they were all, and gets what they take.

    Attributes
    ----------
    most : int
        Steps of each training; the first is not timed.
    trainings : list of (int, int, float)
        Of each: the steps that it should have, those that it took, and the seconds of one.
    """

    most: int = 4
    trainings: list[tuple[int, int, float]] = field(default_factory=list)

    def steps(self, steps: int, device: torch.device) -> Iterator[int]:
        """Yield the numbers of the steps to take, and note what these cost."""
        taken, times = min(steps, self.most), [time.perf_counter()]
        for step in range(taken):
            yield step
            synchronise(device)
            times.append(time.perf_counter())
        # The first step allocates what the others use again.
        first = 1 if taken > 1 else 0
        self.trainings.append((steps, taken, (times[-1] - times[first]) / max(1, taken - first)))

    @property
    def seconds(self) -> float:
        """Return the seconds that the trainings would take beyond those they took."""
        return sum((steps - taken) * each for steps, taken, each in self.trainings)
