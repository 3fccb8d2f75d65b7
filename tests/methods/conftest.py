"""Method classes by name, loaded as the registry does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, base_parameter, resolve


@pytest.fixture(scope="session")
def stock() -> Registry:
    """Return the registry of the stock adapters."""
    return Registry()


@pytest.fixture(scope="session")
def make(stock: Registry) -> Callable[..., Any]:
    """Return a function that makes a method by name and parameters; a wrapper with its base."""

    def made(name: str, **params: Any) -> Any:
        adapter = stock.methods[name]
        if base_parameter(adapter) is None:
            return ResolvedMethod(adapter, params).make()
        return resolve(adapter, params, stock, "a test").make()

    return made


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute on one thread: quicker for vectors this small, whatever else runs on the machine."""
    torch.set_num_threads(1)
