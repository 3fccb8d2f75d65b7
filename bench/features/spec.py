"""What describes a backbone: the keys of a suite's ``[backbones.NAME]`` tables.

Pure data, checked by pydantic; nothing here imports torch, so that planning a suite stays quick.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

PixelCount = Annotated[int, Field(gt=0, le=4096)]
HANDCRAFTED = ("pixels", "hog")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_OF_HUB, _COMMIT = re.compile(r"hf[-_]hub:"), re.compile(r".+@[0-9a-f]{40}")


def _from_text(value: object) -> object:
    """Read a list or table written inside brackets (``mean=[0.5,0.5,0.5]``)."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _three(value: object) -> object:
    """Repeat one number for all three channels."""
    value = _from_text(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return [value] * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _size(value: object) -> object:
    return None if value == "none" else _from_text(value)


Three = Annotated[tuple[float, float, float], BeforeValidator(_three)]
ImageSize = Annotated[PixelCount | tuple[PixelCount, PixelCount], BeforeValidator(_from_text)]
Crop = Annotated[PixelCount | tuple[PixelCount, PixelCount] | None, BeforeValidator(_size)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkTable(_Table):
    """A frozen network: its weights, its input and its output.

    Keys that are not given come from the network's own configuration (the size, crop, interpolation, mean and
    standard deviation of its training), except that one of `resize` and `crop` alone means that one only.

    Attributes
    ----------
    timm, torchvision : str
        ``"resnet152.tv_in1k"`` or ``"wide_resnet50_2/IMAGENET1K_V1"``; exactly one of `timm`,
        `torchvision` and `preset`.
    preset : str
        Any other backbone to start from, e.g. ``"panda"``; the other keys override it.
    args : dict
        Passed to ``timm.create_model`` or torchvision's builder; weights are named by `file` instead.
    file : str
        Local weights (safetensors, or a torch file that loads with ``weights_only=True``): absolute, beside
        the suite, or in a folder of ``ANOBENCH_DATA``; ``"package:NAME/FILE"`` is a file of an installed
        Python package.
    sha256 : str
        The expected hash of the file.
    resize : int or (int, int)
        Shorter side in pixels, or exact height and width.
    crop : int, (int, int) or "none"
        Centre crop in pixels. ``lite0[resize=[256,256],crop=none]`` sees whole images.
    interpolation : {"bilinear", "bicubic", "nearest", "lanczos"}
        Bilinear if `resize` is given; ``lanczos`` only with ``pipeline = "pil"``.
    mean, std : three numbers or one
        Of pixels in [0, 1].
    layer : str
        Module whose output is pooled; by default the input of the network's classifier.
    pool : {"default", "avg", "max", "cls", "flatten"}
        ``default``: the network's own for its output, else the mean over positions (or the class token, if
        there is one).
    width : int
        Pool the vector along its length to this many entries (``AdaptiveAvgPool1d``), as PLUME does.
    norm : {"none", "batchnorm"}
        ``batchnorm``: an untrained BatchNorm without affine part in evaluation, which divides by
        sqrt(1 + 1e-5); for the statistics of a class see `bench.standardise`.
    pipeline : {"device", "pil"}
        Resize and crop in batches on the device, or one by one with PIL as the papers' scripts do.
    precision : {"float32", "bfloat16", "float16"}
        Autocast on a GPU; bfloat16 also on a CPU that has instructions for it. Elsewhere float32.
    compile : bool
        Run through ``torch.compile``.
    """

    timm: str | None = None
    torchvision: str | None = None
    preset: str | None = None
    args: Annotated[dict[str, Any], BeforeValidator(_from_text)] = Field(default_factory=dict)
    file: str | None = None
    sha256: str | None = None
    resize: ImageSize | None = None
    crop: Crop = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    mean: Three | None = None
    std: Three | None = None
    layer: str | None = None
    pool: Literal["default", "avg", "max", "cls", "flatten"] = "default"
    width: Annotated[int, Field(gt=0)] | None = None
    norm: Literal["none", "batchnorm"] = "none"
    pipeline: Literal["device", "pil"] = "device"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> NetworkTable:
        given = [name for name in ("timm", "torchvision", "preset") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "expected exactly one of the keys timm, torchvision and preset, "
                f"got {' and '.join(given) or 'none'}"
            )
        if named := weights_in(self.args):
            raise ValueError(
                f"args names weights ({named}), whose content results would not depend on; name them by the "
                "key file, so that they are checked and part of each result's key"
            )
        if self.timm and _OF_HUB.match(self.timm) and self.file is None and not _COMMIT.fullmatch(self.timm):
            raise ValueError(
                f"{self.timm!r} names weights that may change; name a commit, "
                f"{self.timm.partition('@')[0]}@ and its 40 digits, or give the weights as file"
            )
        if self.sha256 is not None and not _HEX.fullmatch(self.sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, got {self.sha256!r}")
        if self.sha256 is not None and self.file is None and self.preset is None:
            raise ValueError("sha256 is the hash of a local weights file; give file too, or leave sha256 out")
        if self.interpolation == "lanczos" and self.pipeline != "pil":
            raise ValueError('interpolation "lanczos" exists only in PIL; add pipeline = "pil"')
        if isinstance(self.resize, int) and isinstance(self.crop, int) and self.crop > self.resize:
            raise ValueError(f"a crop of {self.crop} px does not fit into images resized to {self.resize} px")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        return self


class PixelsTable(_Table):
    """``pixels``: RGB in [0, 1] at size × size, flattened."""

    size: Annotated[int, Field(gt=0, le=512)] = 32


class HogTable(_Table):
    """``hog``: histograms of oriented gradients of the RGB image at size × size."""

    size: Annotated[int, Field(gt=0, le=1024)] = 32
    orientations: Annotated[int, Field(gt=0)] = 9
    cell: Annotated[int, Field(gt=0)] = 8
    block: Annotated[int, Field(gt=0)] = 2

    @model_validator(mode="after")
    def _fits(self) -> HogTable:
        if self.size // self.cell < self.block:
            raise ValueError(
                f"an image of {self.size} px has {self.size // self.cell} cells of {self.cell} px a side, "
                f"fewer than the {self.block} of a block; choose a smaller cell or block, or a larger size"
            )
        return self


#: Arguments of timm and torchvision that say where weights come from.
_WEIGHT_KEYS = frozenset({
    "cache_dir", "checkpoint", "checkpoint_file", "checkpoint_path", "ckpt", "ckpt_path", "file", "filename",
    "hf_hub_filename", "hf_hub_id", "init_checkpoint", "load_from", "path", "pretrained", "pretrained_path",
    "resume", "source", "state_dict", "url", "weights", "weights_backbone", "weights_path",
})  # fmt: skip
_WEIGHT_FILE = re.compile(
    r"[/\\]|^~|^[\w+-]+:|\.(?:safetensors|pth|pt|pth\.tar|bin|ckpt|npz|npy|h5|hdf5|onnx|pkl|pickle|msgpack|tar|zip)$",
    re.IGNORECASE,
)


def weights_in(args: object, where: str = "args") -> str:
    """Return the first value in a network's arguments, at any depth, that names weights; empty if none does.

    Weights are named by what an argument is called, and by any text that looks like a path, a file of
    weights or an address.
    """
    if isinstance(args, Mapping):
        for key, value in args.items():
            here = f"{where}.{key}"
            if str(key).lower() in _WEIGHT_KEYS and value not in (None, False, ""):
                return f"{here} = {value!r}"
            if found := weights_in(value, here):
                return found
    elif isinstance(args, str):
        if _WEIGHT_FILE.search(args) or ("." in args and Path(args).is_file()):
            return f"{where} = {args!r}"
    elif isinstance(args, Iterable):
        for at, value in enumerate(args):
            if found := weights_in(value, f"{where}[{at}]"):
                return found
    elif isinstance(args, os.PathLike):
        return f"{where} = {os.fspath(args)!r}"
    return ""


def explain(where: str, error: Any) -> str:
    """Return a pydantic error as one line a key: what was given and what is expected."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown parameter"
        given = "" if item["type"] in ("value_error", "extra_forbidden") else f" (got {item['input']!r})"
        lines.append(f"{where}: {key + ': ' if key else ''}{message}{given}")
    return "\n".join(dict.fromkeys(lines))


_REGISTERED = re.compile(r"^@register_model(?:\([^\n]*\))?\s*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)


@functools.cache
def architectures(library: str) -> frozenset[str]:
    """Return the names that ``timm`` or ``torchvision`` builds, read from its source text.

    Importing either takes seconds and imports torch; reading takes some hundredths. Empty if the library is
    not installed; building then fails with a message.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return frozenset()
    names: set[str] = set()
    for file in (Path(spec.origin).parent / "models").glob("*.py"):
        names.update(_REGISTERED.findall(file.read_text(encoding="utf-8")))
    return frozenset(names)


def unknown(what: str, given: str, names: Iterable[str], otherwise: str = "") -> str:
    """Return the message for an unknown name: nearest matches, then how to see what is allowed."""
    near = difflib.get_close_matches(given, sorted(set(names)), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else "."
    return f"unknown {what} {given!r}{hint}{' ' + otherwise if otherwise else ''}"
