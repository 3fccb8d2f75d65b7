"""No input ends in an exception that is not ours, in a hang, or in a file outside its folder.

``ANOBENCH_FUZZ`` is the number of inputs, 2,000 by default; ``tox -e fuzz`` gives 100,000.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bench.core.errors import AnobenchError
from tests.fuzz.parsers import PARSERS

INPUTS = int(os.environ.get("ANOBENCH_FUZZ", "2000"))
#: A reader that takes so long hangs (seconds).
HANG = 60
TOTAL = sum(parser.weight for parser in PARSERS.values())


@contextmanager
def no_hang() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise RuntimeError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", PARSERS)
def test_good_input_is_read(name: str, tmp_path: Path) -> None:
    PARSERS[name].read(PARSERS[name].good, tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_spoilt_input_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    parser, folder = PARSERS[name], tmp_path / "a" / "b"
    around = tmp_path / "a"
    number = max(10, round(INPUTS * parser.weight / TOTAL))

    @seed(int(os.environ.get("ANOBENCH_FUZZ_SEED", "0")))
    @settings(max_examples=number, database=None, derandomize=False, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**64 - 1))
    def spoil(which: int) -> None:
        folder.mkdir(parents=True)
        try:
            with no_hang():
                parser.read(parser.spoilt(random.Random(which)), folder)
        except AnobenchError as error:
            said.append(len(str(error)))
        finally:
            shutil.rmtree(folder)
        assert not list(around.iterdir()), "something was written outside"

    around.mkdir()
    said: list[int] = []
    spoil()
    assert 0 < min(said, default=1) <= max(said, default=1) < 20_000, "a line, not a file"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
