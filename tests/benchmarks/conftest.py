"""What all benchmarks share: the ratios that one puts by are shown, too (with ``-s``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--save-ratios",
        action="store_true",
        help="Add the hot paths' ratios to tests/benchmarks/ratios.json.",
    )


@pytest.fixture(autouse=True)
def shown(request: pytest.FixtureRequest) -> Iterator[None]:
    if "benchmark" not in request.fixturenames:
        yield
        return
    benchmark = request.getfixturevalue("benchmark")
    yield
    if benchmark.extra_info:
        print("\n" + ", ".join(f"{name}: {value}" for name, value in benchmark.extra_info.items()))
