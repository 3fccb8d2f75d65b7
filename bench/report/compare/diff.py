"""What moved between two sides: by task, with DeLong's paired test where both have their scores.

Seeds are averaged: the placements of a method's seeds on one test set are averaged before the test, so that
seeds never count as n. Where the draws of anomalies gave the seeds different test sets, the differences are
averaged with the mean of their standard errors, which is at least that of their mean. All tests of one
comparison share Holm's adjustment; what did not change at all is not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import norm

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.report.numbers import mean
from bench.stats.delong import Placements, delong_pairs, placements
from bench.stats.multiple import holm

ChangeState = Literal["same", "moved", "failed", "mended", "holes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One place on both sides.

    Attributes
    ----------
    place : ResultKey
    state : {"same", "moved", "failed", "mended", "holes"}
        The metric is the same to the last digit; another one; cells that were finished have failed; failed
        ones have finished; nothing to compare.
    before, after : float or None
        Means over the seeds that both sides have.
    se, p : float or None
        DeLong's standard error of the difference and Holm's adjusted p value; None where nothing was tested.
    why : str
        Why it was not tested.
    changed : tuple of str
        What differs in the cells' keys: ``method's code``, ``data``, …
    """

    place: ResultKey
    state: ChangeState
    before: float | None = None
    after: float | None = None
    se: float | None = None
    p: float | None = None
    why: str = ""
    changed: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        return 0.0 if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """All that two sides have in common, and what only one of them has.

    Attributes
    ----------
    metric : str
    lower_is_better : bool
    alpha : float
        Level of the tests.
    tolerance : float
        Share of 1: what was not tested has moved if it moved by more.
    changes : tuple of Change
    only_before, only_after : tuple of ResultKey
    """

    metric: str
    lower_is_better: bool
    alpha: float
    tolerance: float
    changes: tuple[Change, ...]
    only_before: tuple[ResultKey, ...]
    only_after: tuple[ResultKey, ...]

    def verdict(self, change: Change) -> Literal["worse", "better", ""]:
        """Return whether a change is real: significant, or, where nothing was tested, above the tolerance."""
        if change.state in ("failed", "mended"):
            return "worse" if change.state == "failed" else "better"
        if change.state != "moved":
            return ""
        real = change.p < self.alpha if change.p is not None else abs(change.difference) > self.tolerance
        if not real:
            return ""
        return "worse" if (change.difference < 0) != self.lower_is_better else "better"

    @property
    def exit_status(self) -> int:
        """Return 0 where nothing got worse, 1 where something did, 3 where there was nothing to compare."""
        if not any(change.state != "holes" for change in self.changes):
            return 3
        return int(any(self.verdict(change) == "worse" for change in self.changes))


def diff(
    before: Side, after: Side, *, metric: str = "auroc", alpha: float = 0.05, tolerance: float = 0.005
) -> Diff:
    """Compare two sides place by place.

    Parameters
    ----------
    before, after : Side
        With one suite each they compare whatever its name; else suites go by their names.
    metric : str
        Only AUROC is tested.
    alpha : float
        Level of the tests.
    tolerance : float
        Share of 1; for what cannot be tested.
    """
    if len(before.suites) == len(after.suites) == 1:
        before, after = before.without_suite(), after.without_suite()
    both = [place for place in before.cells if place in after.cells]
    changes = [_change(place, before, after, metric) for place in sorted(both)]
    tested = [at for at, change in enumerate(changes) if change.p is not None]
    for at, p in zip(tested, holm([changes[at].p or 0.0 for at in tested]), strict=True):
        changes[at] = replace(changes[at], p=float(p))
    return Diff(
        metric=metric,
        lower_is_better=metric == "fpr95",
        alpha=alpha,
        tolerance=tolerance,
        changes=tuple(changes),
        only_before=tuple(sorted(set(before.cells) - set(after.cells))),
        only_after=tuple(sorted(set(after.cells) - set(before.cells))),
    )


