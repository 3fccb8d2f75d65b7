"""What a method declares to need is what it asks of its images: runs extract features by the declaration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.methods.test_contract import OPTIONAL, SMALL
from tests.pictures import ON_PIXELS, images, provider, scores, stained, surfaces

STOCK = Registry()
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {**SMALL.get(name, {}), **ON_PIXELS.get(name, {})}) for name in sorted(STOCK.methods)),
    ("mahalanobis", {"layers": "layer1+layer2"}),
    ("trim", {"base": "mahalanobis[layers=layer2]"}),
]
#: Methods that want the maps of some images beside the features of all.
ALSO_MAPS = {"spade"}


class Spy:
    """The tiny network's provider; notes what methods ask for beside pixels."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def features(self, *of: Any) -> Any:
        self.asked.add("features")
        return provider().features(*of)

    def feature_maps(self, *of: Any) -> Any:
        self.asked.add("feature maps")
        return provider().feature_maps(*of)

    def network(self, backbone: str) -> Any:
        self.asked.add("network")
        return provider().network(backbone)

    def pixels(self, *of: Any) -> Any:
        return provider().pixels(*of)

    def view(self, *of: Any) -> Any:
        return provider().view(*of)


@pytest.mark.parametrize(("name", "params"), CASES, ids=[f"{name}{params}"[:50] for name, params in CASES])
def test_a_method_asks_for_what_it_declares(name: str, params: dict[str, Any]) -> None:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{name} needs an optional extra")
    wraps = "base" in STOCK.methods[name].parameters
    takes_backbone = wraps or "backbone" in STOCK.methods[name].parameters
    given = ({"backbone": "tiny"} if takes_backbone else {}) | params
    method, spy = resolve(STOCK.methods[name], given, STOCK, "a test"), Spy()
    train, test = images(surfaces(24)).bind(spy), images(np.concatenate([surfaces(4), stained(4)])).bind(spy)
    assert np.isfinite(scores(method.make(), train, test)).all()
    declared = method.innermost.adapter.needs(method.innermost.params)
    if declared == "network" or name in ALSO_MAPS:
        spy.asked.discard("feature maps")  # of the frozen network that it starts from
    assert spy.asked == {declared} - {"nothing of a backbone"}
    assert method.asks_for_features == ("features" in spy.asked)
