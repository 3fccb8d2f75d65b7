"""The training loop of methods that train a network, one cell at a time.

Random numbers go by position: those of a step depend on the method's seed and the step's number only
(`generator_for`, `epoch_rows`, `endless_rows`), never on earlier draws. So an interrupted training resumes
from its last checkpoint bit for bit, and no generator is saved.

References
----------
The range test: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, with the arithmetic
of PyTorch Lightning 2.0's ``lr_find``.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.determinism import derive_seed
from bench.core.errors import FitError
from bench.train.checkpoint import Resumable

if TYPE_CHECKING:
    from bench.train.method import Method

Loss = Callable[[int], torch.Tensor]
#: Steps between two checks of the loss on a GPU, each of which waits for the device.
CHECK_LOSS_EVERY = 25
#: Points of a learning curve, at most; each is the mean loss of as many mini-batches, or one more.
CURVE_POINTS = 200
#: Lightning's smoothing of the loss, and the multiple of the best at which the test stops.
SMOOTHING, DIVERGED = 0.98, 4.0
#: Losses left out at both ends in the search for the steepest descent.
SKIP_BEGIN, SKIP_END = 10, 1


@dataclass(slots=True, kw_only=True)
class Training(Resumable):
    """Steps of an optimiser, with checkpoints, progress, and an error when a loss is not finite.

    The method's `curves` get the course of the loss.

    Attributes
    ----------
    method, optimiser, state, steps, kept, clock
        As in `bench.train.checkpoint.Resumable`; the method's seed, device and progress are used too.
    clip : float, optional
        Largest norm of the gradient over all parameters.
    rate : callable, optional
        Learning rate of each step, counted from 0; the optimiser's by default.
    precision : {"float32", "bfloat16"}
        Autocast of the loss, on a GPU only.
    part : str
        As in `bench.train.checkpoint.Resumable`.
    """

    method: Method
    clip: float | None = None
    rate: Callable[[int], float] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    _finite: torch.Tensor = field(init=False)
    _curve: torch.Tensor = field(init=False)

    def run(self, loss: Loss, after: Callable[[int], None] | None = None) -> None:
        """Train.

        Parameters
        ----------
        loss : callable
            The loss of a step, counted from 0.
        after : callable, optional
            Called with the number of steps done: 0 before the first, then after each.

        Raises
        ------
        FitError
            A loss or gradient was NaN or infinite.
        StopRequested
            The run must end; the state is saved.
        """
        after = after or (lambda _: None)
        points = min(self.steps, CURVE_POINTS)
        self._curve = torch.zeros(points, device=self.method.device)
        self.state = {**self.state, "learning curve": self._curve}
        done = self.resume()
        self._finite = torch.ones((), dtype=torch.bool, device=self.method.device)
        if not done:
            after(0)
        trial = self.method.first_steps
        for step in trial.steps(self.steps, self.method.device) if trial else range(done, self.steps):
            self._step(loss, step)
            after(step + 1)
            if self.method.progress is not None:
                self.method.progress(type(self.method).__name__, step + 1, self.steps)
            if self.due() or (self.ends_part() and step + 1 == self.steps):
                self._look(step)
                self.save(step + 1)
        if trial:
            after(self.steps)
        self._look(self.steps - 1)
        (curve,) = mean_losses(self._curve[None], self.steps)
        self.method.curves = {**self.method.curves, self.part or "training": curve}

    def _step(self, loss: Loss, step: int) -> None:
        # For layers that draw from the global generator (dropout).
        torch.manual_seed(derive_seed(self.method.seed, "step", step))
        if self.rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            value = loss(step)
        self._finite &= value.detach().isfinite()
        self._curve[step * len(self._curve) // self.steps] += value.detach().to(self._curve)
        if self.method.device.type == "cpu" or (step + 1) % CHECK_LOSS_EVERY == 0:
            self._look(step, value)
        value.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(self._parameters(), self.clip)
            self._finite &= norm.isfinite()
        self.optimiser.step()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "float32" or self.method.device.type == "cpu":
            return contextlib.nullcontext()
        return torch.autocast(self.method.device.type, dtype=getattr(torch, self.precision))

    def _parameters(self) -> list[torch.Tensor]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    def _look(self, step: int, value: torch.Tensor | None = None) -> None:
        if self.steps and not bool(self._finite):
            became = "became NaN or infinite" if value is None else f"became {float(value.detach()):g}"
            raise FitError(
                f"{type(self.method).__name__}: the loss or its gradient {became} by mini-batch {step + 1} "
                f"of {self.steps}; lower the learning rate, or look for damaged images or weights"
            )


def train_with_adam(
    method: Method,
    model: torch.nn.Module,
    loss: Loss,
    *,
    steps: int,
    steps_per_epoch: int,
    lr: float,
    weight_decay: float,
    clip: float,
) -> None:
    """Train a network with Adam, whose rate falls to a tenth every 10 epochs; leave it in evaluation mode.

    Parameters
    ----------
    method, loss, steps, clip
        As for `Training`.
    model : nn.Module
        All of it is trained.
    steps_per_epoch : int
    lr, weight_decay : float
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    model.train()
    Training(
        method=method,
        optimiser=optimiser,
        state=model.state_dict(),
        steps=steps,
        clip=clip,
        rate=lambda step: lr * 0.1 ** (step // (10 * steps_per_epoch)),
    ).run(loss)
    model.eval()


def mean_losses(sums: torch.Tensor, steps: int) -> list[list[float]]:
    """Return curves (c, points) of mean losses from the sums of the losses of equal parts of so many steps.

    One copy to the host.
    """
    points = sums.shape[1]
    each = np.bincount(np.arange(steps) * points // max(steps, 1), minlength=points)
    curves: list[list[float]] = (sums.double().cpu().numpy() / np.maximum(each, 1)).tolist()
    return curves


def generator_for(*names: object) -> torch.Generator:
    """Return a generator for one purpose, such as ``generator_for(seed, "noise", step)``.

    It is on the host, so that its numbers are the same on every device.

    Examples
    --------
    >>> first, second = (torch.rand(1, generator=bench.generator_for(0, "noise")) for _ in range(2))
    >>> bool(first == second)
    True
    """
    return torch.Generator().manual_seed(derive_seed(*names))


@functools.lru_cache(maxsize=8)
def _pass(n: int, number: int, seed: int, name: str) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(seed, name, number)).permutation(n)


def epoch_rows(n: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of a mini-batch: pass after pass over n rows, each in a new order.

    The last mini-batch of a pass is the rest.

    Examples
    --------
    >>> sorted(int(row) for step in range(3) for row in bench.epoch_rows(5, 2, step, seed=0))
    [0, 1, 2, 3, 4]
    """
    a_pass = -(-n // batch)
    start = (step % a_pass) * batch
    return _pass(n, step // a_pass, seed, "epoch")[start : start + batch]


def endless_rows(n: int, batch: int, step: int, seed: int, name: str) -> NDArray[np.int64]:
    """Return the rows of a mini-batch that is always full: shuffled passes joined end to end.

    Examples
    --------
    >>> len(bench.endless_rows(5, 4, 1, 0, "epoch"))
    4
    """
    places = np.arange(step * batch, (step + 1) * batch)
    passes = {number: _pass(n, number, seed, name) for number in np.unique(places // n).tolist()}
    return np.array([passes[place // n][place % n] for place in places.tolist()], np.int64)


def range_test_rates(steps: int = 100, *, lowest: float = 1e-8, highest: float = 1.0) -> list[float]:
    """Return the rates to train with, one a step, growing exponentially from `lowest` to `highest`.

    Examples
    --------
    >>> [round(rate, 3) for rate in bench.range_test_rates(3, lowest=0.01, highest=1.0)]
    [0.01, 0.215, 1.0]
    """
    return [lowest] + [lowest * (highest / lowest) ** ((i + 1) / steps) for i in range(1, steps)]


def suggested_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which the smoothed loss falls most steeply from one step to the next.

    Parameters
    ----------
    rates, losses : sequence of float, shape (steps,)
        The rate of each step and its loss, which may be NaN or infinite. Everything after the first smoothed
        loss above four times the best is ignored.

    Returns
    -------
    float or None
        None if there are fewer than two usable losses.

    Examples
    --------
    >>> bench.suggested_rate([0.1, 0.2], [1.0, 0.5]) is None
    True
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
