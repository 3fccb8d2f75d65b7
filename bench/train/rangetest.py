"""The learning-rate range test (Smith, 2017), with the arithmetic of PyTorch Lightning 2.0's ``lr_find``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: Lightning's smoothing of the loss, and by how much it may exceed the best before the test stops.
SMOOTHING, DIVERGED = 0.98, 4.0
#: Losses left out at both ends before the steepest descent is looked for.
SKIP_BEGIN, SKIP_END = 10, 1


def range_test_rates(steps: int = 100, *, lowest: float = 1e-8, highest: float = 1.0) -> list[float]:
    """Return the rates to train with, one a step, growing exponentially from `lowest` to `highest`."""
    return [lowest] + [lowest * (highest / lowest) ** ((i + 1) / steps) for i in range(1, steps)]


def suggested_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which the smoothed loss falls most steeply from one step to the next.

    Parameters
    ----------
    rates, losses : sequence of float, shape (steps,)
        What was trained with and the loss that came of it; losses may be NaN or infinite. What follows the
        first smoothed loss above four times the best is ignored.

    Returns
    -------
    float or None
        None if fewer than two usable losses are left.
    """
    smoothed, average, best = [], 0.0, math.inf
    for step, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        # Lightning counts one step too many in this correction: the first values come out halved.
        smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
        if step > 1 and smoothed[-1] > DIVERGED * best:
            break
        if step == 1 or smoothed[-1] < best:
            best = smoothed[-1]
    usable = np.array(smoothed[SKIP_BEGIN : len(smoothed) - SKIP_END])
    usable = usable[np.isfinite(usable)]
    if len(usable) < 2:
        return None
    return rates[int(np.gradient(usable).argmin()) + SKIP_BEGIN]
