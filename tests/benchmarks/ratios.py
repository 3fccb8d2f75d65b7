"""Saved ratios of the engine's hot paths, each over a reference of the same kind timed in the same run.

Ratios are saved, never seconds: those of another machine, or of a busy one, say nothing. Even ratios differ
by up to a half from processor to processor, so that each kind has its own. One run of pytest is one sample
(processes of the same code differ, by where their memory lies), and a new one is too slow if it lies above
what the saved samples let expect.
"""

from __future__ import annotations

import functools
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import t

SAVED = Path(__file__).with_name("ratios.json")
#: Samples that are kept of a path, and the fewest from which anything is compared.
KEPT, FEWEST = 9, 5
#: How often a path that is as fast as before may lie above its limit at first, and the least slow-down (of 1)
#: that does.
ALPHA, LEAST = 0.005, 0.10
#: A path is measured in so many rounds; where it seems slow so many times more, and the least counts.
ROUNDS, AGAIN = 25, 2


def limit(samples: list[float]) -> float:
    """Return the largest ratio that samples let expect of one more: by Student's t, on the logarithms."""
    logs = [math.log(each) for each in samples]
    n = len(logs)
    reach = float(t.ppf(1 - ALPHA, n - 1)) * statistics.stdev(logs) * math.sqrt(1 + 1 / n)
    return math.exp(statistics.fmean(logs) + max(reach, math.log1p(LEAST)))


@functools.cache
def processor() -> str:
    """Return this machine's kind of processor: maker, family and model where Linux says them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = [said[key] for key in ("vendor_id", "cpu family", "model") if key in said]
    return " ".join(named) or platform.processor() or platform.machine()


def saved() -> dict[str, list[float]]:
    """Return the samples of each path on this kind of processor."""
    return dict(_of_all().get(processor(), {}))


def _of_all() -> dict[str, dict[str, list[float]]]:
    return dict(json.loads(SAVED.read_text())) if SAVED.exists() else {}


def save(name: str, ratio: float) -> None:
    """Add a sample of a path; the oldest leave."""
    every = _of_all()
    own = every.setdefault(processor(), {})
    own[name] = [*own.get(name, []), round(ratio, 4)][-KEPT:]
    parts = []
    for kind, paths in sorted(every.items()):
        lines = [f"    {json.dumps(each)}: {json.dumps(paths[each])}" for each in sorted(paths)]
        parts.append(f"  {json.dumps(kind)}: {{\n" + ",\n".join(lines) + "\n  }")
    SAVED.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def hold(name: str, ratio: float, samples: list[float], again: Callable[[], float]) -> None:
    """Fail if a path is slower than its samples let expect, however often it is measured again."""
    if not samples:
        pytest.skip(
            f"{name}: no ratios are saved on this processor ({processor()}); "
            f"tox -e bench -- --save-ratios, {FEWEST} times"
        )
    if len(samples) < FEWEST:
        pytest.fail(
            f"{name}: {len(samples)} saved ratios of {FEWEST}; tox -e bench -- --save-ratios adds one"
        )
    most, usual = limit(samples), statistics.median(samples)
    for _ in range(AGAIN):
        if ratio > most:
            ratio = min(ratio, again())
    if ratio > most:
        pytest.fail(
            f"{name} got slower: {ratio:.3f} times its reference; {usual:.3f} was usual, and up to "
            f"{most:.3f} is noise. If that is meant, delete its line in {SAVED.name}, and run "
            f"tox -e bench -- --save-ratios {FEWEST} times"
        )


def least_of(path: Callable[[], object], reference: Callable[[], object]) -> float:
    """Return the least processor seconds of a path over those of its reference, run in turn."""
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for held, run in zip(taken, (path, reference), strict=True):
            started = time.process_time()
            run()
            held.append(time.process_time() - started)
    return min(taken[0]) / min(taken[1])


def timed_in_turn(benchmark: Any, path: Callable[[], object], reference: Callable[[], object]) -> float:
    """Return the same, of a benchmark; NaN where it is run as a test, without measuring."""
    taken: list[float] = []

    def before() -> None:
        started = time.process_time()
        reference()
        taken.append(time.process_time() - started)

    reference()
    benchmark._timer = time.process_time
    benchmark.pedantic(path, setup=before, rounds=ROUNDS, warmup_rounds=1)
    if not benchmark.stats:
        return math.nan
    return float(benchmark.stats.stats.min / min(taken))
