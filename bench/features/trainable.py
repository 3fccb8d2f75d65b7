"""Trainable: a method's own copy of a backbone's network, to train its last blocks.

Block k is the part of a network between stride 2ᵏ and stride 2ᵏ⁺¹: ``layer1`` to ``layer4`` of a ResNet;
block 4 includes everything after it up to the features. The frozen part before gives the same maps in every
step, so these come from the feature store where they fit, and a step runs only the trained part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.core.errors import BackboneError
from bench.data.images import Images
from bench.data.pixelrows import PixelRows, filled_parts
from bench.data.transfer import rows_of
from bench.features.backbone import Backbone
from bench.features.network import FrozenNetwork
from bench.features.spec import NetworkTable

#: Images a pass when features are computed; the last batch is filled up, so that no image's features depend
#: on the others.
READ_BATCH = 32
#: Images whose maps or pixels are in memory at once for that.
PART = 1024
#: Maps of a view are kept up to this size; above it every step starts from the images. A constant, since
#: it changes (within rounding) the training.
MAPS_BYTES = 2 * 2**30
_BLOCK_STRIDES = {4: 1, 8: 2, 16: 3, 32: 4}


class Trainable:
    """A network to fine-tune; in evaluation mode and frozen until `thaw` or the method changes that.

    Parameters
    ----------
    backbone : Backbone
        Its precision and compilation are ignored: training is in float32 unless the method chooses otherwise.
    device : torch.device

    Attributes
    ----------
    module : nn.Module
    blocks : dict of int to str
        The module at whose output each block ends.
    thawed : dict of str to Parameter
        The trained parameters.
    first : int or None
        The first block that was thawed.

    Raises
    ------
    BackboneError
        The backbone is no network, or cannot be built.
    """

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        if not isinstance(backbone.spec, NetworkTable):
            raise BackboneError(
                f"backbone {backbone.name} cannot be trained; choose a network, such as resnet18.tv_in1k"
            )
        plain = backbone.spec.model_copy(update={"compile": False, "precision": "float32"})
        self.backbone, self.device = backbone, device
        self._network = FrozenNetwork(replace(backbone, spec=plain), device, fold=False)
        self.module, self.preprocess = self._network.module, self._network.preprocess
        self.blocks = named_blocks(self.module)
        self.thawed: dict[str, nn.Parameter] = {}
        self.first: int | None = None
        self._boundary = ""
        self._bytes_a_map = 0
        self._front: list[tuple[nn.Module, str, nn.Module]] = []

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return features, (b, d), of prepared images (b, 3, h, w) or of maps at the boundary."""
        if inputs.shape[1] == 3:
            return self._network.vectors(inputs)
        with self._without_front():
            return self._network.vectors(inputs.contiguous(memory_format=torch.channels_last))

    def maps(self, inputs: torch.Tensor, blocks: Sequence[int]) -> dict[int, torch.Tensor]:
        """Return the outputs of some blocks, each (b, c, h, w), of prepared images."""
        found = self._network.outputs(inputs, [self._block(k) for k in blocks])
        return {k: found[self.blocks[k]] for k in blocks}

    def logits(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
        """Return the logits, (b, classes), of the network's own classes; inputs as for `__call__`.

        Parameters
        ----------
        weights : mapping, optional
            Instead of the parameters of these names, for gradients of each image (`torch.func`).

        Raises
        ------
        BackboneError
            The network has no classifier.
        """
        module, spec = self.module, self._network.backbone.spec
        assert isinstance(spec, NetworkTable)
        has = getattr(module, "num_classes", 0) if spec.timm is not None else spec.layer is not None
        if not has:
            raise BackboneError(
                f"backbone {self.backbone.name}: it has no classifier"
                + (", as no layer is named; name the one to read (layer=...)" if spec.torchvision else "")
            )
        with self._without_front() if inputs.shape[1] != 3 else contextlib.nullcontext():
            out: torch.Tensor = torch.func.functional_call(module, dict(weights or {}), (inputs,))
        return out

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return images (b, 3, h, w), uint8, resized, cropped and normalised as for the backbone."""
        return self.preprocess.normalise(self.preprocess.shrink(pixels))

    def thaw(self, first: int) -> dict[str, nn.Parameter]:
        """Let gradients reach block `first` and everything after it, up to the features.

        Returns
        -------
        dict of str to Parameter
            In the network's order; with BatchNorm's weights and biases, without its statistics.

        Raises
        ------
        BackboneError
            There is no such block, or the backbone's images are too small for the network.
        """
        order, wanted = [name for name, _ in self.module.named_modules()], self._block(first)
        self.first = first
        start = order.index(wanted)
        if first > 1:
            self._boundary = self._block(first - 1)
            inside = [i for i, name in enumerate(order) if f"{name}.".startswith(f"{self._boundary}.")]
            start = inside[-1] + 1
        behind = set(order[start:])
        candidates = {n: p for n, p in self.module.named_parameters() if n.rpartition(".")[0] in behind}
        for parameter in candidates.values():
            parameter.requires_grad_(True)
        image = torch.linspace(-1, 1, 3 * self.side**2, device=self.device).view(1, 3, self.side, self.side)
        features = self._network.vectors(image)
        used = torch.autograd.grad(features.sum(), list(candidates.values()), allow_unused=True)
        self.thawed = {n: p for (n, p), g in zip(candidates.items(), used, strict=True) if g is not None}
        for name in candidates.keys() - self.thawed.keys():
            candidates[name].requires_grad_(False)
        if self._boundary:
            self._divide(image, features.detach())
        return self.thawed

    @property
    def side(self) -> int:
        """Shorter side of the network's input, in pixels."""
        return self._network.side

    def inputs(self, images: Images) -> Inputs:
        """Return the inputs of this network, for the images of a view."""
        return self._inputs(images, by_maps=self._maps_fit(len(images)))

    def features(self, given: Images | Inputs) -> torch.Tensor:
        """Return the features of all images, (n, d), without gradients, each independent of the others."""
        parts = []
        with torch.no_grad():
            for inputs in [given] if isinstance(given, Inputs) else self._in_parts(given):
                for rows, count in filled_parts(len(inputs), READ_BATCH):
                    parts.append(self(inputs[rows])[:count])
        return torch.cat(parts)

    def _in_parts(self, images: Images) -> Iterator[Inputs]:
        by_maps = self._maps_fit(len(images))
        for start in range(0, len(images), PART):
            yield self._inputs(images[start : start + PART], by_maps=by_maps)

    def _inputs(self, images: Images, *, by_maps: bool) -> Inputs:
        if by_maps:
            return Inputs(self, images.feature_maps(self.backbone.name, [self._boundary])[self._boundary])
        return Inputs(self, PixelRows(images, self.preprocess.shrink))

    def _maps_fit(self, n: int) -> bool:
        return bool(self._front) and self._bytes_a_map * n <= MAPS_BYTES

    def _block(self, block: int) -> str:
        if block not in self.blocks:
            has = ", ".join(f"{k} ({name})" for k, name in self.blocks.items()) or "none"
            raise BackboneError(
                f"backbone {self.backbone.name}: it has no block {block}; its blocks, by stride: {has}"
            )
        return self.blocks[block]

    def _divide(self, image: torch.Tensor, features: torch.Tensor) -> None:
        """Find the modules before the boundary, and check that the rest can run alone."""
        chain = self._boundary.split(".")
        module = self.module
        for depth, name in enumerate(chain):
            children = list(module.named_children())
            last = [child for child, _ in children].index(name)
            # On the way down only the modules before; at the end the boundary itself, too.
            front = children[: last + 1] if depth == len(chain) - 1 else children[:last]
            self._front += [(module, child, found) for child, found in front]
            module = children[last][1]
        maps = self._network.outputs(image, [self._boundary])[self._boundary]
        self._bytes_a_map = maps.numel() * 4
        with torch.no_grad():
            if not torch.equal(self(maps), features):
                self._front = []

    @contextlib.contextmanager
    def _without_front(self) -> Iterator[None]:
        """Make the frozen modules pass on their input: the maps at the boundary."""
        for parent, name, _ in self._front:
            parent._modules[name] = nn.Identity()
        try:
            yield
        finally:
            for parent, name, module in self._front:
                parent._modules[name] = module


class Inputs:
    """The inputs of a network, by row: maps at the boundary, or images."""

    def __init__(self, network: Trainable, given: torch.Tensor | PixelRows) -> None:
        self._network, self._given = network, given

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, rows: NDArray[np.int64]) -> torch.Tensor:
        if isinstance(self._given, PixelRows):
            return self._network.preprocess.normalise(self._given[rows])
        return rows_of(self._given, rows)


def named_blocks(module: nn.Module) -> dict[int, str]:
    """Return the name of the module that ends each block, by the strides that the network declares."""
    known = dict(module.named_modules())
    declared = getattr(module, "feature_info", None)
    entries = getattr(declared, "info", declared) or []
    found = {
        _BLOCK_STRIDES[entry["reduction"]]: entry["module"]
        for entry in entries
        if entry["reduction"] in _BLOCK_STRIDES
        and len({other["reduction"] for other in entries}) == len(entries)
    }
    if not entries:
        found = {k: f"layer{k}" for k in range(1, 5)}
    # Cut down to its maps (features_only), timm may join a network's names by underscores.
    named = {k: name if name in known else name.replace(".", "_") for k, name in sorted(found.items())}
    return {k: name for k, name in named.items() if name in known}
