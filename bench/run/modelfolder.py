"""The folder of a saved method, ``model.json`` and ``tensors.safetensors``: written whole, read with care."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import bench
from bench.core.determinism import canonical_json
from bench.core.errors import AnobenchError, said
from bench.core.files import write_atomically
from bench.features.provider import FeatureProvider
from bench.features.trainable import Trainable
from bench.suite.resolve import ResolvedMethod
from bench.train.method import Method
from bench.train.skeleton import Encoder, Networks

#: Schema of model.json.
SCHEMA = 1
JSON, TENSORS = "model.json", "tensors.safetensors"
#: A larger model.json is none.
MOST_BYTES = 256 * 2**20


class Recording(FeatureProvider):
    """A provider that knows which networks it gave away, and which backbones it was asked for."""

    given: tuple[Trainable, ...] = ()

    def network(self, backbone: str) -> Trainable:
        net = super().network(backbone)
        self.given += (net,)
        return net

    @property
    def asked(self) -> list[str]:
        return sorted(self._resolved)


def refuse_other(folder: Path) -> None:
    """Make sure that a saved method may be written there: no folder yet, an empty one, or a saved method.

    Raises
    ------
    AnobenchError
        It is something else, or cannot be read or written.
    """
    try:
        inside = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise AnobenchError(f"{folder} cannot be read ({error.strerror}); give another folder") from None
    if inside - {JSON, TENSORS} or (folder.exists() and not folder.is_dir()):
        raise AnobenchError(f"{folder} is there already, and is no saved method; give another folder")
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(above, os.W_OK):
        raise AnobenchError(f"{folder} cannot be written: no permission in {above}; give another folder")


def write(
    method: Method, resolved: ResolvedMethod, provider: Recording, about: dict[str, Any], folder: Path
) -> None:
    """Write a fitted method; see `bench.run.fitted.FittedMethod.save`."""
    from safetensors.torch import save

    refuse_other(folder)
    networks = Networks(provider.given)
    base = resolved.base.make() if resolved.base is not None else None
    encoder = Encoder(modules_of(resolved), networks, base)
    selector = resolved.selector
    try:
        state = encoder.attributes(method, resolved.make())
        described = [
            encoder.network(number, provider.network(net.backbone.name))
            if net.first is None
            else encoder.network(number, _thawed(provider, net.backbone.name, net.first))
            for number, net in enumerate(networks.used)
        ]
    except AnobenchError as error:
        raise AnobenchError(f"{selector} cannot be saved: {error}") from None
    content = save(encoder.tensors)
    whole = {
        "schema": SCHEMA,
        "made by": f"anobench {bench.__version__}",
        **about,
        "networks": described,
        "state": state,
        "tensors": {"sha256": hashlib.sha256(content).hexdigest(), "number": len(encoder.tensors)},
    }
    text = json.dumps({**whole, "sha256": checksum(whole)}, indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnobenchError(f"{folder} cannot be written ({error.strerror}); give another folder") from None
    write_atomically(folder / TENSORS, content)
    write_atomically(folder / JSON, text.encode())


def _thawed(provider: Recording, backbone: str, first: int) -> Any:
    net = provider.network(backbone)
    net.thaw(first)
    return net


def modules_of(resolved: ResolvedMethod) -> dict[str, Any]:
    """Return the modules of a method's own adapters, which its values may name."""
    found = {}
    for alias, each in (("method", resolved), ("base", resolved.base)):
        if each is not None:
            each.adapter.load()
            found[alias] = sys.modules[each.adapter.module_name]
    return found


def checksum(about: dict[str, Any]) -> str:
    held = {name: value for name, value in about.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(held).encode()).hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """Return what model.json says, if it is whole."""
    path = folder / JSON
    if not path.is_file():
        raise AnobenchError(f"{folder} holds no saved method ({JSON} is missing); see anobench fit")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        about = json.loads(path.read_bytes())
        if about["schema"] != SCHEMA:
            raise AnobenchError(
                f"{path} has schema {str(about['schema'])[:20]}, and this anobench reads {SCHEMA}; fit again"
            )
        whole = checksum(about) == about["sha256"]
    except AnobenchError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnobenchError(f"{path} is not a saved method: {said(error)}") from None
    if not whole:
        raise AnobenchError(f"{path} was edited or damaged: its checksum is of other content; fit again")
    found: dict[str, Any] = about
    return found


def tensors_of_folder(folder: Path, about: Any) -> dict[str, Any]:
    from safetensors.torch import load

    path = folder / TENSORS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnobenchError(f"{TENSORS} cannot be read ({error.strerror or error})") from None
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise AnobenchError(
            f"{TENSORS} is torn or of another method: its checksum is not the one in {JSON}; copy it again"
        )
    try:
        return dict(load(content))
    except Exception as error:
        raise AnobenchError(f"{TENSORS} is damaged: {said(error)}") from None