def _change(place: ResultKey, before: Side, after: Side, metric: str) -> Change:
    old, new = before.cells[place], after.cells[place]
    seeds = sorted(set(old) & set(new))
    pairs = [(old[seed], new[seed]) for seed in seeds]
    changed = _changed(pairs)
    if any(a.status == "ok" and b.status == "failed" for a, b in pairs):
        return Change(place=place, state="failed", changed=changed)
    if any(a.status == "failed" and b.status == "ok" for a, b in pairs):
        return Change(place=place, state="mended", changed=changed)
    held = [(a, b) for a, b in pairs if metric in a.metrics and metric in b.metrics]
    if not held:
        return Change(place=place, state="holes", changed=changed)
    if any(a.metrics[metric] != b.metrics[metric] for a, b in held):
        state: ChangeState = "moved"
    else:
        state = "same"
    found = Change(
        place=place,
        state=state,
        before=mean(a.metrics[metric] for a, _ in held),
        after=mean(b.metrics[metric] for _, b in held),
        changed=changed,
    )
    if state == "same":
        return found
    if metric != "auroc":
        return replace(found, why=f"there is no test of {metric}")
    return _tested(found, held, before.archive, after.archive)


def _tested(
    change: Change, held: Sequence[tuple[Measured, Measured]], first: Archive | None, second: Archive | None
) -> Change:
    """Return the change with its standard error and unadjusted p value, or why there are none."""
    records = [(a.record, b.record) for a, b in held if a.record is not None and b.record is not None]
    if first is None or second is None or len(records) < len(held):
        return replace(change, why="no scores: at least one side is a CSV")
    if any(not a.truth or not b.truth for a, b in records):
        return replace(change, why="no labels were kept with the scores")
    if any(a.truth != b.truth for a, b in records):
        return replace(change, why="the test sets differ")
    try:
        if len({a.truth for a, _ in records}) == 1:
            every = [_placements(first, a) for a, _ in records], [_placements(second, b) for _, b in records]
            tests = [_test(_averaged(every[0]), _averaged(every[1]))]
        else:
            tests = [_test(_placements(first, a), _placements(second, b)) for a, b in records]
    except (ArchiveError, ValueError) as error:
        return replace(change, why=str(error))
    if any(np.isnan(each) for _, each in tests):
        return replace(change, why="fewer than two images of a class")
    se = mean(each for _, each in tests)
    difference = mean(each for each, _ in tests)
    z = abs(difference) / se if se > 0 else np.inf if difference else 0.0
    return replace(change, se=se, p=float(2 * norm.sf(z)))


def _placements(archive: Archive, record: Record) -> Placements:
    return placements(archive.truth(record).labels, archive.scores(record))


def _averaged(held: Sequence[Placements]) -> Placements:
    """Return the placements of the mean AUROC of several seeds on one test set."""
    return Placements(
        np.mean([each.anomalous for each in held], axis=0), np.mean([each.normal for each in held], axis=0)
    )


def _test(first: Placements, second: Placements) -> tuple[float, float]:
    """Return the difference of two AUROCs on the same images, and its standard error."""
    both = Placements(
        np.concatenate([first.anomalous, second.anomalous]), np.concatenate([first.normal, second.normal])
    )
    pairs = delong_pairs(both)
    return float(pairs.difference[1, 0]), float(pairs.se[1, 0])


def _changed(pairs: Sequence[tuple[Measured, Measured]]) -> tuple[str, ...]:
    """Return what differs in the keys of cells that stand in the same place."""
    found: dict[str, None] = {}
    for a, b in pairs:
        if a.record is None or b.record is None or a.record.cell.key == b.record.cell.key:
            continue
        old, new = a.record.cell, b.record.cell
        codes = dict(old.code), dict(new.code)
        found |= {
            f"{of}'s code": None for of in ("method", "dataset") if codes[0].get(of) != codes[1].get(of)
        }
        for name, what in (
            ("data_fingerprint", "data"),
            ("backbone_identity", "backbone"),
            ("contamination", "contamination"),
            ("protocol", "protocol version"),
        ):
            if getattr(old, name) != getattr(new, name):
                found[what] = None
    return tuple(found)
