"""What a step of a training asks of a device: kernels, copies, and calls for which the host waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench.run.standin.memory import Counts

#: Without a warm-up: what the first step allocates is no part of a step.
SKIPPED = 2


@dataclass(slots=True)
class Steps:
    """Counts of a training, step by step.

    Attributes
    ----------
    each : list of dict
        What `Counts.totals` grew by in each step but the first ones, with ``pinned``: copies to the device
        for which the host does not wait.
    total : dict
        Of the whole call.
    """

    each: list[dict[str, int]] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=dict)

    def usual(self, name: str) -> float:
        """Return the median over the steps; NaN if nothing was trained."""
        return median(step[name] for step in self.each) if self.each else float("nan")

    @property
    def stalls(self) -> float:
        """Return the waits and unpinned copies of a usual step, each of which empties a GPU's queue."""
        return self.usual("waits") + self.usual("to_host") + self.usual("to_device") - self.usual("pinned")


def count_steps(counts: Counts, what: Callable[[], Any]) -> Steps:
    """Call something that trains with a torch optimiser; return what its steps asked of the device."""
    found, seen = Steps(), list[dict[str, int]]()

    def now() -> dict[str, int]:
        pinned = sum(n for key, n in counts.to_device.items() if key.startswith("pinned "))
        return {**counts.totals(), "pinned": pinned}

    def stepped(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        del optimiser
        seen.append(now())

    counts.clear()
    handle = register_optimizer_step_post_hook(stepped)
    try:
        what()
    finally:
        handle.remove()
    found.total = now()
    pairs = zip(seen[SKIPPED - 1 :], seen[SKIPPED:], strict=False)
    found.each = [{name: after[name] - before[name] for name in after} for before, after in pairs]
    return found
