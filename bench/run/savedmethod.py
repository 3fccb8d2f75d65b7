"""Fitted methods on disk: written by `bench.run.fitted.FittedMethod.save`, read by ``bench.load_method``."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench
from bench.core.determinism import canonical_json
from bench.core.errors import AnobenchError, BackboneError, said
from bench.core.files import write_atomically
from bench.data.fingerprint import file_sha256
from bench.features.backbone import Backbones
from bench.run.environment import versions
from bench.run.fitted import FittedMethod, Recording, _provider
from bench.suite.adapter import Adapter
from bench.suite.adapterfile import read_adapter
from bench.suite.registry import Registry, stock_folder
from bench.suite.resolve import ResolvedMethod, base_parameter, resolve
from bench.train.restored import Decoder
from bench.train.skeleton import Encoder, Networks

log = logging.getLogger(__name__)

#: Schema of model.json.
SCHEMA = 1
JSON, TENSORS = "model.json", "tensors.safetensors"
#: A larger model.json is none.
MOST_BYTES = 256 * 2**20


def write(fitted: FittedMethod, folder: Path) -> None:
    """Write a fitted method; see `FittedMethod.save`."""
    from safetensors.torch import save

    inside = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if inside - {JSON, TENSORS} or (folder.exists() and not folder.is_dir()):
        raise AnobenchError(f"{folder} is there already, and is no saved method; give another folder")
    resolved, networks = fitted.resolved, Networks(fitted.provider.given)
    base = resolved.base.make() if resolved.base is not None else None
    encoder = Encoder(_modules(resolved), networks, base)
    selector = resolved.selector
    try:
        state = encoder.attributes(fitted.method, resolved.make())
        described = [
            encoder.network(number, fitted.provider.network(net.backbone.name))
            if net.first is None
            else encoder.network(number, _thawed(fitted.provider, net.backbone.name, net.first))
            for number, net in enumerate(networks.used)
        ]
    except AnobenchError as error:
        raise AnobenchError(f"{selector} cannot be saved: {error}") from None
    content = save(encoder.tensors)
    about = {
        "schema": SCHEMA,
        "made by": f"anobench {bench.__version__}",
        **fitted.about,
        "networks": described,
        "state": state,
        "tensors": {"sha256": hashlib.sha256(content).hexdigest(), "number": len(encoder.tensors)},
    }
    text = json.dumps({**about, "sha256": _checksum(about)}, indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TENSORS, content)
    write_atomically(folder / JSON, text.encode())


def _thawed(provider: Recording, backbone: str, first: int) -> Any:
    net = provider.network(backbone)
    net.thaw(first)
    return net


def _modules(resolved: ResolvedMethod) -> dict[str, Any]:
    """Return the modules of a method's own adapters, which its values may name."""
    found = {}
    for alias, each in (("method", resolved), ("base", resolved.base)):
        if each is not None:
            each.adapter.load()
            found[alias] = sys.modules[each.adapter.module_name]
    return found


def _checksum(about: dict[str, Any]) -> str:
    held = {name: value for name, value in about.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(held).encode()).hexdigest()


def load_method(
    path: str | Path,
    *,
    files: str | Path | Sequence[str | Path] = (),
    backbones: str | Path | Backbones | None = None,
    device: str | None = None,
) -> FittedMethod:
    """Return a fitted method that was saved, which scores as it did before, to the bit.

    Nothing of the folder is run: its values are plain, its tensors safetensors, and its code that of the
    method's file here, which must be the same.

    Parameters
    ----------
    path : str or Path
        The folder.
    files : str, Path or sequence of these
        The file of a method of your own, and of its base if that is one, too: only they are run.
    backbones : str, Path or Backbones, optional
        A suite's file, if the backbone is one of its ``[backbones]``.
    device : str, optional
        By default the kind that it was fitted on, or the CPU where there is none.

    Raises
    ------
    AnobenchError
        It is torn or edited, or its code, backbone or weights are others here; says which.

    Examples
    --------
    >>> import tempfile, numpy as np, bench
    >>> good = np.random.default_rng(0).integers(0, 100, (30, 8, 8, 3), dtype=np.uint8)
    >>> model = bench.fit("mahalanobis", good, backbone="pixels[size=4]")
    >>> folder = tempfile.mkdtemp() + "/model"
    >>> model.save(folder)
    >>> again = bench.load_method(folder)
    >>> bool((again.score(good).scores == model.score(good).scores).all())
    True
    >>> again.threshold == model.threshold
    True
    """
    folder = Path(path)
    about = _read(folder)
    try:
        wanted = str(about["device"])
        resolved = _resolved(about["method"], [files] if isinstance(files, str | Path) else list(files))
        provider = _provider(backbones, _device(wanted, device))
        _check_backbones(about["backbones"], provider, resolved)
        tensors = _tensors(folder, about["tensors"])
        method, sources = _restored(about, resolved, provider, tensors)
    except AnobenchError as error:
        raise AnobenchError(f"{folder}: {error}") from None
    except Exception as error:
        raise AnobenchError(f"{folder / JSON} is damaged or edited: {said(error)}; fit again") from None
    _warn_of_versions(folder, about)
    kept = {name: about[name] for name in about if name not in ("state", "networks", "tensors", "sha256")}
    return FittedMethod(method=method, resolved=resolved, provider=provider, about=kept, sources=sources)


