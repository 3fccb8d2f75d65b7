"""Checkpoints: where a cell of hours keeps its state, so that it goes on after a break.

::

    <cache>/checkpoints/<cell's key>/[<part>/]state.safetensors    what is trained, and the optimiser
                                              kept-<n>.safetensors   what was put by on the way, written once

The cell's key stands for code, parameters, data, weights and seed, so that what lies under it belongs to this
cell. Files are safetensors with a JSON text in their header, written under a temporary name and renamed; what
cannot be read is left aside, and the cell begins anew. A folder goes when its cell's record is written.

A run that is to end asks for a stop (`ask_to_stop`): a training writes its checkpoint after its step, and
raises `Interrupted`; what keeps no checkpoints goes on to its end.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import ArchiveError
from bench.core.files import cache_folder, write_atomically

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SCHEMA = 1
#: Seconds between two checkpoints: what a break can lose.
EVERY = 120.0

Tensors = Mapping[str, "torch.Tensor"]

_stop = threading.Event()


class Interrupted(BaseException):
    """The run is to end, and the cell's state is kept. No failure: what catches errors lets it pass."""


def ask_to_stop() -> None:
    """Ask what runs in this process to end at its next checkpoint."""
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
        """Return the place of one of several trainings of the cell (a wrapper's bases)."""
        return Checkpoints(self.folder / name, self.every)

    def write(self, tensors: Tensors, described: Mapping[str, Any], kept: Mapping[str, Tensors]) -> None:
        """Keep a state; what was kept before under the same name is not written again.

        Where nothing can be written the training goes on without, with one warning a try.
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
        """Return the last state and fill in what was kept; None if there is none that can be read."""
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
                    raise ValueError(f"kept-{number} holds {its['name']}, not {name}")
        except Exception as error:  # a torn file can make the reader fail in any way
            log.warning("%s cannot be read (%s); the cell begins anew", path, error)
            self._clear()
            return None
        kept.update(found)
        return tensors, described

    def _clear(self) -> None:
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder with all its parts."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(path: Path, tensors: Tensors, described: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"schema": SCHEMA, **described})
    # A file that a power cut empties is left aside like any other that cannot be read.
    write_atomically(path, save(whole, {"anobench": text}), durable=False)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        described: dict[str, Any] = json.loads(file.metadata()["anobench"])
        if described["schema"] != SCHEMA:
            raise ValueError(f"schema {described['schema']}, expected {SCHEMA}")
        return {name: file.get_tensor(name) for name in file.keys()}, described  # noqa: SIM118
