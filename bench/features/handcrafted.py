"""Features without a network: raw pixels, and histograms of oriented gradients (Dalal and Triggs, 2005)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.core.errors import BackboneError
from bench.data.resize import Pictures, resize, stack, to_tensor
from bench.features.backbone import Backbone
from bench.features.spec import HogTable, PixelsTable


class Handcrafted:
    """Computes ``pixels`` and ``hog``.

    Parameters
    ----------
    backbone : Backbone
        Whose `spec` is a `PixelsTable` or a `HogTable`.
    device : torch.device
        Where the result goes; ``hog`` itself is computed on the host.
    """

    batch_size = 64

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        assert isinstance(backbone.spec, PixelsTable | HogTable)
        self.backbone, self.device, self._spec = backbone, device, backbone.spec

    def on_host(self, pictures: Pictures) -> Pictures:
        return pictures

    def pooled(self, pictures: Pictures) -> torch.Tensor:
        """Return the vectors, shape (b, d), float32, on the device."""
        on = self.device if isinstance(self._spec, PixelsTable) else torch.device("cpu")
        size = (self._spec.size, self._spec.size)
        if isinstance(pictures, np.ndarray):
            small = resize(to_tensor(pictures, on), size)
        else:
            small = stack([resize(to_tensor(picture[None], on), size) for picture in pictures])
        if isinstance(self._spec, PixelsTable):
            return small.flatten(1).to(torch.float32) / 255
        spec = self._spec
        from skimage.feature import hog

        vectors = [
            hog(
                picture.permute(1, 2, 0).numpy(),
                orientations=spec.orientations,
                pixels_per_cell=(spec.cell, spec.cell),
                cells_per_block=(spec.block, spec.block),
                channel_axis=-1,
            )
            for picture in small
        ]
        return torch.from_numpy(np.stack(vectors).astype(np.float32)).to(self.device)

    def maps(self, pictures: Pictures, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Raise: there are no maps.

        Raises
        ------
        BackboneError
        """
        raise BackboneError(
            f"backbone {self.backbone.name} has no feature maps; choose a network "
            f"({', '.join(layers)} of {len(pictures)} images were asked for)"
        )
