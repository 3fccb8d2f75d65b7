"""What moved between two sides: each method's mean over its tasks, and each task.

Half of the level goes to the means (Holm over them), half to single tasks (Holm over them), so that a loss on
one of many tasks is found too; all of it to the means where no method has several tasks. What did not change
at all is not tested, and with too few seeds nothing can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.report.compare.change import Change, ChangeState
from bench.report.compare.images import PairedImages
from bench.report.compare.method import compare_method
from bench.report.compare.paired import PairedTask, finished, held
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.stats.multiple import holm

Verdict = Literal["worse", "better", "untold", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """All that two sides have in common, and what only one of them has.

    Attributes
    ----------
    metric : str
    lower_is_better : bool
    alpha : float
        Level of all tests together.
    tolerance : float
        Share of 1: without test images in the test a smaller difference does not count.
    changes : tuple of Change
        Of single tasks.
    means : tuple of Change
        Of methods that have several tasks on both sides.
    only_before, only_after : tuple of ResultKey
        Tasks of methods that have a result on one side, and on the other neither that nor a failure.
    """

    metric: str
    lower_is_better: bool
    alpha: float
    tolerance: float
    changes: tuple[Change, ...]
    means: tuple[Change, ...] = ()
    only_before: tuple[ResultKey, ...]
    only_after: tuple[ResultKey, ...]

    @property
    def methods(self) -> tuple[Change, ...]:
        """One change for each method and rate: of its mean, or of its only task."""
        several = {each.place for each in self.means}
        alone = (each for each in self.changes if each.place.of_method not in several)
        return (*self.means, *(each for each in alone if each.before is not None))

    def verdict(self, change: Change) -> Verdict:
        """Return whether a change is real, or that this cannot be told for want of seeds."""
        if change.state in ("failed", "mended"):
            return "worse" if change.state == "failed" else "better"
        if change.needed:
            return "untold"
        real = change.state == "moved" and (change.p is None or change.p < self.alpha)
        if change.p is None or change.why:
            real &= abs(change.difference) > self.tolerance
        if not real:
            return ""
        return "worse" if (change.difference < 0) != self.lower_is_better else "better"

    @property
    def exit_status(self) -> int:
        """Return 0 if nothing got worse or is gone, 1 if something did, 3 where nothing was compared."""
        if not any(change.state != "holes" for change in self.changes):
            return 3
        worse = any(self.verdict(change) == "worse" for change in (*self.means, *self.changes))
        return int(worse or bool(self.only_before))


def diff(
    before: Side, after: Side, *, metric: str = "auroc", alpha: float = 0.05, tolerance: float = 0.005
) -> Diff:
    """Compare two sides, method by method and task by task.

    Parameters
    ----------
    before, after : Side
        With one suite each they compare whatever its name; else suites go by their names.
    metric : str
        Of others than AUROC the test images are taken as given.
    alpha : float
        Level of the tests together.
    tolerance : float
        Share of 1; for what cannot be tested over test images.
    """
    if len(before.suites) == len(after.suites) == 1:
        before, after = before.without_suite(), after.without_suite()
    changes: dict[ResultKey, Change] = {}
    methods: dict[ResultKey, list[PairedTask]] = {}
    for place in sorted(before.cells.keys() & after.cells.keys()):
        old, new = before.cells[place], after.cells[place]
        changes[place] = standing(place, old, new)
        found = held(place, metric, old, new, changes[place].changed)
        if found is not None and changes[place].state == "holes":
            methods.setdefault(place.of_method, []).append(found)
    images = PairedImages(before.archive, after.archive, metric)
    compared = [compare_method(tasks, images) for tasks in methods.values()]
    means, singles = _adjusted(
        [each if each is not None else tasks[0] for each, tasks in compared],
        [task for each, tasks in compared if each is not None for task in tasks],
    )
    changes |= {each.place: each for each in (*means, *singles) if not each.tasks}
    gone, new_ones = (_only(*sides, metric) for sides in ((before, after), (after, before)))
    return Diff(
        metric=metric,
        lower_is_better=metric == "fpr95",
        alpha=alpha,
        tolerance=tolerance,
        changes=tuple(changes.values()),
        means=tuple(each for each in means if each.tasks),
        only_before=gone,
        only_after=new_ones,
    )


def standing(place: ResultKey, old: dict[str, Measured], new: dict[str, Measured]) -> Change:
    """Return whether a task's cells fail now, or no longer; else that there is nothing to compare so far."""
    pairs = [(old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())]
    state: ChangeState = "holes"
    if _fails(pairs, old, new):
        state = "failed"
    elif _fails([(b, a) for a, b in pairs], new, old):
        state = "mended"
    return Change(place=place, state=state, changed=_changed(pairs))


def _fails(
    pairs: Sequence[tuple[Measured, Measured]], old: dict[str, Measured], new: dict[str, Measured]
) -> bool:
    """Return whether a cell was finished and now fails, or some were and none is, whatever their seeds."""
    seen = [{each.status for each in side.values()} for side in (old, new)]
    whole = "ok" in seen[0] and "failed" in seen[1] and "ok" not in seen[1]
    return whole or any(a.status == "ok" and b.status == "failed" for a, b in pairs)


def _adjusted(means: Sequence[Change], singles: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Return changes with Holm's adjustment within each family, and doubled where there are two."""
    both = all(any(each.p is not None for each in family) for family in (means, singles))
    found = []
    for family in (means, singles):
        adjusted = holm([float("nan") if each.p is None else each.p for each in family])
        found.append(
            [
                each if each.p is None else replace(each, p=min(1.0, float(p) * (2 if both else 1)))
                for each, p in zip(family, adjusted, strict=True)
            ]
        )
    return found[0], found[1]


def _only(first: Side, second: Side, metric: str) -> tuple[ResultKey, ...]:
    """Return where the first side has a result, and the second neither that nor a failure."""
    nothing: dict[str, Measured] = {}
    return tuple(
        place
        for place in sorted(first.cells)
        if finished(first.cells[place], metric)
        and not finished(second.cells.get(place, nothing), metric)
        and all(each.status != "failed" for each in second.cells.get(place, nothing).values())
    )


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
