"""What a training keeps between two breaks: its state, its optimiser's, and what it put by on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from bench.train.checkpoint import Interrupted, stop_asked

if TYPE_CHECKING:
    from bench.train.method import Method

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Resumable:
    """The checkpoints of one training of so many mini-batches, by its method's leave.

    Attributes
    ----------
    method : Method
        Whose checkpoints are used; its notes tell of a break.
    optimiser : torch.optim.Optimizer
    state : mapping of str to Tensor
        What training changes, besides the optimiser's own; written back in place.
    steps : int
    kept : dict of str to dict of str to Tensor
        What is put by on the way and must survive a break.
    clock : callable
    """

    method: Method
    optimiser: torch.optim.Optimizer
    state: Mapping[str, torch.Tensor]
    steps: int
    kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _started: float = field(init=False, default=0.0)
    _saved: float = field(init=False, default=0.0)
    _before: float = field(init=False, default=0.0)

    def resume(self) -> int:
        """Put back the last state there is; return how many mini-batches are done."""
        self._started = self._saved = self.clock()
        checkpoints = self.method.checkpoints
        found = checkpoints.read(self.kept) if checkpoints is not None else None
        if found is None:
            return 0
        tensors, described = found
        if described["made by"] != self._made_by():
            log.warning("a checkpoint of another torch or device is left aside")
            self.kept.clear()
            assert checkpoints is not None
            checkpoints.remove()
            return 0
        with torch.no_grad():
            for name, tensor in self.state.items():
                tensor.copy_(tensors[f"state/{name}"])
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser/"):
                _, number, key = name.split("/", 2)
                state.setdefault(int(number), {})[key] = tensor
        self.optimiser.load_state_dict({"state": state, "param_groups": described["groups"]})
        done, self._before = int(described["done"]), float(described["seconds"])
        self.method.notes += (
            f"went on after {done} of {self.steps} mini-batches and {self._before:.0f} s, "
            "which its time lacks",
        )
        return done

    def due(self) -> bool:
        """Whether the state is to be saved now: it is some time since, or the run is to end."""
        checkpoints = self.method.checkpoints
        return checkpoints is not None and (stop_asked() or self.clock() - self._saved >= checkpoints.every)

    def save(self, done: int) -> None:
        """Keep the state.

        Raises
        ------
        Interrupted
            The run is to end.
        """
        assert self.method.checkpoints is not None
        optimiser = self.optimiser.state_dict()
        flat = {(number, name): v for number, its in optimiser["state"].items() for name, v in its.items()}
        tensors = {f"state/{name}": tensor for name, tensor in self.state.items()}
        tensors |= {f"optimiser/{n}/{name}": v for (n, name), v in flat.items() if torch.is_tensor(v)}
        described = {
            "done": done,
            "seconds": self._before + self.clock() - self._started,
            "groups": optimiser["param_groups"],
            "made by": self._made_by(),
        }
        self.method.checkpoints.write(tensors, described, self.kept)
        self._saved = self.clock()
        if stop_asked():
            raise Interrupted

    def _made_by(self) -> list[str]:
        return [torch.__version__, self.method.device.type]
