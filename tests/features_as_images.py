"""Images whose features are given: for tests of methods on vectors, without images or networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.images import Images
from bench.data.resize import InputView
from bench.data.source import ArraySource, Source

_KEEP: list[Source] = []


class GivenFeatures:
    """A provider that returns given rows, whatever the backbone, and given maps by the layer's name."""

    def __init__(
        self, features: NDArray[Any], maps: Mapping[str, NDArray[Any]] | None = None, device: str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        given = {"": features, **(maps or {})}
        found = {
            name: torch.from_numpy(np.asarray(m, np.float32)).to(self.device) for name, m in given.items()
        }
        self._features, self._maps = found.pop(""), found

    def features(self, source: Source, rows: NDArray[np.int64], backbone: str) -> torch.Tensor:
        del source, backbone
        return self._features[torch.from_numpy(rows).to(self.device)]

    def feature_maps(
        self, source: Source, rows: NDArray[np.int64], backbone: str, layers: Sequence[str]
    ) -> Any:
        del source, backbone
        return {layer: self._maps[layer][torch.from_numpy(rows).to(self.device)] for layer in layers}

    def view(self, source: Source, row: int, backbone: str) -> InputView:
        del source, row, backbone
        return InputView(32, 32)

    def pixels(self, source: Source, rows: NDArray[np.int64], size: tuple[int, int] | None) -> torch.Tensor:
        raise NotImplementedError


def images(
    features: NDArray[Any], maps: Mapping[str, NDArray[Any]] | None = None, device: str = "cpu"
) -> Images:
    """Return images with these features, shape (n, d), and maps by layer, each (n, c, h, w)."""
    n = len(features)
    source = ArraySource("given", "given", n, lambda: np.zeros((n, 1, 1, 3), np.uint8))
    _KEEP.append(source)
    return Images.of(source).bind(GivenFeatures(features, maps, device))


def scores(
    method: Any, train: NDArray[Any], test: NDArray[Any], *, seed: int = 0, device: str = "cpu"
) -> NDArray[np.float64]:
    """Fit a method on train features and return its scores of test features."""
    method.device, method.seed = torch.device(device), seed
    method.fit(images(train, device=device))
    given = method.score(images(test, device=device)).image
    return np.asarray(given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given, np.float64)
