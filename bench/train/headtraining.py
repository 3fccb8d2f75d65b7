"""The training loop of heads: shuffled mini-batches, epoch after epoch, of several cells at once.

Random numbers come from the heads' own generators, in sequence. A cell that trains alone saves their states
in its checkpoints, so that it resumes bit for bit; cells that train together have no checkpoints and finish
first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from bench.data.transfer import sent
from bench.train.checkpoint import Resumable
from bench.train.heads import Heads, batch_slices, shuffled
from bench.train.training import CURVE_POINTS, mean_losses

if TYPE_CHECKING:
    from bench.train.method import Method

#: On a GPU losses are looked at after so many mini-batches, since that waits for all of them.
CHECK_EVERY = 50


@dataclass(slots=True, kw_only=True)
class HeadTraining:
    """Iterates over mini-batches, with progress, checkpoints, and an error when a loss is not finite.

    Each method's `curves` get the course of its head's loss. The body of the loop takes a step of the
    optimiser on the rows that it gets. Everything else that it changes must be in `state` or `kept`.

    Attributes
    ----------
    methods : sequence of Method
        One a head.
    heads : Heads
    optimiser : torch.optim.Optimizer
    schedule : torch.optim.lr_scheduler.LRScheduler, optional
        Stepped after each mini-batch, or after each epoch.
    schedule_by : {"epoch", "batch"}
    n, batch, epochs : int
        Rows of a bank, of a mini-batch, and passes.
    smallest : int
        A last mini-batch of fewer rows joins the one before it.
    shuffle : sequence of torch.Generator
        One a head, on the host, for the order of the rows.
    draw : sequence of torch.Generator
        Others that the body uses.
    state : mapping of str to Tensor
        Running statistics and the like.
    kept : dict of str to dict of str to Tensor
        Earlier states that a head that trains alone keeps.
    device : torch.device
        Of the rows.
    clock : callable
    epoch : int
        Of the last mini-batch, from 0.
    ends_epoch : bool
        Whether that was the last of its epoch.
    """

    methods: Sequence[Method]
    heads: Heads
    optimiser: torch.optim.Optimizer
    n: int
    batch: int
    epochs: int
    shuffle: Sequence[torch.Generator]
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    schedule_by: Literal["epoch", "batch"] = "epoch"
    smallest: int = 1
    draw: Sequence[torch.Generator] = ()
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    device: torch.device = torch.device("cpu")  # noqa: RUF009
    clock: Callable[[], float] = time.monotonic
    epoch: int = field(init=False, default=0)
    ends_epoch: bool = field(init=False, default=False)

    @property
    def steps(self) -> int:
        return self.epochs * len(batch_slices(self.n, self.batch, smallest=self.smallest))

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield the rows of each head's bank for a mini-batch, shape (h, b), int64.

        Raises
        ------
        FitError
            A loss was NaN or infinite.
        StopRequested
            The run must end; the state is saved.
        """
        method, parts = self.methods[0], batch_slices(self.n, self.batch, smallest=self.smallest)
        name = type(method).__name__
        generators = [*self.shuffle, *self.draw]
        chance = {f"chance/{i}": g.get_state() for i, g in enumerate(generators)}
        order = torch.zeros((len(self.shuffle), self.n), dtype=torch.int64, device=self.device)
        curve = torch.zeros(len(self.methods), min(self.steps, CURVE_POINTS), device=self.heads.last.device)
        resumable = Resumable(
            method=method,
            optimiser=self.optimiser,
            state={**self.heads.tensors(), **self.state, **chance, "order": order, "curve": curve},
            steps=self.steps,
            kept=self.kept,
            clock=self.clock,
        )
        alone = len(self.methods) == 1
        done = resumable.resume() if alone else 0
        if done:
            for i, generator in enumerate(generators):
                generator.set_state(chance[f"chance/{i}"])
            if self.schedule is not None:
                # The rate itself came back with the optimiser.
                past = done if self.schedule_by == "batch" else done // len(parts)
                self.schedule.load_state_dict({"last_epoch": past, "_step_count": past + 1})
        trial, last = method.first_steps, self.steps - 1
        for step in trial.steps(self.steps, method.device) if trial else range(done, self.steps):
            # A trial's last step stands for the last of all.
            ends = trial is not None and step == min(self.steps, trial.most) - 1
            self.epoch, at = divmod(last if ends else step, len(parts))
            self.ends_epoch = at == len(parts) - 1
            if step % len(parts) == 0:
                order.copy_(sent(self.device, shuffled(self.n, self.shuffle))[0])
            yield order[:, parts[at]]
            curve[:, step * curve.shape[1] // self.steps] += self.heads.last
            if self.schedule is not None and (self.ends_epoch or self.schedule_by == "batch"):
                self.schedule.step()
            if method.progress is not None:
                method.progress(name, step + 1, self.steps)
            due = alone and resumable.due()
            if due or self._checks(step, at):
                self.heads.check(name)
            if due:
                for i, generator in enumerate(generators):
                    chance[f"chance/{i}"].copy_(generator.get_state())
                resumable.save(step + 1)
        for each, course in zip(self.methods, mean_losses(curve, self.steps), strict=True):
            each.curves = {**each.curves, "training": course}

    def _checks(self, step: int, at: int) -> bool:
        """Return whether losses are looked at: after an epoch, on a GPU not after each."""
        if not self.ends_epoch:
            return False
        epoch = at + 1  # mini-batches in it
        seldom = (step + 1) // CHECK_EVERY > (step + 1 - epoch) // CHECK_EVERY
        return self.heads.device.type == "cpu" or seldom or step + 1 == self.steps
