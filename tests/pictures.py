"""Small images and a tiny network with random weights, for tests of methods that train on pixels."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.data.images import Images
from bench.data.source import ArraySource
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from bench.features.trainable import Trainable
from bench.train.checkpoint import Checkpoints, StopRequested, ask_to_stop, go_on
from bench.train.method import Scores

#: Methods that train on pixels, and parameters for few small images.
ON_PIXELS: dict[str, dict[str, Any]] = {
    # Enough mini-batches for BatchNorm's running statistics to forget where they began.
    "adl": {
        "backbone": "tiny",
        "textures": "procedural",
        "size": 32,
        "batch": 4,
        "epochs": 15,
        "steps_per_epoch": 4,
        "lr": 2e-3,
    },
    "anomalib": {"model": "Padim", "backbone": "resnet18", "n_features": 50, "pre_trained": False},
    "autoencoder": {"network": "mnist", "epochs": 12, "batch": 8, "lr": 3e-3},
    "deep_sad": {"network": "mnist", "pretrain_epochs": 5, "epochs": 30, "batch": 8, "lr": 1e-3},
    "deep_svdd": {"network": "mnist", "pretrain_epochs": 10, "epochs": 12, "batch": 8, "lr": 1e-3},
    "devnet": {
        **{"backbone": "tiny", "size": 64, "scales": 2, "batch": 4, "epochs": 3, "steps_per_epoch": 8},
        "lr": 3e-3,
    },
    "dinomaly": {
        "backbone": "tiny_vit",
        "blocks": "1,2,3,4",
        "depth": 2,
        "steps": 30,
        "batch": 8,
        "warm_up": 5,
    },
    "hscl": {
        **{"size": 16, "width": 8, "batch": 8, "epochs": 12, "samples": 4, "normals": 0.3},
        "lr": 3e-4,
    },
    "joint_optimization": {
        **{"auxiliary_set": "given", "backbone": "tiny", "steps": 20, "batch": 8, "lr": 1e-3},
    },
    "kdad": {"backbone": "tiny", "epochs": 6, "batch": 8},
    "mhrot": {
        **{"size": 16, "shift": 4, "depth": 10, "width": 1, "dropout": 0.0, "epochs": 20, "batch": 32},
        "translations": "sampled",
    },
    "msc": {"backbone": "tiny", "epochs": 2, "lr": 1e-3, "batch": 8},
    "multicue": {
        **{"backbone": "tiny", "textures": "procedural", "size": 32, "batch": 4, "epochs": 15},
        **{"steps_per_epoch": 4, "lr": 2e-3, "maps": "none"},
    },
    "padim": {"backbone": "tiny"},
    "patch_knn": {"backbone": "tiny", "layers": "layer2+layer3"},
    "patchcore": {"backbone": "tiny"},
    "reverse_distillation": {"backbone": "tiny", "epochs": 4, "batch": 8, "depths": "1,1,1,1"},
    "rotnet": {"size": 16, "depth": 10, "width": 1, "dropout": 0.0, "epochs": 12, "batch": 32},
    "softpatch": {"backbone": "tiny"},
    "spade": {"backbone": "tiny"},
    "panda": {"backbone": "tiny", "steps": 4, "lr": 0.5, "clip": 0.1, "batch": 8},
    "panda_oe": {
        "outliers": "given",
        "backbone": "tiny",
        "steps": 20,
        "lr": 0.5,
        "clip": 0.1,
        "batch": 8,
    },
}
#: Side of the images and of what the network is fed, in pixels.
SIDE = 64
#: Of the transformer: 8 x 8 patches, one class token and four registers.
TRANSFORMER = {"img_size": SIDE, "patch_size": 8, "reg_tokens": 4, "num_classes": 7}
_KEEP: list[Any] = []


@functools.cache
def tiny(seed: int = 0) -> Backbones:
    """Return ``tiny``, timm's ``test_resnet`` at 64 px, and ``tiny_vit``, a transformer with registers.

    Their weights are by chance, on disk.
    """
    import timm
    from safetensors.torch import save_file

    folder = tempfile.TemporaryDirectory()
    _KEEP.append(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = timm.create_model("test_resnet", pretrained=False, num_classes=7)
        with torch.no_grad():  # else every BatchNorm is nearly the identity, and every block adds nothing
            for name, tensor in module.state_dict().items():
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 2)
                elif ".bn" in name and name.endswith("weight"):
                    tensor.uniform_(1.5, 2)
        transformer = timm.create_model("test_vit", pretrained=False, **TRANSFORMER)
    save_file(module.state_dict(), Path(folder.name) / "tiny.safetensors")
    save_file(transformer.state_dict(), Path(folder.name) / "tiny_vit.safetensors")
    same = {"resize": SIDE, "crop": SIDE, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    tables = {
        "tiny": NetworkTable(timm="test_resnet", args={"num_classes": 7}, file="tiny.safetensors", **same),
        "tiny_vit": NetworkTable(timm="test_vit", args=TRANSFORMER, file="tiny_vit.safetensors", **same),
    }
    return Backbones(tables, Path(folder.name))


@functools.cache
def provider() -> FeatureProvider:
    return FeatureProvider(tiny(), cache=None)


def images(pixels: NDArray[np.uint8], on: FeatureProvider | None = None) -> Images:
    """Return images of these pixels, shape (n, h, w, 3), with the tiny network at hand."""
    source = ArraySource("given", str(len(_KEEP)), len(pixels), lambda: pixels)
    _KEEP.append(source)
    return Images.of(source).bind(on or provider())


def damaged(_: Images, backbone: str) -> Trainable:
    """Return a network as `Images.network` does, with weights that are no numbers."""
    network = Trainable(tiny().get(backbone), torch.device("cpu"))
    with torch.no_grad():
        next(network.module.get_submodule("layer4").parameters()).fill_(torch.nan)
    return network


def surfaces(n: int, *, seed: int = 0, side: int = SIDE) -> NDArray[np.uint8]:
    """Return images of one kind: soft stripes of a common direction and colour, with noise."""
    rng = np.random.default_rng(seed)
    x = np.arange(side) / side
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1, 1))
    stripes = 0.5 + 0.15 * np.sin(12 * (x[:, None, None] + 0.4 * x[None, :, None]) + phase)
    tint = np.array([0.2, 0.0, -0.1])
    noise = rng.normal(0, 0.03, (n, side, side, 3))
    return np.clip(255 * (stripes + tint + noise), 0, 255).astype(np.uint8)


def stained(n: int, *, seed: int = 1, side: int = SIDE) -> NDArray[np.uint8]:
    """Return such images with a blot of another colour."""
    rng, pictures = np.random.default_rng(seed), surfaces(n, seed=seed, side=side)
    for picture in pictures:
        top, left = rng.integers(0, side // 2, 2)
        picture[top : top + side // 2, left : left + side // 2] = rng.integers(0, 256, 3)
    return pictures


def lit(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images lit from above, so that their half turns differ, as stripes alone do not."""
    light = np.linspace(60, -60, pictures.shape[1])[:, None, None]
    return np.clip(pictures + light, 0, 255).astype(np.uint8)


