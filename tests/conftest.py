"""What every test gets: a cache of its own, no network, and real data only where a test asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The same examples each time, and no verdict by a busy machine's clock.
hypothesis.settings.register_profile("anobench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("anobench")

# Under nohup or in the background SIGINT is ignored, and every process started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give module- and session-wide fixtures a cache that is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANOBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give each test a cache folder of its own; hide ANOBENCH_DATA from tests not marked ``data``."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ANOBENCH_CACHE", str(folder))
    if not request.node.get_closest_marker("data"):
        monkeypatch.delenv("ANOBENCH_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True)
def _runs_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run cells in the test's process where a test does not say otherwise: a worker's start costs seconds."""
    monkeypatch.setattr("bench.run.executors.choose.DEFAULT", "inline")


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real data; the test is skipped where ANOBENCH_DATA is not set."""
    given = os.environ.get("ANOBENCH_DATA", "").split(os.pathsep)[0]
    if not given:
        pytest.skip("needs real data: set ANOBENCH_DATA")
    return Path(given)
