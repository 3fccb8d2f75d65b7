"""Many heads at once: fit the methods of several cells in the same steps, where the method offers it.

A method offers it with a class method ``fit_together(methods, trains)``: it gets methods of one class and
equal parameters, each with its own seed and training images, and leaves each as `fit` would have left it, up
to the rounding of batched matrix products. All random numbers come from each method's own seed, never from a
shared generator. Banks of different shapes are for the method to part (`bench.same_shape`). A method without
it is fitted by `fit`, one after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.core.errors import FitError
from bench.data.images import Images
from bench.train.method import Method

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fit:
    """How one method was fitted.

    Attributes
    ----------
    seconds : float
        Its share of the wall time: what the methods fitted together took, divided by their number.
    together : int
        How many were fitted in the same steps; 1 is alone.
    error : Exception or None
        Why it is not fitted.
    """

    seconds: float
    together: int
    error: Exception | None = None


def fit_many(
    methods: Sequence[Method],
    trains: Sequence[Images],
    *,
    at_once: int = 32,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Fit]:
    """Fit methods of one class and equal parameters, at most `at_once` in the same steps.

    If training some together fails (one loss that is NaN stops them all), each of them is fitted alone, so
    that only those fail that would fail alone; if the device's memory is too small, half as many at once.

    Parameters
    ----------
    methods : sequence of Method
        `device` and `seed` are set; cells that differ in task, contamination or seed only.
    trains : sequence of Images
        Bound to a provider.
    at_once : int
        What fits into the device's memory: the heads' parameters take four times their size with Adam.
    clock : callable
        Returns seconds; on a GPU one that waits for the device.

    Returns
    -------
    list of Fit
        One a method, in their order.
    """
    if len({type(method) for method in methods}) > 1:
        raise TypeError(f"expected methods of one class, got {sorted({type(m).__name__ for m in methods})}")
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    fits: list[Fit] = []
    for start in range(0, len(methods), at_once):
        part = slice(start, start + at_once)
        fits += _fit_group(methods[part], trains[part], clock)
    return fits


def _fit_group(methods: Sequence[Method], trains: Sequence[Images], clock: Callable[[], float]) -> list[Fit]:
    kind = type(methods[0])
    wasted = 0.0
    fit_together = getattr(kind, "fit_together", None)
    if len(methods) > 1 and fit_together is not None:
        started = clock()
        try:
            fit_together(methods, trains)
        except (MemoryError, torch.OutOfMemoryError) as error:
            half = (len(methods) + 1) // 2
            log.warning("%d heads of %s at once: %s; trying %d", len(methods), kind.__name__, error, half)
            torch.cuda.empty_cache()
            return [
                fit
                for part in (slice(half), slice(half, None))
                for fit in _fit_group(methods[part], trains[part], clock)
            ]
        except (FitError, RuntimeError) as error:
            log.warning("%d heads of %s are fitted one by one: %s", len(methods), kind.__name__, error)
            wasted = (clock() - started) / len(methods)
        else:
            return [Fit((clock() - started) / len(methods), len(methods))] * len(methods)
    return [_fit_alone(method, train, clock, wasted) for method, train in zip(methods, trains, strict=True)]


def _fit_alone(method: Method, train: Images, clock: Callable[[], float], wasted: float) -> Fit:
    started = clock()
    try:
        method.fit(train)
    except Exception as error:
        return Fit(wasted + clock() - started, 1, error)
    return Fit(wasted + clock() - started, 1)
