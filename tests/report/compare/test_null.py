"""``anobench diff`` of a method with itself under other random numbers, and with a worse one, simulated."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.compare.diff import Diff, diff
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.stats.placements import placements
from docs.simulation.benchmarks import Design, InMemory, Simulated
from tests.factory import make_record

TIMES = 40


def diffs(
    *, tasks: int, seeds: int, sd: float, loss: float = 0.0, times: int = TIMES, shared: bool = False
) -> list[Diff]:
    """Return comparisons of two runs with the same test images and other random numbers."""
    images = (0, 60 // tasks) if shared else (20, 40)
    simulated = Simulated(Design(1, tasks, 2 * seeds, sd, 0.85, *images, shared=shared))
    rng = np.random.default_rng(15)
    return [diff(*sides(simulated, seeds, loss, rng)) for _ in range(times)]


def sides(simulated: Simulated, seeds: int, loss: float, rng: np.random.Generator) -> tuple[Side, Side]:
    """Return the first half of the seeds as one run, and the second as another one with the same seeds."""
    design, labels, entries = simulated.design, simulated.labels, simulated.plan.entries
    scores = simulated.scores(rng)
    scores[:, :, seeds:] -= loss * labels[:, None]
    aurocs = [placements(labels[task], runs).auroc for method in scores for task, runs in enumerate(method)]
    flat, truths = scores.reshape(len(entries), -1), list(simulated.truths)
    archive = InMemory(
        {entry.cell.key: each for entry, each in zip(entries, flat, strict=True)}, simulated.truths
    )
    before: dict[ResultKey, dict[str, Measured]] = {}
    after: dict[ResultKey, dict[str, Measured]] = {}
    for entry, auroc in zip(entries, np.concatenate(aurocs), strict=True):
        place = ResultKey("", entry.cell.dataset, entry.cell.task, entry.cell.method, "", "", "0.0")
        record = make_record(entry.cell, truth=truths[entry.column])
        measured = Measured("ok", {"auroc": float(auroc)}, record, random=True)
        seed = entry.cell.seed or 0
        of = after if seed >= seeds else before
        of.setdefault(place, {})[str(seed % seeds)] = measured
    assert len(before) == design.methods * design.tasks
    return Side("a", before, archive), Side("b", after, archive)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tasks", "seeds", "sd", "shared"),
    [(6, 2, 0.05, False), (3, 3, 0.05, True), (1, 5, 0.05, False), (6, 2, 0.013, True)],
)
def test_a_method_is_seldom_worse_than_itself(tasks: int, seeds: int, sd: float, shared: bool) -> None:
    found = diffs(tasks=tasks, seeds=seeds, sd=sd, shared=shared)
    assert sum(each.exit_status for each in found) <= 2
    assert not any(each.needed for one in found for each in one.methods)


def test_without_the_variance_over_seeds_it_would_often_be() -> None:
    """What a test over images alone finds between two single seeds: why nothing is said there."""
    found = diffs(tasks=1, seeds=1, sd=0.05)
    assert [each.exit_status for each in found] == [0] * TIMES
    assert all(each.methods[0].needed == 5 for each in found)
    naive = [abs(each.methods[0].difference) > 0.1 for each in found]
    assert sum(naive) > 2


@pytest.mark.parametrize(("tasks", "seeds"), [(6, 2), (1, 5)])
def test_a_loss_is_found(tasks: int, seeds: int) -> None:
    found = diffs(tasks=tasks, seeds=seeds, sd=0.013, loss=1.5, times=10)
    assert [each.exit_status for each in found] == [1] * 10
