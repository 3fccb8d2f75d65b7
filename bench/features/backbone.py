"""Backbones by name, resolved without importing torch.

A name is one of a suite's ``[backbones.NAME]`` tables, ``pixels``, ``hog``, ``lite0`` (the default, whose
weights are installed with anobench), a preset of a paper (``panda``), ``torchvision:MODEL/WEIGHTS``, or any
timm model; each takes parameters in brackets::

    pixels[size=16]   lite0[resize=[256,256],crop=none]   resnet18.tv_in1k[layer=layer3,resize=256,crop=224]
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.core.determinism import canonical_json
from bench.core.errors import BackboneError, SelectorError
from bench.core.files import data_folders, expanded
from bench.core.selector import format_selector, parse
from bench.data.fingerprint import file_sha256
from bench.features.presets import DEFAULT, PRESETS
from bench.features.spec import (
    HANDCRAFTED,
    HogTable,
    NetworkTable,
    PixelsTable,
    architectures,
    explain,
    unknown,
)

__all__ = ["Backbone", "Backbones", "HogTable", "NetworkTable", "PixelsTable"]

Spec = NetworkTable | PixelsTable | HogTable

#: Raised when the same description gives different features: of pixels and hog, and of networks
#: (preprocessing, pooling, order of arithmetic; 2: BatchNorm is folded).
CODE_VERSION, NETWORK_VERSION = 1, 2
#: Keys of a network's table that affect only its pooled vectors, not its maps.
_POOLING = ("layer", "pool", "width", "norm")


@dataclass(frozen=True, slots=True)
class Backbone:
    """One resolved backbone: pure data; `bench.features.network` builds it.

    Attributes
    ----------
    name : str
        Canonical text, e.g. ``"pixels[size=16]"``.
    spec : NetworkTable, PixelsTable or HogTable
    folder : Path or None
        The suite's folder, searched for local weights.
    """

    name: str
    spec: Spec
    folder: Path | None = None

    def precision_on(self, device_type: str) -> str:
        """Return the precision in which the network runs on a kind of device.

        Off a GPU that is float32, but for bfloat16 on a CPU that has instructions for it.
        """
        precision: str = getattr(self.spec, "precision", "float32")
        fits = device_type == "cuda" or (precision == "bfloat16" and has_bfloat16())
        return precision if fits else "float32"

    def identity(self) -> str:
        """Return a sha256 (hex) over everything that determines the pooled features.

        Raises
        ------
        BackboneError
            The local weights file is missing or does not match `sha256`.
        """
        return self._identity(reading=True)

    def map_identity(self) -> str:
        """Return a sha256 (hex) over everything that determines the feature maps of any layer."""
        return self._identity(reading=False)

    def _identity(self, *, reading: bool) -> str:
        described: dict[str, Any] = {"code": CODE_VERSION, "kind": type(self.spec).__name__}
        if isinstance(self.spec, NetworkTable):
            described["code"] = NETWORK_VERSION
            # The name and place of the weights do not matter, only their content.
            left_out = {"file", "sha256", "preset", *(() if reading else _POOLING)}
            described |= self.spec.model_dump(mode="json", exclude=left_out)
            described["weights"] = self._weights()
        else:
            described |= self.spec.model_dump(mode="json")
        return hashlib.sha256(canonical_json(described).encode()).hexdigest()

    def _weights(self) -> str:
        assert isinstance(self.spec, NetworkTable)
        file = self.weights_file()
        if file is not None and None not in (self.spec.resize, self.spec.mean, self.spec.std):
            return file_sha256(file)
        library = "timm" if self.spec.timm else "torchvision"
        tag = (self.spec.timm or "").partition(".")[2] or (self.spec.torchvision or "").partition("/")[2]
        # A tag means fixed weights and preprocessing; without one they depend on the library's release.
        release = "" if tag and tag != "DEFAULT" else f"{library} {importlib.metadata.version(library)}"
        return f"{file_sha256(file) if file else tag} {release}".strip()

    def weights_file(self) -> Path | None:
        """Return the local weights file, or None if the weights are downloaded by name.

        Raises
        ------
        BackboneError
            It is missing, or its hash is not the expected one.
        """
        if not isinstance(self.spec, NetworkTable) or self.spec.file is None:
            return None
        package, colon, inside = self.spec.file.partition("package:")[2].partition("/")
        path = self._packaged(package, inside) if colon else self._find(expanded(self.spec.file))
        if self.spec.sha256 is not None:
            found = file_sha256(path)
            if found != self.spec.sha256.lower():
                raise BackboneError(
                    f"backbone {self.name}: {path} is not the expected weights file: expected sha256 "
                    f"{self.spec.sha256.lower()}, got {found}; download it again, or correct sha256"
                )
        return path

    def _packaged(self, package: str, inside: str) -> Path:
        """Return a file of an installed package, which is not imported."""
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        if found is None or found.origin is None:
            raise BackboneError(
                f"backbone {self.name}: its weights are a file of the Python package {package!r}, which is "
                f"not installed: python -m pip install {package.replace('_', '-')}"
            )
        return self._find(Path(found.origin).parent / inside)

    def _find(self, given: Path) -> Path:
        if given.is_absolute():
            candidates = [given]
        else:
            folders = ([self.folder] if self.folder is not None else []) + [Path.cwd(), *data_folders()]
            candidates = list(dict.fromkeys(folder / given for folder in folders))
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        looked = ", ".join(map(str, candidates))
        mend = "" if given.is_absolute() else " Put it beside the suite, or set ANOBENCH_DATA to its folder."
        raise BackboneError(
            f"backbone {self.name}: the weights file {str(given)!r} is missing; looked at {looked}.{mend}"
        )


@functools.cache
def has_bfloat16() -> bool:
    """Return whether this machine's CPU multiplies in bfloat16 (AVX-512 BF16, AMX, or ARM's BF16).

    Emulated it is 5 to 20 times slower than float32.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(f" {name}" in flags for name in ("amx_bf16", "avx512_bf16", "bf16"))