def _restored(about: Any, resolved: ResolvedMethod, provider: Recording, tensors: Any) -> tuple[Any, Any]:
    from bench.run.fitted import made

    method = made(resolved, provider.device, int(about["seed"]))
    base = getattr(method, "make_base", None)
    decoder = Decoder(tensors, _modules(resolved), provider, provider.device, base)
    for node in about["networks"]:
        decoder.network(node)
    decoder.attributes(method, about["state"])
    return method, decoder.sources


def _read(folder: Path) -> dict[str, Any]:
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
        whole = _checksum(about) == about["sha256"]
    except AnobenchError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnobenchError(f"{path} is not a saved method: {said(error)}") from None
    if not whole:
        raise AnobenchError(f"{path} was edited or damaged: its checksum is of other content; fit again")
    found: dict[str, Any] = about
    return found


def _tensors(folder: Path, about: Any) -> dict[str, Any]:
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


def _resolved(about: Any, files: Sequence[str | Path]) -> ResolvedMethod:
    """Return the method that it is of, from the stock adapters and the files that were given alone."""
    registry = Registry()
    for file in files:
        there = Path(file).is_file()
        adapter = read_adapter("method", Path(file).absolute()) if there else None
        if adapter is None:
            raise AnobenchError(f"{file}: there is no method in it" if there else f"{file}: no such file")
        registry.methods[adapter.name] = adapter
    adapter = _same_code(about, registry)
    # A default may be a value that cannot be given, such as none.
    own = {
        name: value
        for name, value in about["params"].items()
        if name not in adapter.parameters or repr(adapter.parameters[name].default) != repr(value)
    }
    if "base" in about:
        _same_code(about["base"], registry)
        inner = about["base"]["params"].get("backbone")
        own |= {} if inner is None else {"backbone": inner}
    if base_parameter(adapter) is None and "base" in about:
        raise AnobenchError(f"{JSON} gives {adapter.name} a base, and it takes none")
    return resolve(adapter, own, registry, JSON)


def _same_code(about: Any, registry: Registry) -> Adapter:
    name = str(about["name"])
    adapter = registry.methods.get(name)
    if adapter is None:
        raise AnobenchError(
            f"it was made by a method of a file of its own, {about['file']}, which must be given again: "
            f"files={about['file']!r}, or anobench score --file {about['file']}"
        )
    if adapter.problem:
        raise AnobenchError(adapter.problem)
    if adapter.code != about["code"]:
        own = stock_folder() not in adapter.path.parents
        mend = "give the file that it was fitted with" if own else "give its file, if that is one of yours"
        raise AnobenchError(
            f"it was made by {name} with other code (hash {str(about['code'])[:16]}; {adapter.path} has "
            f"{adapter.code}): {mend}, or fit again"
        )
    return adapter


def _device(fitted_on: str, wanted: str | None) -> str:
    import torch

    if wanted is None:
        return fitted_on if fitted_on == "cpu" or torch.cuda.is_available() else "cpu"
    if fitted_on == "cpu" and torch.device(wanted).type != "cpu":
        raise AnobenchError(f"it was fitted on the CPU and scores there; fit it on {wanted} to score there")
    return wanted


def _check_backbones(about: Any, provider: Recording, resolved: ResolvedMethod) -> None:
    """Refuse backbones that are not those with which the method was fitted."""
    own = resolved.innermost.params.get("backbone")
    if own is not None and own not in about:
        raise AnobenchError(f"{JSON} names the backbone {own!r}, with which it was not fitted")
    for name, known in about.items():
        try:
            here = provider.backbones.get(name)
            found = {"features": here.identity(), "maps": here.map_identity()}
        except BackboneError as error:
            raise AnobenchError(f"its backbone cannot be had: {error}") from None
        if any(found[what] != known[what] for what in found):
            file = here.weights_file()
            which = "" if file is None else f" ({file}, sha256 {file_sha256(file)[:16]}…)"
            raise AnobenchError(
                f"backbone {name} has other weights or settings here{which} than those that it was fitted "
                "with; give these, or fit again"
            )


def _warn_of_versions(folder: Path, about: Any) -> None:
    here = versions()
    changed = [
        f"{name} {then} (here {here.get(name, 'none')})"
        for name, then in about["versions"].items()
        if name not in ("python", "datasets") and here.get(name) != then
    ]
    if changed:
        log.warning("%s was made with %s: scores may differ in their last digits", folder, ", ".join(changed))
