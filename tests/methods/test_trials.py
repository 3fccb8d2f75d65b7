"""Stock methods under the checks of ``anobench try``: the functions that users' methods meet."""

from __future__ import annotations

from typing import Any

import pytest

from bench.run.contract import CHECKS, trial
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.methods.test_contract import ALL, OPTIONAL, SMALL
from tests.methods.test_on_a_device import SHORT
from tests.pictures import ON_PIXELS, tiny

#: What is trained so little that its scores point anywhere is trained as `test_contract` trains it.
ENOUGH = {"sla2p"}
#: The least that a training can be stopped in, resumed, and counted on a device.
LEAST = {"epochs": 1, "pretrain_epochs": 1, "steps": 6}
#: Watching memory makes fits ten times as long; `test_contract` of `tests/run` does it.
ASKED = CHECKS.keys() - {"memory"}


def short(name: str) -> dict[str, Any]:
    """Return parameters with which a method is trained for a few mini-batches."""
    if name in ENOUGH:
        return dict(SMALL[name])
    given = ON_PIXELS.get(name, SHORT.get(name, {}))
    return {key: min(value, LEAST[key]) if key in LEAST else value for key, value in given.items()}


@pytest.mark.parametrize("name", [name for name in ALL if name not in OPTIONAL])
def test_try_finds_nothing(name: str, stock: Registry) -> None:
    params = short(name)
    backbone = params.pop("backbone", "pixels[size=8]")
    method = resolve(stock.methods[name], params, stock, "a test")
    found, _ = trial(method, ASKED, backbones=tiny(), names=(backbone,))
    assert not found, "\n".join(map(str, found))
