"""Builds the torch module that a backbone describes, with its weights and its preprocessing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.core.errors import BackboneError
from bench.data.fingerprint import file_sha256
from bench.data.resize import Size
from bench.features import efficientnet
from bench.features.backbone import Backbone
from bench.features.fold import folded
from bench.features.preprocess import Preprocess
from bench.features.spec import NetworkTable


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A module in evaluation mode on its device, with everything needed to use it.

    Attributes
    ----------
    module : callable
        Runs the network, (b, 3, h, w) to anything; compiled if the backbone says so.
    layers : nn.Module
        The same network, for its named modules.
    pooled : callable
        (b, 3, h, w) to the input of the network's classifier.
    prefix_tokens : int
        Class and register tokens before the patches of a transformer.
    channels_last_output : bool
        Whether its maps are (b, h, w, c).
    patch : (int, int), optional
        Height and width of a transformer's patches, in pixels.
    folded : frozenset of str
        Layers whose outputs are not the network's, as a BatchNorm behind them is folded into them.
    """

    spec: NetworkTable
    module: Callable[[torch.Tensor], Any]
    layers: nn.Module
    pooled: Callable[[torch.Tensor], torch.Tensor]
    preprocess: Preprocess
    prefix_tokens: int = 0
    channels_last_output: bool = False
    patch: tuple[int, int] | None = None
    folded: frozenset[str] = frozenset()


def build(backbone: Backbone, device: torch.device, *, fold: bool = False) -> Built:
    """Build a network, on request with each BatchNorm folded into the convolution before it.

    Raises
    ------
    BackboneError
        Unknown model, weights tag or argument; weights that are missing, damaged, cannot be downloaded, or do
        not fit the network.
    """
    assert isinstance(backbone.spec, NetworkTable)
    make = _timm if backbone.spec.timm is not None else _torchvision
    module, config = make(backbone, backbone.weights_file())
    module.eval().requires_grad_(False)
    preprocess, names = _preprocess(backbone.spec, config), frozenset[str]()
    if fold:
        module, names = folded(module, _head, preprocess.side)
    module.to(device).to(memory_format=torch.channels_last)
    pooled = _head(module)
    run: Callable[[torch.Tensor], Any] = module
    if backbone.spec.compile:
        run, pooled = torch.compile(run), torch.compile(pooled)
    return Built(
        spec=backbone.spec,
        module=run,
        layers=module,
        pooled=pooled,
        preprocess=preprocess,
        prefix_tokens=int(getattr(module, "num_prefix_tokens", 0)),
        channels_last_output=str(getattr(module, "output_fmt", "")).upper().endswith("NHWC"),
        patch=_patch_size(module),
        folded=names,
    )


def _patch_size(module: nn.Module) -> tuple[int, int] | None:
    """Return the height and width of the patches of a timm or torchvision transformer."""
    own = getattr(module, "patch_size", None)
    found = getattr(getattr(module, "patch_embed", None), "patch_size", own)
    if isinstance(found, int):
        return found, found
    return (int(found[0]), int(found[1])) if isinstance(found, tuple | list) and len(found) == 2 else None


