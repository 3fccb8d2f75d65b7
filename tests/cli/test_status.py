"""`anobench status`, and the options of a run that are more than a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.run import seconds_of
from bench.core.errors import AnobenchError
from bench.run.executors.choose import Options, pick_devices
from bench.run.progress import Snapshot
from tests.cli.conftest import Invoke


def test_status_says_what_is_there_and_what_is_missing(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness", "crashes"]\n')
    assert anobench("status", "trial").code == 2, "it was never run"
    ended = anobench("run", path, "--bench", toy, "--max-failures", 1)
    assert "too many failures" in ended.err
    assert "cells are kept" in ended.err
    killed = here / "results" / "records" / "status" / "trial-0.json"
    killed.write_text(Snapshot(suite="trial", driver="0" * 32).to_json())
    ended = anobench("status", "trial")
    assert ended.code == 3
    assert "1 failed" in ended.out
    assert "nothing is running" in ended.out
    assert "1 runs of it were killed" in ended.out
    assert anobench("run", path, "--bench", toy).code == 1
    ended = anobench("status", "trial")
    assert ended.code == 1
    assert "2 of 4 cells are done, 2 failed, 0 not run yet" in ended.out


def test_a_spent_budget_ends_a_run_that_goes_on_later(
    toy: Path, suite: Callable[..., Path], anobench: Invoke
) -> None:
    # The first cell outlasts the budget; by then no other may begin.
    (toy / "methods" / "lasts.py").write_text(
        "import threading\nfrom bench import Method, Scores\nfrom bench.train.checkpoint import stop_asked\n"
        "class Lasts(Method):\n    def fit(self, train):\n"
        "        while not stop_asked():\n            threading.Event().wait(0.01)\n"
        "    def score(self, test):\n        return Scores([0.0] * len(test))\n"
    )
    path = suite('datasets = ["toy"]\nmethods = ["lasts"]\n')
    ended = anobench("run", path, "--bench", toy, "--budget", "3s", "--executor", "inline")
    assert "the budget is spent" in ended.err
    assert "1 of 2 cells are kept" in ended.err
    assert ended.code == 3


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20min", 1200), ("2h", 7200), ("1.5d", 129600)])
def test_a_budget_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(None) is None


@pytest.mark.parametrize("text", ["", "2", "h", "2 weeks", "-1h", "nan s", "infh"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(AnobenchError, match="expected a number with a unit"):
        seconds_of(text)


def test_an_unknown_executor_or_device_is_refused(
    toy: Path, suite: Callable[..., Path], anobench: Invoke
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness"]\n')
    ended = anobench("run", path, "--bench", toy, "--executor", "magic")
    assert ended.code == 2
    assert "expected one of auto, inline, pool" in ended.err
    with pytest.raises(AnobenchError, match="expected auto, cpu, cuda or cuda:N"):
        pick_devices(Options(device="tpu"))
    with pytest.raises(AnobenchError, match="torch finds"):
        pick_devices(Options(device="cuda:99"))
