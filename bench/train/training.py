"""The training loop of methods that train a network, one cell at a time.

Chance is by position: what a step draws depends on the method's seed and the step's number alone
(`generator_for`, `epoch_rows`, `endless_rows`), never on what was drawn before. So a training that was broken
off goes on from its last checkpoint with the very bits that it would have had, and no generator is kept.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.determinism import derive_seed
from bench.core.errors import FitError
from bench.train.resume import Resumable

if TYPE_CHECKING:
    from bench.train.method import Method

Loss = Callable[[int], torch.Tensor]
#: Off a CPU, asking whether a loss is finite waits for the device: only every so many steps.
LOOK_EVERY = 25


@dataclass(slots=True, kw_only=True)
class Training:
    """Steps of an optimiser, with checkpoints, progress, and an end when a loss is not finite.

    Attributes
    ----------
    method : Method
        Whose seed, device, progress and checkpoints are used; its notes tell of a break.
    optimiser : torch.optim.Optimizer
    state : mapping of str to Tensor
        What training changes, besides the optimiser: parameters, running statistics.
    steps : int
    clip : float, optional
        The gradient's norm over all parameters is cut to this.
    rate : callable, optional
        Learning rate of each step, from 0; without it the optimiser's.
    precision : {"float32", "bfloat16"}
        Autocast of the loss, on a GPU only.
    kept : dict of str to dict of str to Tensor
        What is put by on the way and must survive a break: earlier states of the network.
    clock : callable
    """

    method: Method
    optimiser: torch.optim.Optimizer
    state: Mapping[str, torch.Tensor]
    steps: int
    clip: float | None = None
    rate: Callable[[int], float] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _finite: torch.Tensor = field(init=False)

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
        Interrupted
            The run is to end; the state is kept.
        """
        after = after or (lambda _: None)
        resumable = Resumable(
            method=self.method,
            optimiser=self.optimiser,
            state=self.state,
            steps=self.steps,
            kept=self.kept,
            clock=self.clock,
        )
        done = resumable.resume()
        self._finite = torch.ones((), dtype=torch.bool, device=self.method.device)
        if not done:
            after(0)
        for step in range(done, self.steps):
            self._step(loss, step)
            after(step + 1)
            if self.method.progress is not None:
                self.method.progress(type(self.method).__name__, step + 1, self.steps)
            if resumable.due():
                self._look(step)
                resumable.save(step + 1)
        self._look(self.steps - 1)

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
        if self.method.device.type == "cpu" or (step + 1) % LOOK_EVERY == 0:
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


def generator_for(*names: object) -> torch.Generator:
    """Return a generator on the host for one purpose, such as ``generator_for(seed, "noise", step)``.

    What it draws is the same on every device.
    """
    return torch.Generator().manual_seed(derive_seed(*names))


@functools.lru_cache(maxsize=8)
def _pass(n: int, number: int, seed: int, name: str) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(seed, name, number)).permutation(n)


def epoch_rows(n: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of a mini-batch: pass after pass over n rows, each shuffled anew.

    The last mini-batch of a pass takes what is left.
    """
    a_pass = -(-n // batch)
    start = (step % a_pass) * batch
    return _pass(n, step // a_pass, seed, "epoch")[start : start + batch]


def endless_rows(n: int, batch: int, step: int, seed: int, name: str) -> NDArray[np.int64]:
    """Return the rows of a mini-batch that is always full: one shuffled pass after the other, without end."""
    places = np.arange(step * batch, (step + 1) * batch)
    passes = {number: _pass(n, number, seed, name) for number in np.unique(places // n).tolist()}
    return np.array([passes[place // n][place % n] for place in places.tolist()], np.int64)
