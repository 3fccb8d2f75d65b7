"""Whether a backbone's weights can be had: here already, or from a host that can be reached.

Asked once before a run, so that not each cell finds out by itself. Nothing is downloaded.
"""

from __future__ import annotations

import functools
import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from bench.core.errors import BackboneError
from bench.core.files import cache_folder
from bench.features.backbone import Backbone
from bench.features.spec import NetworkTable, unknown

#: Seconds to wait for a host.
TIMEOUT = 5.0


def why_not_had(backbone: Backbone) -> str:
    """Return why a backbone's weights cannot be had on this machine; empty if they can."""
    spec = backbone.spec
    if not isinstance(spec, NetworkTable):
        return ""
    try:
        if spec.file is not None:
            backbone.weights_file()
            return ""
        reason = _of_timm(spec.timm) if spec.timm else _of_torchvision(spec.torchvision or "")
    except BackboneError as error:
        return str(error) if spec.file else f"backbone {backbone.name}: {error}"
    if reason and _has_features(backbone):
        return ""
    mend = "connect to the network, or name a local file of weights in a table [backbones.NAME] (file = ...)"
    return f"backbone {backbone.name}: {reason}; {mend}" if reason else ""


def is_here(backbone: Backbone) -> bool:
    """Return whether a backbone needs no download."""
    spec = backbone.spec
    if not isinstance(spec, NetworkTable):
        return True
    try:
        if spec.file is not None:
            return backbone.weights_file() is not None
        if spec.timm:
            repository, url = _timm_source(spec.timm)
            return bool(repository and _in_hub_cache(repository)) or bool(url and _in_torch_cache(url))
        return _in_torch_cache(_torchvision_url(spec.torchvision or ""))
    except BackboneError:
        return False


def _of_timm(name: str) -> str:
    repository, url = _timm_source(name)
    if (repository and _in_hub_cache(repository)) or (url and _in_torch_cache(url)):
        return ""
    if not repository:
        return _unreachable(url)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return f"its weights ({repository}) are not in the hub's cache, and HF_HUB_OFFLINE is set"
    return _unreachable(os.environ.get("HF_ENDPOINT") or f"https://huggingface.co/{repository}")


def _timm_source(name: str) -> tuple[str, str]:
    """Return the hub's repository of a timm model's weights, and their address elsewhere; may be empty."""
    if name.startswith(("hf-hub:", "hf_hub:")):
        return name.partition(":")[2], ""
    if _in_hub_cache(f"timm/{name}"):  # without importing timm, which takes seconds
        return f"timm/{name}", ""
    import timm

    try:
        found = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        found = None
    if found is None:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        has = f"timm has {', '.join(tags)}" if tags else "timm has none for this model: give a local file"
        raise BackboneError(unknown("weights", name, tags, has))
    return str(found.hf_hub_id or ""), str(found.url or "")


def _of_torchvision(name: str) -> str:
    url = _torchvision_url(name)
    return "" if _in_torch_cache(url) else _unreachable(url)


def _torchvision_url(name: str) -> str:
    import torchvision

    model, _, tag = name.partition("/")
    kinds = torchvision.models.get_model_weights(model)
    if tag and tag not in kinds.__members__:
        tags = list(kinds.__members__)
        raise BackboneError(f"{unknown('weights', tag, tags)} {model} has {', '.join(tags)}")
    return str(kinds[tag or "DEFAULT"].url)


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    name, _, revision = repository.partition("@")
    return any(
        isinstance(try_to_load_from_cache(name, file, revision=revision or None), str)
        for file in ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
    )


def _in_torch_cache(url: str) -> bool:
    from torch.hub import get_dir

    return (Path(get_dir()) / "checkpoints" / Path(urlsplit(url).path).name).is_file()


def _unreachable(url: str) -> str:
    """Return why an address cannot be reached; empty if it can, or if only a proxy knows."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return ""
    return _host_unreachable(urlsplit(url).hostname or "", urlsplit(url).port or 443)


@functools.cache
def _host_unreachable(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), TIMEOUT).close()
    except OSError as error:
        return f"its weights are not on this machine, and {host} cannot be reached ({error})"
    return ""


def _has_features(backbone: Backbone) -> bool:
    """Return whether the feature store has anything of a backbone: a run may do without its weights."""
    identity = backbone.identity()
    for path in (cache_folder() / "features").glob("v*/*/*/key.json"):
        try:
            if str(json.loads(path.read_bytes()).get("identity", "")).startswith(identity):
                return True
        except (OSError, ValueError, AttributeError):
            continue
    return False
