"""What decision thresholds from normal images do on the test sets, from archived scores alone."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.plan import Plan
from bench.metrics.image import f1_max
from bench.metrics.threshold import RULES, Decisions, Threshold, cross_ranks, decide, threshold
from bench.report.board import Board
from bench.report.numbers import mean
from bench.stats import Floats
from bench.stats.falsealarms import Calibrated, draws, resampled

#: The rate aimed at unless the suite says otherwise; and those that realised rates are held against.
RATE, RATES = 0.05, (0.01, 0.02, 0.05, 0.1, 0.2)
#: The rule that compares test images with each fold under the method of that fold.
CROSS = "cross-conformal"
#: Bootstrap replicates: the most, the least, and how many drawn images they may come to.
REPLICATES, LEAST_REPLICATES, MOST_DRAWN = 2000, 200, 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A cell with calibration scores.

    Attributes
    ----------
    column : int
        Its task, on the board.
    record : Record
    labels, scores : ndarray, shape (n,)
        Of the test images.
    calibration : ndarray, shape (m,)
    ranks : ndarray, shape (n,), or None
        Of the test images among the calibration scores (`bench.metrics.threshold.cross_ranks`).
    """

    column: int
    record: Record
    labels: Floats
    scores: Floats
    calibration: Floats
    ranks: Floats | None = None

    def crossed(self) -> Scored:
        """Return the cell as the cross-conformal rule sees it: the conformal rule on the ranks.

        An image of rank k or more is above the k-th lowest of the calibration scores 0.5, 1.5, …
        """
        assert self.ranks is not None
        lower: Floats = np.arange(len(self.calibration), dtype=np.float64) + 0.5
        return replace(self, scores=self.ranks, calibration=lower)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one rule does for one method: means over seeds, then over tasks; false alarms are pooled.

    Attributes
    ----------
    alarms, good : float
        Over all tasks, mean over seeds.
    recall, f1, regret : float
        Shares of 1; `regret` is what F1 lacks to the best threshold on the same test scores.
    f1_interval, regret_interval : tuple of float
        95 %, over test images.
    f1_at : tuple of float
        F1 if one image in ten, or in a hundred, were anomalous.
    fallbacks : int
        Tasks whose calibration scores were too few, so that another rule took its place.
    """

    alarms: float
    good: float
    recall: float
    f1: float
    regret: float
    f1_interval: tuple[float, float]
    regret_interval: tuple[float, float]
    f1_at: tuple[float, float]
    fallbacks: int


def aimed_at(plan: Plan) -> float:
    """Return the rate of false alarms that the suite's ``[thresholds]`` aims at."""
    try:
        table = tomllib.loads(plan.suite_text).get("thresholds", {})
        rate = float(table.get("rate", RATE))
    except (ValueError, TypeError, AttributeError):
        return RATE
    return rate if 0 < rate < 1 else RATE


def calibrated_cells(board: Board, archive: Archive, row: int, rate: float) -> list[Scored]:
    """Return a row's cells at a rate if all of them have calibration scores, else nothing.

    Raises
    ------
    ArchiveError
        Scores are not there or cannot be read.
    """
    found = []
    for _, column, _, group in board.groups(row=row, rate=rate):
        for record in group.records:
            if record is None or record.status != "ok" or not record.counts.get("calibration"):
                return []
            beside = archive.beside(record)
            calibration = beside.get("calibration")
            labels = archive.truth(record).labels.astype(np.float64)
            if calibration is None or len(np.unique(labels)) < 2 or not np.isfinite(calibration).all():
                return []
            scores = archive.scores(record).astype(np.float64)
            ranks = None
            if (tested := beside.get("calibration_test")) is not None:
                ranks = cross_ranks(calibration, beside["calibration_fold"], tested.reshape(-1, len(labels)))
            found.append(Scored(column, record, labels, scores, calibration.astype(np.float64), ranks))
    return found


def rules_of(cells: Sequence[Scored]) -> tuple[str, ...]:
    """Return the rules that can be applied to all of some cells."""
    return (*RULES, CROSS, "oracle") if all(cell.ranks is not None for cell in cells) else (*RULES, "oracle")


def _as_ruled(cell: Scored, rule: str) -> tuple[Scored, str]:
    """Return the cell and the rule of its scores that stand for a rule."""
    return (cell.crossed(), "conformal") if rule == CROSS else (cell, rule)


def judged(cells: Sequence[Scored], rule: str, rate: float) -> Judged:
    """Return what a rule of `rules_of` does for the cells of one method."""
    ruled = [_as_ruled(each, rule) for each in cells]
    held = [(each, of_rule(each, name, rate)) for each, name in ruled]
    decisions = [(each, decide(each.labels, each.scores, found.value)) for each, found in held]
    spread_f1, spread_regret = _bootstrapped(held)
    return Judged(
        alarms=_total(decisions, lambda found: found.alarms),
        good=_total(decisions, lambda found: found.good),
        recall=_over_tasks([(each.column, found.recall) for each, found in decisions]),
        f1=_over_tasks([(each.column, found.f1) for each, found in decisions]),
        regret=_over_tasks(
            [(each.column, f1_max(each.labels, each.scores) - found.f1) for each, found in decisions]
        ),
        f1_interval=_interval(spread_f1),
        regret_interval=_interval(spread_regret),
        f1_at=(
            _over_tasks([(each.column, found.f1_at(0.1)) for each, found in decisions]),
            _over_tasks([(each.column, found.f1_at(0.01)) for each, found in decisions]),
        ),
        fallbacks=len({each.column for each, found in held if found.fallback}),
    )


