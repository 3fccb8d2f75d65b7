"""What a backbone may be told: the keys of a suite's ``[backbones.NAME]`` tables and of bracket parameters.

Pure data, checked by pydantic; nothing here imports torch, so that planning a suite stays quick.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Precision = Literal["float32", "bfloat16", "float16"]
Pool = Literal["default", "avg", "max", "cls", "flatten"]
PixelCount = Annotated[int, Field(gt=0, le=4096)]
_HEX = re.compile(r"[0-9a-fA-F]{64}")


def _from_text(value: object) -> object:
    """Read a list or table written inside brackets (``mean=[0.5,0.5,0.5]``)."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _three(value: object) -> object:
    """Let one number stand for all three channels."""
    value = _from_text(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return [value] * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


Three = Annotated[tuple[float, float, float], BeforeValidator(_three)]
Size = Annotated[PixelCount | tuple[PixelCount, PixelCount], BeforeValidator(_from_text)]
Arguments = Annotated[dict[str, Any], BeforeValidator(_from_text)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkTable(_Table):
    """A frozen network: which, with what weights, fed how, read where.

    What is left out comes from the network's own configuration (the size, crop, interpolation, mean and
    standard deviation that its weights were trained with); of `resize` and `crop`, if one is given the other
    is only done if it is given too.

    Attributes
    ----------
    timm, torchvision : str
        ``"resnet152.tv_in1k"`` or ``"wide_resnet50_2/IMAGENET1K_V1"``; exactly one of `timm`,
        `torchvision` and `preset`.
    preset : str
        Any other backbone to start from, e.g. ``"panda"``; the other keys override it.
    args : dict
        Passed to ``timm.create_model`` or torchvision's builder.
    file : str
        Local weights (safetensors, or a torch file that loads with ``weights_only=True``): absolute, beside
        the suite, or in a folder of ``ANOBENCH_DATA``.
    sha256 : str
        What the file's hash must be.
    resize : int or (int, int)
        Shorter side in pixels, or exact height and width.
    crop : int or (int, int)
        Centre crop in pixels.
    interpolation : {"bilinear", "bicubic", "nearest", "lanczos"}
        Bilinear where `resize` is given; ``lanczos`` only with ``pipeline = "pil"``.
    mean, std : three numbers or one
        In the units of [0, 1] pixels.
    layer : str
        Module whose output is pooled; left out: what the network hands to its classifier.
    pool : {"default", "avg", "max", "cls", "flatten"}
        ``default``: the network's own for its output, else the mean over positions (the class token where
        there is one).
    width : int
        Pool the vector along its length to so many entries (``AdaptiveAvgPool1d``), as PLUME does.
    norm : {"none", "batchnorm"}
        ``batchnorm``: a BatchNorm without affine part in evaluation that never saw a batch, which divides by
        sqrt(1 + 1e-5); statistics of a class are a method's matter (`bench.standardise`).
    pipeline : {"device", "pil"}
        Resize and crop in batches on the device, or one by one with PIL as the papers' scripts did.
    precision : {"float32", "bfloat16", "float16"}
        Autocast, on a GPU only.
    compile : bool
        Run through ``torch.compile``.
    """

    timm: str | None = None
    torchvision: str | None = None
    preset: str | None = None
    args: Arguments = Field(default_factory=dict)
    file: str | None = None
    sha256: str | None = None
    resize: Size | None = None
    crop: Size | None = None
    interpolation: Interpolation | None = None
    mean: Three | None = None
    std: Three | None = None
    layer: str | None = None
    pool: Pool = "default"
    width: Annotated[int, Field(gt=0)] | None = None
    norm: Literal["none", "batchnorm"] = "none"
    pipeline: Literal["device", "pil"] = "device"
    precision: Precision = "float32"
    compile: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> NetworkTable:
        given = [name for name in ("timm", "torchvision", "preset") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "expected exactly one of the keys timm, torchvision and preset, "
                f"got {' and '.join(given) or 'none'}"
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
                f"fewer than the {self.block} of a block; take a smaller cell or block, or a larger size"
            )
        return self


def explain(where: str, error: Any) -> str:
    """Write a pydantic error as one line a key: what was given and what is expected."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "this parameter is not known"
        given = "" if item["type"] in ("value_error", "extra_forbidden") else f" (got {item['input']!r})"
        lines.append(f"{where}: {key + ': ' if key else ''}{message}{given}")
    return "\n".join(dict.fromkeys(lines))
