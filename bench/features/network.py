"""Frozen networks: builds a torch module from its description and reads pooled vectors and maps out of it.

On a CPU a network always runs at one batch shape (the last batch is padded), and only if an image's features
are bit-identical at every place in the batch; then they cannot depend on the other images in it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bench.core.devicefaults import is_out_of_memory
from bench.core.errors import BackboneError
from bench.data.resize import InputView, PixelArrays, different_sizes
from bench.features.backbone import Backbone
from bench.features.build import Built, build
from bench.features.device import free_cached, tune_allocator
from bench.features.spec import unknown

log = logging.getLogger(__name__)

#: A network runs at one batch shape, so a method that asks for 64 images should not pay for more.
CPU_BATCH, GPU_BATCH = 16, 64
#: In torch's message when a pooling or a convolution has no pixels left.
TOO_SMALL = ("size is too small", "greater than actual input size")

Hook = Callable[[nn.Module, Any, Any], None]
#: Rows and columns of a transformer's patches, None for other networks.
Grid = tuple[int, int] | None


class _Enough(Exception):
    """Raised by the last hook: nothing behind the wanted layers needs to be computed."""


class FrozenNetwork:
    """A built backbone on a device.

    Parameters
    ----------
    backbone : Backbone
    device : torch.device
    batch_size : int, optional
        16 on a CPU, 64 on a GPU; halved when memory runs out.
    fold : bool
        Fold each BatchNorm into the convolution before it; not in a network that is to be trained.
    """

    def __init__(
        self, backbone: Backbone, device: torch.device, batch_size: int | None = None, *, fold: bool = True
    ) -> None:
        if device.type == "cpu":
            tune_allocator()
        self.backbone, self.device = backbone, device
        self._built: Built = build(backbone, device, fold=fold)
        self._unfolded: FrozenNetwork | None = None
        self.preprocess = self._built.preprocess
        self.batch_size = batch_size or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)
        self._checked = device.type != "cpu"
        self._modules: dict[str, nn.Module] = dict(self._built.layers.named_modules())
        self._precision = getattr(torch, backbone.precision_on(device.type))

    def on_host(self, pixels: PixelArrays) -> PixelArrays:
        return self.preprocess.on_host(pixels)

    def view(self, height: int, width: int) -> InputView:
        """Return what the network sees of images of this size."""
        return self.preprocess.view(height, width)

    def pooled(self, pixels: PixelArrays) -> torch.Tensor:
        """Return feature vectors, shape (b, d), float32, on the device."""
        layer = self._built.spec.layer
        if layer is None:
            return self._run(pixels, ())[""]
        return self._of((layer,))._run(pixels, (layer,), pool=True)[layer]

    def _of(self, layers: Sequence[str]) -> FrozenNetwork:
        """Return this network, or the same without folding where that changed a layer's output."""
        if self._built.folded.isdisjoint(layers):
            return self
        if self._unfolded is None:
            self._unfolded = FrozenNetwork(self.backbone, self.device, self.batch_size, fold=False)
        return self._unfolded

    @property
    def module(self) -> nn.Module:
        return self._built.layers

    def vectors(self, images: torch.Tensor) -> torch.Tensor:
        """Return feature vectors, (b, d), float32, of the network's input (b, 3, h, w), with gradients."""
        layer = self._built.spec.layer
        if layer is None:
            return self._forward(images, (), False)[""]
        self._module(layer)
        return self._forward(images, (layer,), True)[layer]

    def outputs(self, images: torch.Tensor, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return maps as `maps` does, of the network's input, with gradients."""
        return self._forward(images, tuple(layers), False)

    def maps(self, pixels: PixelArrays, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the outputs of the named modules, each (b, c, h, w), float32, on the device.

        Raises
        ------
        BackboneError
            A layer does not exist (the message lists the layers) or has no spatial map.
        """
        inside = tuple(layer for layer in layers if layer in self._built.folded)
        rest = tuple(layer for layer in layers if layer not in inside)
        found = self._run(pixels, rest) if rest else {}
        return found | (self._of(inside)._run(pixels, inside) if inside else {})

    def _run(
        self, pixels: PixelArrays, layers: tuple[str, ...], *, pool: bool = False
    ) -> dict[str, torch.Tensor]:
        for layer in layers:
            self._module(layer)
        parts: list[dict[str, torch.Tensor]] = []
        at, shape = 0, None
        with torch.inference_mode(), _exact_float32():
            while at < len(pixels):
                some = pixels[at : at + self.batch_size]
                done = self._attempt(some, layers, pool)
                if done is None:
                    self._back_off()
                    continue
                if shape is not None and done[0].shape != shape:
                    raise different_sizes([tuple(shape), tuple(done[0].shape)])
                shape = done[0].shape
                parts.append(done[1])
                at += len(some)
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def _attempt(
        self, pixels: PixelArrays, layers: tuple[str, ...], pool: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]] | None:
        """Run images of one batch at most; return an input image and the outputs, None if memory ran out.

        Nothing of a failed attempt is left once this returns.
        """
        try:
            images = self.preprocess(pixels, self.device)
            if not self._checked:
                self._check_places(images[:1], layers, pool)
            found: list[dict[str, torch.Tensor]] = []
            for part in torch.split(images, self.batch_size):  # smaller now if places in a batch differ
                found.append(self._fixed_shape(part, layers, pool))
            return images[0], {key: torch.cat([part[key] for part in found]) for key in found[0]}
        except (MemoryError, RuntimeError) as error:
            if self.batch_size == 1 or not is_out_of_memory(error):
                raise
        return None

    def _fixed_shape(
        self, part: torch.Tensor, layers: tuple[str, ...], pool: bool
    ) -> dict[str, torch.Tensor]:
        n = len(part)
        if n < self.batch_size:
            part = torch.cat([part, part[-1:].expand(self.batch_size - n, -1, -1, -1)])
            part = part.contiguous(memory_format=torch.channels_last)
        return {key: value[:n] for key, value in self._forward(part, layers, pool).items()}

    def _forward(self, images: torch.Tensor, layers: tuple[str, ...], pool: bool) -> dict[str, torch.Tensor]:
        """Run one batch; return the pooled output under "", or the wanted layers under their names."""
        taken: dict[str, torch.Tensor] = {}
        patch = self._built.patch  # a transformer's; its tokens lie on this grid
        grid = (images.shape[2] // patch[0], images.shape[3] // patch[1]) if patch else None
        hooks = [
            self._module(layer).register_forward_hook(self._take(layer, len(layers), pool, grid, taken))
            for layer in layers
        ]
        try:
            with self._autocast():
                if not layers:
                    return {"": self._finish(self._built.pooled(images))}
                with contextlib.suppress(_Enough):
                    self._built.module(images)
        except (RuntimeError, AssertionError) as error:
            raise self._explained(error, images) from None
        finally:
            for hook in hooks:
                hook.remove()
        return taken

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the network's own precision; in training, float32 leaves the precision to the method."""
        own = self._precision != torch.float32
        if not own and not torch.is_inference_mode_enabled():
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._precision if own else None, enabled=own)

    def _explained(self, error: Exception, images: torch.Tensor) -> Exception:
        """Return the error to raise instead: of images whose size does not suit the network, or the same."""
        size = " x ".join(map(str, images.shape[2:]))
        if isinstance(error, AssertionError):  # of timm's transformers
            return BackboneError(
                f"backbone {self.backbone.name}: it takes no images of {size} px ({error}); give it "
                "another resize and crop, or args = { dynamic_img_size = true }"
            )
        if not any(words in str(error) for words in TOO_SMALL):
            return error
        return BackboneError(
            f"backbone {self.backbone.name}: images of {self.side} px are too small for this network "
            f"({str(error).splitlines()[0]}); give it a larger resize and crop"
        )

    @property
    def side(self) -> int:
        """Shorter side of the network's input, in pixels."""
        return self.preprocess.side

    def _take(self, layer: str, wanted: int, pool: bool, grid: Grid, taken: dict[str, torch.Tensor]) -> Hook:
        def hook(_module: nn.Module, _given: object, output: object) -> None:
            value = self._tensor(output, layer)
            # Reduced or copied at once: later in-place operations must not change it.
            taken[layer] = (
                self._finish(self._pool(value)) if pool else self._spatial(value, layer, grid).float().clone()
            )
            if len(taken) == wanted and not self._built.spec.compile:
                raise _Enough

        return hook

    def _tensor(self, output: object, layer: str) -> torch.Tensor:
        if isinstance(output, tuple | list) and output:
            output = output[-1]
        if not isinstance(output, torch.Tensor):
            raise BackboneError(
                f"backbone {self.backbone.name}: layer {layer!r} gives no tensor; choose another"
            )
        return output

    def _spatial(self, value: torch.Tensor, layer: str, grid: Grid = None) -> torch.Tensor:
        if value.ndim == 3:  # tokens: drop the class token, put the patches back on their grid
            tokens = value[:, self._built.prefix_tokens :]
            side = int(tokens.shape[1] ** 0.5)
            high, wide = grid or (side, side)
            if high * wide == tokens.shape[1]:
                return tokens.transpose(1, 2).reshape(len(value), -1, high, wide)
        if value.ndim != 4:
            raise BackboneError(
                f"backbone {self.backbone.name}: layer {layer!r} gives an output of shape "
                f"{tuple(value.shape)}, not maps (n, channels, height, width); choose an earlier layer"
            )
        return value.permute(0, 3, 1, 2) if self._built.channels_last_output else value

    def _pool(self, value: torch.Tensor) -> torch.Tensor:
        how = self._built.spec.pool
        if value.ndim == 3 and how == "default":
            how = "cls" if self._built.prefix_tokens else "avg"
        if value.ndim == 2 or how == "flatten":
            return value.flatten(1)
        if how == "cls":
            if value.ndim != 3 or not self._built.prefix_tokens:
                raise BackboneError(
                    f"backbone {self.backbone.name} has no class token; use pool=avg or pool=max"
                )
            return value[:, 0]
        flat = self._spatial(value, "").flatten(2) if value.ndim == 4 else value.transpose(1, 2)
        if value.ndim == 3:
            flat = flat[:, :, self._built.prefix_tokens :]
        return flat.amax(2) if how == "max" else flat.float().mean(2)

    def _finish(self, vectors: torch.Tensor) -> torch.Tensor:
        spec = self._built.spec
        vectors = (self._pool(vectors) if vectors.ndim > 2 else vectors).float()
        if spec.width is not None:
            vectors = F.adaptive_avg_pool1d(vectors[:, None], spec.width)[:, 0]
        return vectors / (1 + 1e-5) ** 0.5 if spec.norm == "batchnorm" else vectors

    def _module(self, layer: str) -> nn.Module:
        if layer not in self._modules or not layer:
            named = [name for name in self._modules if name]
            shown = ", ".join(name for name in named if name.count(".") <= 1)
            hint = unknown("layer", layer, named, f"Its layers: {shown} (and those inside them)")
            raise BackboneError(f"backbone {self.backbone.name}: {hint}")
        return self._modules[layer]

    def _check_places(self, image: torch.Tensor, layers: tuple[str, ...], pool: bool) -> None:
        """Check, once, that an image's features do not depend on its place in the batch."""
        size = self.batch_size
        same = image.expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        outputs = self._forward(same, layers, pool).values()
        self._checked = True
        if any(not torch.equal(value, value[:1].expand_as(value)) for value in outputs):
            log.warning(
                "backbone %s: features depend on the place in a batch of %d; running images one by one",
                self.backbone.name,
                size,
            )
            self.batch_size = 1

    def _back_off(self) -> None:
        """Halve the batch."""
        self.batch_size //= 2
        self._checked = self.device.type != "cpu"
        free_cached()
        log.warning(
            "backbone %s: out of memory; continuing in batches of %d", self.backbone.name, self.batch_size
        )


@contextlib.contextmanager
def _exact_float32() -> Iterator[None]:
    """Compute float32 in float32: no TF32 on a GPU, no bfloat16 inside oneDNN."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
