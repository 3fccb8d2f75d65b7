"""Hints at mistakes that give a number: scores with the wrong sign."""

from __future__ import annotations

from bench.report.board import Board
from bench.report.numbers import count, mean, points

#: How far below 0.5 an AUROC must lie, and how many of its standard deviations under chance.
FAR, DEVIATIONS = 0.1, 2.0


def flipped(board: Board) -> list[str]:
    """Return a sentence on each method whose AUROC lies far below 0.5 on most of its tasks.

    Chance alone has the variance (n + m + 1) / (12 n m) with n normal and m anomalous test images (Mann and
    Whitney), so that small test sets do not count as far. Controls are left out.
    """
    rate = min(board.rates)
    found = []
    for row, of in enumerate(board.plan.rows):
        tasks = [] if of.setting == "control" else [_task(board, row, each, rate) for each in board.columns]
        held = [task for task in tasks if task is not None]
        far = [value for value, is_far in held if is_far]
        if far and 2 * len(far) > len(held):
            found.append(
                f"{of.label}: the AUROC is far below 50 on {len(far)} of {count(len(held), 'task')} (mean "
                f"{points(mean(value for value, _ in held))}). Scores must be higher for more anomalous "
                "images: is their sign flipped?"
            )
    return found


def _task(board: Board, row: int, column: int, rate: float) -> tuple[float, bool] | None:
    """Return the AUROC on a task and whether it is far below 0.5; None where there is none."""
    group = board.group(row, column, rate)
    value, first = group.mean("auroc"), next((each for each in group.records if each is not None), None)
    if value is None or first is None:
        return None
    anomalous = first.counts.get("test_anomalous", 0)
    normal = first.counts.get("test", 0) - anomalous
    if min(normal, anomalous) < 1:
        return value, False
    chance = ((normal + anomalous + 1) / (12 * normal * anomalous)) ** 0.5
    return value, value < 0.5 - max(FAR, DEVIATIONS * chance)
