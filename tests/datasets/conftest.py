"""Data set adapters by name, and an empty data folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.suite.registry import Registry


@pytest.fixture(scope="session")
def stock() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def adapter(stock: Registry) -> Callable[..., Any]:
    """Return a function that makes a data set by name and parameters."""
    return lambda which, /, **params: stock.datasets[which].load()(**params)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that ANOBENCH_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", str(folder))
    return folder
