"""Named backbones of the papers, and which network names exist; without importing torch.

References
----------
PANDA and DN2: Reiss et al., CVPR 2021; CAP: Gui et al., IJCAI 2022, with the released scripts' resizing;
PLUME: Hermary et al., WACV 2025, features pooled to 3072 entries.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.features.spec import NetworkTable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _paper(
    weights: str, *, resize: int | tuple[int, int], crop: int | None = None, **more: Any
) -> NetworkTable:
    return NetworkTable(
        torchvision=weights,
        resize=resize,
        crop=crop,
        interpolation="bilinear",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        **more,
    )


def _plume(weights: str, layer: str | None) -> NetworkTable:
    # PLUME normalises by the statistics of the normal class: give mean and std for that.
    return _paper(weights, resize=(224, 224), layer=layer, width=3072, norm="batchnorm")


PRESETS: dict[str, NetworkTable] = {
    "panda": _paper("resnet152/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "cap": _paper("resnet152/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "cap-mvtec": _paper("wide_resnet50_2/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "plume-resnet50": _plume("resnet50/IMAGENET1K_V1", "layer4"),
    "plume-vgg16": _plume("vgg16/IMAGENET1K_V1", None),
    "plume-convnext": _plume("convnext_base/IMAGENET1K_V1", "avgpool"),
}

HANDCRAFTED = ("pixels", "hog")

_REGISTERED = re.compile(r"^@register_model(?:\([^\n]*\))?\s*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)


@functools.cache
def architectures(library: str) -> frozenset[str]:
    """Return the names that ``timm`` or ``torchvision`` builds, read from its source text.

    Importing either takes seconds and pulls in torch; reading takes some hundredths. Empty if the library
    is not installed: then nothing is known, and building says so.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return frozenset()
    names: set[str] = set()
    for file in (Path(spec.origin).parent / "models").glob("*.py"):
        names.update(_REGISTERED.findall(file.read_text(encoding="utf-8")))
    return frozenset(names)


def unknown(what: str, given: str, names: Iterable[str], otherwise: str = "") -> str:
    """Write the message for an unknown name: nearest match, then how to see what is allowed."""
    near = difflib.get_close_matches(given, sorted(set(names)), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else "."
    return f"unknown {what} {given!r}{hint}{' ' + otherwise if otherwise else ''}"
