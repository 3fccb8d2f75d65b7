"""Which network a row's backbone is, as far as the plan says, to compare with a published number's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bench.core.errors import BackboneError, SelectorError
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.features.backbone import Backbones
from bench.features.spec import HogTable, ImageSize, NetworkTable, PixelsTable

#: timm's names of torchvision's weights.
_TAGS = {"tv_in1k": "IMAGENET1K_V1", "tv2_in1k": "IMAGENET1K_V2"}
#: Layers whose pooled maps are what the network hands to its classifier.
_LAST = (None, "", "layer4", "avgpool", "head", "norm")


@dataclass(frozen=True, slots=True)
class NetworkName:
    """A network, or what stands in its place.

    Attributes
    ----------
    architecture : str
        ``"resnet152"``; ``"pixels"``, ``"hog"``; ``"scratch"`` where the row takes no frozen network.
    weights : str
        Their tag, ``"IMAGENET1K_V1"``; empty where it is not known.
    resolution : int or None
        Side of its input in pixels.
    layer : str
        Where it is read, if not at its end.
    """

    architecture: str
    weights: str = ""
    resolution: int | None = None
    layer: str = ""

    def __str__(self) -> str:
        return f"{self.architecture}/{self.weights}" if self.weights else self.architecture


def published_network(text: str, resolution: int | None) -> NetworkName:
    """Return the network that a published row names as ``architecture/weights``."""
    architecture, _, weights = text.partition("/")
    return NetworkName(architecture, weights, resolution)


def row_network(plan: Plan, backbone: str) -> NetworkName:
    """Return the network of a row's backbone, by the suite file, the presets and the libraries' names."""
    if not backbone:
        return NetworkName("scratch")
    try:
        spec = Backbones(_tables(plan.suite_text)).get(backbone).spec
    except (BackboneError, ValidationError):
        # Its table is not in the plan, or another release of the library knew it.
        return NetworkName(_head(backbone))
    if isinstance(spec, PixelsTable):
        return NetworkName("pixels", resolution=spec.size)
    if isinstance(spec, HogTable):
        return NetworkName("hog", resolution=spec.size)
    if spec.timm is not None:
        architecture, _, tag = spec.timm.partition(".")
        tag = _TAGS.get(tag, tag)
    else:
        architecture, _, tag = (spec.torchvision or "").partition("/")
    side = _side(spec.crop) or _side(spec.resize)
    return NetworkName(architecture, tag, side, spec.layer or "" if spec.layer not in _LAST else "")


def _tables(suite_text: str) -> dict[str, NetworkTable]:
    try:
        given: Any = tomllib.loads(suite_text).get("backbones", {})
    except tomllib.TOMLDecodeError:
        return {}
    return {name: NetworkTable.model_validate(table) for name, table in given.items()}


def _side(size: ImageSize | None) -> int | None:
    """Return the side of a square, or None."""
    if size is None or isinstance(size, int):
        return size
    return size[0] if size[0] == size[1] else None


def _head(backbone: str) -> str:
    try:
        return parse(backbone).name
    except SelectorError:
        return backbone
