"""How a run is asked to end: the first signal, a second one, the budget."""

from __future__ import annotations

import signal

import pytest

from bench.run.ending import Ending
from bench.train import checkpoint


@pytest.mark.parametrize(
    ("signals", "why", "stops"),
    [
        ([signal.SIGINT], "interrupted", 0),
        ([signal.SIGINT, signal.SIGINT], "interrupted", 1),
        ([signal.SIGTERM], "terminated", 0),
        ([signal.SIGTERM, signal.SIGTERM], "terminated", 0),
        ([signal.SIGTERM, signal.SIGINT], "terminated", 1),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], "terminated", 2),
    ],
)
def test_the_first_signal_asks_and_ctrl_c_again_stops(signals: list[int], why: str, stops: int) -> None:
    said: list[str] = []
    stopped: list[bool] = []
    with Ending(None, said.append) as ending:
        ending.at_once = lambda: stopped.append(True)
        for number in signals:
            signal.raise_signal(number)
        assert ending.why == why
        assert ending.now == (stops > 0)
        assert checkpoint.stop_asked()
    assert said == [why]
    assert len(stopped) == stops
    assert not checkpoint.stop_asked()


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Ending():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
