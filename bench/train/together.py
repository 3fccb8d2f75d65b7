"""Fitting the methods of several cells in the same steps, where the method supports it.

A method supports it by a class method ``fit_together(methods, trains)``: it gets methods of one class and
equal parameters, each with its own seed and training images, and leaves each as `fit` would, up to the
rounding of batched matrix products. All random numbers come from each method's own seed, never from a shared
generator. The method separates banks of different shapes (`bench.same_shape`). Methods without it are fitted
by `fit`, one after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.core.devicefaults import is_device_lost, is_out_of_memory
from bench.core.errors import FitError, from_outside, said
from bench.data.images import Images
from bench.features.device import free_cached
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
    error : BaseException or None
        Why the fit failed.
    """

    seconds: float
    together: int
    error: BaseException | None = None


def fit_many(
    methods: Sequence[Method],
    trains: Sequence[Images],
    *,
    at_once: int = 32,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Fit]:
    """Fit methods of one class and equal parameters, at most `at_once` in the same steps.

    If a joint fit fails (one NaN loss stops them all), each method is fitted alone, so that only those fail
    that would fail alone; if it runs out of memory, half as many are fitted at once.

    Parameters
    ----------
    methods : sequence of Method
        With `device` and `seed` set; of cells that differ in task, contamination or seed only.
    trains : sequence of Images
        Bound to a provider.
    at_once : int
        As many as the device's memory allows: with Adam, four times the size of the heads' parameters.
    clock : callable
        Returns seconds; on a GPU it must wait for the device.

    Returns
    -------
    list of Fit
        One a method, in the same order.
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
        fitted, full = _fitted_together(fit_together, methods, trains)
        if fitted:
            return [Fit((clock() - started) / len(methods), len(methods))] * len(methods)
        if full:  # here, outside the handler, the failed attempt's tensors are gone
            free_cached()
            half = (len(methods) + 1) // 2
            return [
                fit
                for part in (slice(half), slice(half, None))
                for fit in _fit_group(methods[part], trains[part], clock)
            ]
        wasted = (clock() - started) / len(methods)
    return [_fit_alone(method, train, clock, wasted) for method, train in zip(methods, trains, strict=True)]


def _fitted_together(
    fit_together: Callable[[Sequence[Method], Sequence[Images]], object],
    methods: Sequence[Method],
    trains: Sequence[Images],
) -> tuple[bool, bool]:
    """Fit methods together; return whether that worked, and if not, whether memory ran out."""
    kind = type(methods[0]).__name__
    # Warnings get the error's text alone: a log that keeps it would keep the tensors of its frames alive.
    try:
        fit_together(methods, trains)
    except (FitError, MemoryError, RuntimeError) as error:
        if is_device_lost(error):  # nor could any of them be fitted alone
            raise
        full = is_out_of_memory(error)
        if full:
            log.warning("%d heads of %s at once: %s; trying half as many", len(methods), kind, said(error))
        else:
            log.warning("%d heads of %s are fitted one by one: %s", len(methods), kind, said(error))
        return False, full
    return True, False


def _fit_alone(method: Method, train: Images, clock: Callable[[], float], wasted: float) -> Fit:
    started = clock()
    try:
        method.fit(train)
    except BaseException as error:
        if from_outside(error):
            raise
        return Fit(wasted + clock() - started, 1, error)
    return Fit(wasted + clock() - started, 1)