def of_rule(cell: Scored, rule: str, rate: float) -> Threshold:
    """Return a cell's threshold by a rule of `RULES`, or ``"oracle"``: the best F1 on the test set."""
    if rule != "oracle":
        return threshold(rule, cell.calibration, rate)
    distinct = np.unique(cell.scores)
    below = np.concatenate(([-math.inf], distinct[:-1]))  # an alarm is above the threshold
    values = [decide(cell.labels, cell.scores, value).f1 for value in below] if len(below) < 2000 else []
    at = int(np.argmax(values)) if values else _best(cell, distinct)
    return Threshold(float(below[at]), 0)


def _best(cell: Scored, distinct: Floats) -> int:
    """Return which of many distinct scores is the lowest alarm of the best F1."""
    place = np.searchsorted(distinct, cell.scores)
    positive = np.bincount(place, weights=cell.labels, minlength=len(distinct))[::-1].cumsum()[::-1]
    every = np.bincount(place, minlength=len(distinct))[::-1].cumsum()[::-1]
    return int(np.argmax(2 * positive / (every + cell.labels.sum())))


def realised(cells: Sequence[Scored], rate: float) -> list[Calibrated]:
    """Return the false alarms of the conformal rule on each task, of its first seed."""
    found: dict[int, Calibrated] = {}
    for cell in cells:
        if cell.column not in found:
            of = threshold("conformal", cell.calibration, rate)
            made = decide(cell.labels, cell.scores, of.value)
            found[cell.column] = Calibrated(made.alarms, made.good, of.n, of.rank)
    return list(found.values())


def always(cells: Sequence[Scored]) -> float:
    """Return the F1 of calling every image anomalous, mean over tasks."""
    shares = [(each.column, float(each.labels.mean())) for each in cells]
    return _over_tasks([(column, 2 * share / (1 + share)) for column, share in shares])


def decision_rows(board: Board, archive: Archive) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield for each cell and rule its key, and the threshold, where it comes from, and what it does."""
    rate = aimed_at(board.plan)
    for at in board.rates:
        for row in range(len(board.plan.rows)):
            try:
                cells = calibrated_cells(board, archive, row, at)
            except ArchiveError:
                continue
            for plain in cells:
                for rule in rules_of(cells):
                    cell, name = _as_ruled(plain, rule)
                    found = of_rule(cell, name, rate)
                    made = decide(cell.labels, cell.scores, found.value)
                    line = {
                        "rule": rule,
                        "rate": rate,
                        "threshold": found.value,
                        "rank": found.rank,
                        "calibration": found.n,
                        "instead": found.fallback,
                        **made._asdict(),
                        "f1": made.f1,
                        "regret": f1_max(cell.labels, cell.scores) - made.f1,
                    }
                    yield cell.record.cell.key, line


def _over_tasks(values: Sequence[tuple[int, float]]) -> float:
    """Return the mean over tasks of the means over seeds."""
    of: dict[int, list[float]] = {}
    for column, value in values:
        of.setdefault(column, []).append(value)
    return mean(mean(held) for held in of.values())


def _total(decisions: Sequence[tuple[Scored, Decisions]], what: object) -> float:
    assert callable(what)
    of: dict[int, list[float]] = {}
    for each, found in decisions:
        of.setdefault(each.column, []).append(float(what(found)))
    return sum(mean(held) for held in of.values())


def _bootstrapped(held: Sequence[tuple[Scored, Threshold]]) -> tuple[Floats, Floats]:
    """Return F1 and regret of all cells in bootstrap replicates: means over seeds, then tasks."""
    n = sum(len(each.labels) for each, _ in held)
    replicates = max(LEAST_REPLICATES, min(REPLICATES, MOST_DRAWN // max(1, n)))
    by_task: dict[int, list[tuple[Floats, Floats]]] = {}
    for each, found in held:
        drawn = _drawn(each.labels.tobytes(), replicates, each.column)
        spread = resampled([each.labels], [each.scores], [found.value], [drawn])
        by_task.setdefault(each.column, []).append((spread.f1, spread.regret))
    means: list[Mapping[int, Floats]] = [
        {column: np.mean([pair[which] for pair in pairs], axis=0) for column, pairs in by_task.items()}
        for which in (0, 1)
    ]
    f1, regret = (np.mean(list(each.values()), axis=0) for each in means)
    return f1, regret


@cache
def _drawn(labels: bytes, replicates: int, seed: int) -> Floats:
    """Return draws that are the same for all rules and methods on a task."""
    return draws(np.frombuffer(labels), replicates=replicates, seed=seed)


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return low, high