def _timm(backbone: Backbone, file: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    import timm
    from timm.data.config import resolve_model_data_config

    spec = backbone.spec
    assert isinstance(spec, NetworkTable)
    assert spec.timm is not None
    try:
        module = timm.create_model(spec.timm, pretrained=file is None, **spec.args)
    except Exception as error:
        raise _cannot_build(backbone, error) from error
    if file is not None:
        _load(backbone, module, file)
    config: dict[str, Any] = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    side = min(config["input_size"][-2:])
    exact = config.get("crop_mode", "center") == "squash"
    resize = int(side / config["crop_pct"])
    return module, {
        "resize": (resize, resize) if exact else resize,
        "crop": tuple(config["input_size"][-2:]),
        **{key: config[key] for key in ("interpolation", "mean", "std")},
    }


def _torchvision(backbone: Backbone, file: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    import torchvision

    spec = backbone.spec
    assert isinstance(spec, NetworkTable)
    model, _, tag = (spec.torchvision or "").partition("/")
    try:
        weights = torchvision.models.get_model_weights(model)[tag or "DEFAULT"]
        module = torchvision.models.get_model(model, weights=weights if file is None else None, **spec.args)
    except KeyError:
        tags = [weight.name for weight in torchvision.models.get_model_weights(model)]
        raise BackboneError(
            f"backbone {backbone.name}: {model} has no weights {tag!r}; available: {', '.join(tags)}"
        ) from None
    except Exception as error:
        raise _cannot_build(backbone, error) from error
    if file is not None:
        _load(backbone, module, file)
    its = weights.transforms()
    config = {"resize": its.resize_size[0], "crop": its.crop_size[0], "mean": its.mean, "std": its.std}
    if spec.layer is None:
        # The input of the last linear layer is that of the classifier.
        last = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
        if last and not last[-1].startswith(("aux", "AuxLogits")):
            parent, _, leaf = last[-1].rpartition(".")
            setattr(module.get_submodule(parent), leaf, nn.Identity())
    return module, config | {"interpolation": its.interpolation.value}


def _head(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network up to its classifier."""
    body: Any = getattr(module, "forward_features", None)
    head: Any = getattr(module, "forward_head", None)
    if callable(body) and callable(head) and "pre_logits" in inspect.signature(head).parameters:
        return lambda images: head(body(images), pre_logits=True)

    def last(images: torch.Tensor) -> torch.Tensor:
        out: Any = module(images)
        tensor: torch.Tensor = out[-1] if isinstance(out, tuple | list) else out
        return tensor

    return last


def _preprocess(spec: NetworkTable, config: Mapping[str, Any]) -> Preprocess:
    """Override the network's own configuration by the spec."""
    resize: Size | None = spec.resize
    crop: Size | None = spec.crop
    if resize is None and crop is None:
        resize, crop = config["resize"], config["crop"]
    interpolation = spec.interpolation or ("bilinear" if spec.resize is not None else config["interpolation"])
    return Preprocess(
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        mean=spec.mean or tuple(config["mean"]),
        std=spec.std or tuple(config["std"]),
        pipeline=spec.pipeline,
    )


def _load(backbone: Backbone, module: nn.Module, file: Path) -> None:
    """Load local weights strictly."""
    state = read_weights(backbone, file)
    stages: Any = getattr(module, "blocks", None)
    if efficientnet.STEM in state and isinstance(stages, nn.Sequential):
        state = efficientnet.renamed(state, [len(list(stage.children())) for stage in stages])
    have, want = set(state), set(module.state_dict())
    wrong = [
        f"{name} has shape {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in module.state_dict().items()
        if name in state and state[name].shape != value.shape
    ]
    for what, names in (
        ("missing from the file:", sorted(want - have)),
        ("unknown to the network:", sorted(have - want)),
    ):
        if names:
            wrong.append(f"{what} {', '.join(names[:4])}{f' and {len(names) - 4} more' if names[4:] else ''}")
    if wrong:
        cut = "; for first layers alone: args = { features_only = true, out_indices = [1, 2, 3] }"
        part = cut if have < want and len(wrong) == 1 and getattr(backbone.spec, "timm", None) else ""
        raise BackboneError(
            f"backbone {backbone.name}: the weights in {file} do not fit the network: "
            f"{'; '.join(wrong[:4])}. Correct args (e.g. num_classes), "
            f"or name the network of these weights{part}"
        )
    module.load_state_dict(dict(state), strict=True)


def read_weights(backbone: Backbone, file: Path) -> Mapping[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        assert isinstance(backbone.spec, NetworkTable)
        expected = f", expected {backbone.spec.sha256}" if backbone.spec.sha256 else ""
        raise BackboneError(
            f"backbone {backbone.name}: {file} cannot be read as weights "
            f"(sha256 {file_sha256(file)}{expected}): {type(error).__name__}: {error}. "
            "It may be truncated: download it again"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BackboneError(
            f"backbone {backbone.name}: {file} is not a plain table of tensors; "
            "save the network's state_dict()"
        )
    return state


def _cannot_build(backbone: Backbone, error: Exception) -> BackboneError:
    reason = " ".join(str(error).split())
    return BackboneError(
        f"backbone {backbone.name} cannot be built: {type(error).__name__}: {reason[:300]}. "
        "Check its name, weights tag and args; without a network connection give local weights (file = ...)"
    )
