"""Exclusive timing: a cell runs alone, several times after a warm-up; its record has the median times."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from bench.core.cell import Timing
from bench.run.reference import reference_seconds

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.run.evaluation import Result
    from bench.run.runner import Runner

#: Timed runs of a cell after its warm-up.
REPEATS = 3
#: A cell that takes longer needs no warm-up: it runs once (seconds).
LONG = 60.0
#: Flags of records: how their times were taken. Without a flag: alone, once.
PACKED = "timed beside other cells"
ALONE = "timed alone: the median of {} runs after a warm-up"


def timed(runner: Runner, cell: Cell, repeats: int = REPEATS) -> Result:
    """Run a cell for its result, which warms up, then `repeats` times for its seconds.

    The record is the first run's, which got the features; its seconds to fit and to score are medians, and so
    are those of the reference workload, which runs before each.
    """
    record, scores = runner.run(cell)
    if record.timing is None or record.timing.wall > LONG:
        return record, scores
    times, wanted, runner.calibration = [], runner.calibration, None
    references = []
    try:
        for _ in range(repeats):
            references.append(reference_seconds(runner.device, runner.provider.seconds))
            runner.forget()
            again = runner.run(cell)[0].timing
            if again is not None:
                times.append(again)
    finally:
        runner.calibration = wanted
    if len(times) < repeats:
        return record, scores
    fit, score = median(each.fit for each in times), median(each.score for each in times)
    timing: Timing = replace(record.timing, fit=fit, score=score, reference=median(references))
    return replace(record, timing=timing, flags=(*record.flags, ALONE.format(repeats))), scores
