"""Fitted methods on disk: written by `bench.run.fitted.FittedMethod.save`, read by ``bench.load_method``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import AnobenchError, BackboneError, said
from bench.data.fingerprint import file_sha256
from bench.features.backbone import Backbones
from bench.run.environment import versions
from bench.run.fitted import FittedMethod, made, provider_for
from bench.run.modelfolder import JSON, Recording, modules_of, read, tensors_of_folder
from bench.suite.adapter import Adapter
from bench.suite.adapterfile import read_adapter
from bench.suite.registry import Registry, stock_folder
from bench.suite.resolve import ResolvedMethod, base_parameter, resolve
from bench.train.restored import Decoder

log = logging.getLogger(__name__)


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
    about = read(folder)
    try:
        wanted = str(about["device"])
        resolved = _resolved(about["method"], [files] if isinstance(files, str | Path) else list(files))
        provider = provider_for(backbones, _device(wanted, device))
        _check_backbones(about["backbones"], provider, resolved)
        tensors = tensors_of_folder(folder, about["tensors"])
        method, sources = _restored(about, resolved, provider, tensors)
    except AnobenchError as error:
        raise AnobenchError(f"{folder}: {error}") from None
    except Exception as error:
        raise AnobenchError(f"{folder / JSON} is damaged or edited: {said(error)}; fit again") from None
    _warn_of_versions(folder, about)
    kept = {name: about[name] for name in about if name not in ("state", "networks", "tensors", "sha256")}
    return FittedMethod(method=method, resolved=resolved, provider=provider, about=kept, sources=sources)


def _restored(about: Any, resolved: ResolvedMethod, provider: Recording, tensors: Any) -> tuple[Any, Any]:
    method = made(resolved, provider.device, int(about["seed"]))
    base = getattr(method, "make_base", None)
    decoder = Decoder(tensors, modules_of(resolved), provider, provider.device, base)
    for node in about["networks"]:
        decoder.network(node)
    decoder.attributes(method, about["state"])
    return method, decoder.sources


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
