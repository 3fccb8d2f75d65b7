"""The gate against another revision: its suite run now, and on request both sides timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.plan import Plan
from bench.report.compare.gate import Gate, gate
from bench.report.compare.sides import Side, read_baseline
from bench.run.interleaved import interleaved, untimed
from bench.run.revision import base_results, given_options
from bench.run.timer import TimingError
from bench.suite.registry import Registry


def gate_at_revision(
    revision: str,
    suite: str,
    head: Side,
    plan: Plan,
    registry: Registry,
    *,
    folders: Sequence[Path] = (),
    margin: float,
    alpha: float,
    tasks: bool,
    slower: float | None,
    device: str = "auto",
    keep: Path | None = None,
    say: Callable[[str], None],
    show: Callable[[str], object],
) -> tuple[Gate, Side]:
    """Compare a suite's results with those of another revision of the code, which runs it first.

    Parameters
    ----------
    revision : str
    suite : str
        A name or a file.
    head : Side
    plan : Plan
        Of the head.
    registry : Registry
    folders : sequence of Path
        Bench folders that were given.
    margin, alpha, tasks, slower
        As for `bench.report.compare.gate.gate`.
    device, keep, say, show
        As for `bench.run.revision.base_results`.

    Returns
    -------
    Gate
        Where a side cannot be timed, no speed is told, and says why.
    Side
        The base.

    Raises
    ------
    AnobenchError
        No checkout, no such revision, or the base cannot run the suite.
    """
    options = given_options(plan.suite_text)
    with base_results(
        revision,
        suite,
        registry,
        folders=folders,
        options=options,
        device=device,
        keep=keep,
        say=say,
        show=show,
    ) as (results, base, code):
        baseline = replace(read_baseline(str(results), plan.suite), name=revision)
        found = gate(baseline, head, margin=margin, alpha=alpha, tasks=tasks)
        if slower is None:
            return found, baseline
        try:
            speed, timing = interleaved(
                base,
                code,
                (baseline, head),
                options=options,
                device=device,
                slower=slower,
                alpha=alpha,
                say=say,
            )
        except TimingError as error:
            say(f"not timed: {error}")
            speed, timing = untimed(baseline, head, str(error)), ""
        return replace(found, speed=speed, timing=timing), baseline