class Backbones:
    """The backbones that can be named.

    Parameters
    ----------
    tables : mapping of str to NetworkTable
        A suite's own; they take precedence.
    folder : Path, optional
        The suite's folder, searched for local weights.
    """

    def __init__(self, tables: Mapping[str, NetworkTable] | None = None, folder: Path | None = None) -> None:
        self._tables = dict(tables or {})
        self._folder = folder

    def get(self, name: str) -> Backbone:
        """Resolve a name with its bracket parameters.

        Raises
        ------
        BackboneError
            The name or a parameter is unknown, or a value is not allowed.
        """
        try:
            selector = parse(name)
        except SelectorError as error:
            raise BackboneError(f"backbone: {error}") from None
        base = self._base(selector.name, name, ())
        spec = _override(base, selector.params, name)
        # Parameters that change nothing are left out, so that one backbone has one name.
        changed = {
            key: text
            for key, text in sorted(selector.params.items())
            if getattr(spec, key) != getattr(base, key)
        }
        return Backbone(format_selector(selector.name, changed), spec, self._folder)

    def _base(self, head: str, name: str, seen: tuple[str, ...]) -> Spec:
        table = self._tables.get(head)
        if table is not None and head not in seen:
            if table.preset is None:
                _check_model(table, f"backbone {head!r}")
                return table
            inner = parse(table.preset)
            base = _override(self._base(inner.name, name, (*seen, head)), inner.params, table.preset)
            return _override(base, table.model_dump(exclude_unset=True, exclude={"preset"}), head)
        if head == "pixels":
            return PixelsTable()
        if head == "hog":
            return HogTable()
        if head in PRESETS:
            return PRESETS[head]
        if head == "default":
            return PRESETS[DEFAULT]
        library, colon, rest = head.partition(":")
        if colon and library in ("torchvision", "timm"):
            spec = NetworkTable(torchvision=rest) if library == "torchvision" else NetworkTable(timm=rest)
        else:
            spec = NetworkTable(timm=head)
        _check_model(spec, f"backbone {name!r}", (*self._tables, *HANDCRAFTED, *PRESETS), self._allowed())
        return spec

    def _allowed(self) -> str:
        own = [*self._tables, *HANDCRAFTED, *PRESETS]
        return (
            f"Available: {', '.join(own)}, torchvision:MODEL/WEIGHTS, and every timm model "
            "(python -c \"import timm; print(timm.list_pretrained('resnet*'))\")"
        )


def _check_model(spec: NetworkTable, where: str, others: tuple[str, ...] = (), allowed: str = "") -> None:
    """Raise for an architecture that the installed library does not have."""
    library = "timm" if spec.timm is not None else "torchvision"
    given = spec.timm if spec.timm is not None else spec.torchvision or ""
    if library == "timm" and given.startswith(("hf-hub:", "hf_hub:")):
        return
    model = given.partition("." if library == "timm" else "/")[0]
    known = architectures(library)
    if known and model not in known:
        what = "backbone" if others else f"{library} model"
        raise BackboneError(f"{where}: {unknown(what, model, [*known, *others], allowed)}")


def _override(base: Spec, given: Mapping[str, Any], where: str) -> Spec:
    """Return `base` with the given keys changed, validated again."""
    if not given:
        return base
    kind = type(base)
    allowed = [key for key in kind.model_fields if key not in ("preset", "timm", "torchvision")]
    for key in given:
        if key not in allowed:
            hint = unknown("parameter", key, allowed, f"Allowed: {', '.join(allowed)}")
            raise BackboneError(f"backbone {where!r}: {hint}")
    try:
        return kind.model_validate(base.model_dump(exclude_unset=True) | dict(given))
    except ValidationError as error:
        raise BackboneError(explain(f"backbone {where!r}", error)) from None
