"""Checkpoints: where a long cell saves its state, so that it can resume after an interruption.

::

    <cache>/checkpoints/<cell's key>/[<part>/]state.safetensors    what is trained, and the optimiser
                                              kept-<n>.safetensors   earlier states, written once

The key covers the adapter's code, parameters, data, weights and seed. The versions of anobench and torch that
wrote it stand inside, and how many steps and which tensors it is of. Files are safetensors with JSON in their
header, written under a temporary name and renamed; if one cannot be read, or is of something else, the cell
starts over. The folder is deleted when the cell's record is written.

A run that must end calls `ask_to_stop`: each training then writes a checkpoint after its current step and
raises `StopRequested`; those without checkpoints finish first.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import bench
from bench.core.errors import ArchiveError, Interruption
from bench.core.files import cache_folder, write_atomically

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_SCHEMA = 3
#: Seconds between two checkpoints: the most that an interruption loses.
EVERY = 120.0

Tensors = Mapping[str, "torch.Tensor"]

_stop = threading.Event()


class StopRequested(Interruption):
    """The run must end, and the cell's state is saved."""


class StoppedAtOnce(Interruption, KeyboardInterrupt):
    """The run must end now, whatever the cell is at."""


def ask_to_stop() -> None:
    """Ask the cells of this process to end at their next checkpoint."""
    _stop.set()


def go_on() -> None:
    """Take back `ask_to_stop`."""
    _stop.clear()


def stop_asked() -> bool:
    return _stop.is_set()


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """A cell's folder of checkpoints.

    Attributes
    ----------
    folder : Path
    every : float
        Seconds between two.
    """

    folder: Path
    every: float = EVERY

    @classmethod
    def of_cell(cls, key: str) -> Checkpoints:
        return cls(cache_folder() / "checkpoints" / key)

    def part(self, name: str) -> Checkpoints:
        """Return the checkpoints of one of several trainings of the cell (a wrapper's bases)."""
        return Checkpoints(self.folder / name, self.every)

    def write(self, tensors: Tensors, described: Mapping[str, Any], kept: Mapping[str, Tensors]) -> None:
        """Write a state; `kept` states that were written before are not written again.

        If the folder cannot be written, training continues without, with a warning.
        """
        try:
            names = list(kept)
            for number, name in enumerate(names):
                path = self.folder / f"kept-{number}.safetensors"
                if not path.exists():
                    _write(path, kept[name], {"name": name})
            _write(self.folder / "state.safetensors", tensors, {**described, "kept": names})
        except (ArchiveError, OSError) as error:
            log.warning("no checkpoint: %s", error)

    def read(
        self, kept: MutableMapping[str, dict[str, torch.Tensor]]
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the last state and fill in the kept ones; None if there is none that can be read."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            self._clear()
            return None
        try:
            tensors, described = _read(path)
            found = {}
            for number, name in enumerate(described["kept"]):
                found[name], its = _read(self.folder / f"kept-{number}.safetensors")
                if its["name"] != name:
                    raise ValueError(f"kept-{number} is {its['name']}, not {name}")
        except Exception as error:  # a torn file can make the reader fail in any way
            log.warning("%s cannot be read (%s); the cell starts over", path, error)
            self._clear()
            return None
        kept.update(found)
        return tensors, described

    def _clear(self) -> None:
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder and its parts."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Trained(Protocol):
    """The part of a `bench.Method` that concerns checkpoints."""

    device: torch.device
    checkpoints: Checkpoints | None
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Resumable:
    """One training of a number of mini-batches that can resume from the checkpoints of its method, if any.

    Attributes
    ----------
    method : Method
        Its notes mention an interruption.
    optimiser : torch.optim.Optimizer
    state : mapping of str to Tensor
        The tensors that training changes, besides the optimiser's; restored in place.
    steps : int
    kept : dict of str to dict of str to Tensor
        Earlier states of the network that must survive an interruption.
    clock : callable
    part : str
        Name of one of several trainings of a cell. Its last state is saved too, so that a cell that was
        interrupted in a later one does not train this one again.
    """

    method: Trained
    optimiser: torch.optim.Optimizer
    state: Mapping[str, torch.Tensor]
    steps: int
    kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    part: str = ""
    _started: float = field(init=False, default=0.0)
    _saved: float = field(init=False, default=0.0)
    _before: float = field(init=False, default=0.0)

    def resume(self) -> int:
        """Restore the last state, if there is one; return how many mini-batches are done."""
        import torch

        self._started = self._saved = self.clock()
        checkpoints = self._checkpoints()
        found = checkpoints.read(self.kept) if checkpoints is not None else None
        if found is None:
            return 0
        tensors, described = found
        if described["made by"] != self._made_by():
            log.warning("a checkpoint of another version, device or network is ignored; the cell starts over")
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
        of = f" of its {self.part}" if self.part else ""
        self.method.notes += (
            f"resumed after {done} of {self.steps} mini-batches{of} and {self._before:.0f} s, which its time "
            "does not include",
        )
        return done

    def _checkpoints(self) -> Checkpoints | None:
        whole = self.method.checkpoints
        return whole.part(self.part) if whole is not None and self.part else whole

    def ends_part(self) -> bool:
        """Return whether the last state is to be saved."""
        return bool(self.part) and self.method.checkpoints is not None

    def due(self) -> bool:
        """Return whether to save the state now: some time has passed, or the run must end."""
        checkpoints = self.method.checkpoints
        return checkpoints is not None and (stop_asked() or self.clock() - self._saved >= checkpoints.every)

    def save(self, done: int) -> None:
        """Save the state.

        Raises
        ------
        StopRequested
            The run must end.
        """
        checkpoints = self._checkpoints()
        assert checkpoints is not None
        optimiser = self.optimiser.state_dict()
        flat = {(number, name): v for number, its in optimiser["state"].items() for name, v in its.items()}
        tensors = {f"state/{name}": tensor for name, tensor in self.state.items()}
        tensors |= {f"optimiser/{n}/{name}": v for (n, name), v in flat.items() if hasattr(v, "detach")}
        described = {
            "done": done,
            "seconds": self._before + self.clock() - self._started,
            "groups": optimiser["param_groups"],
            "made by": self._made_by(),
        }
        checkpoints.write(tensors, described, self.kept)
        self._saved = self.clock()
        if stop_asked():
            raise StopRequested

    def _made_by(self) -> dict[str, Any]:
        import torch

        return {
            "versions": [bench.__version__, torch.__version__],
            "device": self.method.device.type,
            "steps": self.steps,
            "state": {name: list(tensor.shape) for name, tensor in self.state.items()},
            "optimiser": [len(group["params"]) for group in self.optimiser.param_groups],
        }


def _write(path: Path, tensors: Tensors, described: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    on_host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"schema": _SCHEMA, **described})
    # A file emptied by a power cut is ignored like any other that cannot be read.
    write_atomically(path, save(on_host, {"anobench": text}), durable=False)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        described: dict[str, Any] = json.loads(file.metadata()["anobench"])
        if described["schema"] != _SCHEMA:
            raise ValueError(f"schema {described['schema']}, expected {_SCHEMA}")
        return {name: file.get_tensor(name) for name in file.keys()}, described  # noqa: SIM118