def scores(
    method: Any, train: Images, test: Images, *, seed: int = 0, side: int = SIDE
) -> NDArray[np.float64]:
    """Fit a method and return its scores."""
    fitted(method, train, seed=seed, side=side)
    return judged(method, test)


def fitted(
    method: Any, train: Images, *, seed: int = 0, on: FeatureProvider | None = None, side: int = SIDE
) -> None:
    """Fit a method, on the device of a provider; what it is given beside has images of this side."""
    method.device, method.seed = torch.device("cpu") if on is None else on.device, seed
    if type(method).setting == "outlier_exposure":
        method.auxiliary = {"outliers": images(stained(24, seed=7, side=side), on)}
    if type(method).setting == "labelled_auxiliary":
        pictures = np.concatenate([stained(8, seed=7, side=side), 255 - surfaces(8, side=side)])
        method.auxiliary = {"auxiliary_set": images(pictures, on)}
        method.auxiliary_classes = {"auxiliary_set": ("stained",) * 8 + ("bright",) * 8}
    if type(method).few_shot:
        method.labelled = images(stained(4, seed=7, side=side), on)
    method.fit(train)


def fitted_with(method: Any, train: Images, **attributes: Any) -> Any:
    """Set attributes of a method as the runner does, and fit it on the CPU with seed 0."""
    method.device, method.seed = torch.device("cpu"), 0
    for name, value in attributes.items():
        setattr(method, name, value)
    method.fit(train)
    return method


def resumed_steps(fit: Callable[..., Any], test: Images, folder: Path, at: int) -> int:
    """Stop a training inside; it must go on from its checkpoint to the same bits. Return its steps then.

    Parameters
    ----------
    fit : callable
        Given attributes (`fitted_with`), returns a fitted method.
    test : Images
    folder : Path
        Of the checkpoint.
    at : int
        After how many mini-batches it is asked to stop.
    """
    whole, kept = judged(fit(), test), {"checkpoints": Checkpoints(folder / "cell")}
    steps: list[int] = []

    def step(*_: Any) -> None:
        steps.append(1)
        if len(steps) == at:
            ask_to_stop()

    try:
        with pytest.raises(StopRequested):
            fit(**kept, progress=step)
    finally:
        go_on()
    steps.clear()
    again = fit(**kept, progress=lambda *_: steps.append(1))
    assert any(note.startswith("resumed after") for note in again.notes)
    assert judged(again, test).tobytes() == whole.tobytes()
    return len(steps)


def judged(method: Any, test: Images) -> NDArray[np.float64]:
    """Return a fitted method's scores."""
    given: Scores = method.score(test)
    return given.checked(len(test))
