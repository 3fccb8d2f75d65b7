"""``anobench check``: is anything worse than a baseline, by more than a margin?

Compared are each method's mean over all data sets, over each data set, and each task. Every comparison has
two one-sided tests of its difference, over test images and seeds as `bench.report.compare.method` has them:

- *worse*: significantly below 0, and by more than the margin. Holm over all comparisons, so that if nothing
  changed any of them is found at most with probability alpha.
- *fine* (not inferior): significantly above minus the margin, or the same to the last digit. That all are
  fine is said only if each is, so that it needs no correction: if any is worse by the margin, it is said at
  most with probability alpha (an intersection-union test).

What is neither cannot be told. The gate fails closed: it is open only if everything was compared and is fine.

References
----------
Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtrit

from bench.report.compare.change import Change
from bench.report.compare.diff import standing
from bench.report.compare.images import PairedImages
from bench.report.compare.method import compare_method
from bench.report.compare.paired import PairedTask, finished, held
from bench.report.compare.sides import Measured, ResultKey, Side
from bench.report.compare.speed import BESIDE_REFERENCE, Speed, speeds
from bench.stats.multiple import ROPE, holm
from bench.stats.power import smallest_difference
from bench.stats.variance import Variance

METRIC = "auroc"
#: How often a gate may say what is not so.
ALPHA = 0.01
#: With this probability the smallest drop that is named would have been found.
POWER = 0.8
#: What makes results no longer comparable, as `Change.changed` names it.
OTHER = {
    "data": "other data",
    "protocol version": "another protocol version",
    "contamination": "other contamination",
}

Finding = Literal["fine", "worse", "untold"]
#: A method or its results are gone; failed; not there yet, or of other data; not in the baseline.
Absence = Literal["vanished", "failed", "missing", "new"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A task of a method, or its mean over tasks.

    Attributes
    ----------
    change : Change
        Differences are shares of 1; its data set is empty where the mean is over several.
    finding : {"fine", "worse", "untold"}
    p : float or None
        Of no drop, one-sided and Holm-adjusted; None where nothing was tested, as it is the same.
    at_most : float or None
        No larger drop is possible, with confidence 1 - alpha.
    visible : float or None
        The smallest drop that would have been found worse with probability `POWER`.
    why : str
        Why it cannot be told.
    """

    change: Change
    finding: Finding
    p: float | None = None
    at_most: float | None = None
    visible: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncompared:
    """A task of a method, or all of a method, that was not compared, and why."""

    place: ResultKey
    state: Absence
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What was compared with a baseline, what was not, and what follows.

    Attributes
    ----------
    suite, baseline : str
    margin : float
        Share of 1.
    alpha : float
    compared : tuple of Compared
        Means first.
    uncompared : tuple of Uncompared
    speed : tuple of Speed
        Of each method, where it was asked for.
    timing : str
        How it was timed, in a sentence.
    """

    suite: str
    baseline: str
    margin: float
    alpha: float
    compared: tuple[Compared, ...]
    uncompared: tuple[Uncompared, ...]
    speed: tuple[Speed, ...] = ()
    timing: str = ""

    @property
    def exit_status(self) -> int:
        """Return 0 if all is fine, 1 if something is worse or gone, 3 if anything could not be told."""
        findings = {each.finding for each in self.compared} | {each.finding for each in self.speed}
        absent = {each.state for each in self.uncompared}
        if "worse" in findings or absent & {"vanished", "failed"}:
            return 1
        return 3 if not self.compared or "untold" in findings or "missing" in absent else 0

    @property
    def verdict(self) -> str:
        """Return ``"fine"``, ``"regression"`` or ``"cannot be told"``."""
        return {0: "fine", 1: "regression", 3: "cannot be told"}[self.exit_status]


def gate(
    baseline: Side,
    head: Side,
    *,
    margin: float = ROPE,
    alpha: float = ALPHA,
    tasks: bool = True,
    slower: float | None = None,
) -> Gate:
    """Compare a suite's results with a baseline.

    Parameters
    ----------
    baseline, head : Side
        Of one suite each, whatever its name.
    margin : float
        Share of 1: a smaller drop does not count.
    alpha : float
        How often it may find something worse that is not, and how often it may find all fine that is not.
    tasks : bool
        Whether single tasks are compared, not only means.
    slower : float, optional
        Ratio: no method may have got so much slower, beside the reference workload that both runs timed
        (`bench.report.compare.speed`).
    """
    before, after = baseline.without_suite(), head.without_suite()
    uncompared = list(_absent(before, after))
    methods: dict[ResultKey, list[PairedTask]] = {}
    for place in sorted(before.cells.keys() & after.cells.keys()):
        old, new = before.cells[place], after.cells[place]
        change = standing(place, old, new)
        pair = held(place, METRIC, old, new, change.changed)
        if absence := _why_not(place, old, new, change):
            uncompared.append(absence)
        if pair is not None and change.state != "failed" and not OTHER.keys() & set(change.changed):
            methods.setdefault(place.of_method, []).append(pair)
    images = PairedImages(before.archive, after.archive, METRIC)
    changes = [each for held_tasks in methods.values() for each in _changes(held_tasks, images, tasks=tasks)]
    changes.sort(key=lambda each: (not each.tasks, each.place))
    return Gate(
        suite=", ".join(sorted(head.suites)),
        baseline=baseline.name,
        margin=margin,
        alpha=alpha,
        compared=_judged(changes, margin, alpha),
        uncompared=tuple(uncompared),
        speed=() if slower is None else speeds(baseline, head, slower=slower, alpha=alpha),
        timing="" if slower is None else BESIDE_REFERENCE,
    )


def _changes(held_tasks: Sequence[PairedTask], images: PairedImages, *, tasks: bool) -> Iterator[Change]:
    """Yield what moved of a method: its mean, that over each of several data sets, and each task."""
    mean, singles = compare_method(held_tasks, images)
    if mean is None:
        yield from singles
        return
    names = list(dict.fromkeys(task.place.dataset for task in held_tasks))
    yield mean if len(names) > 1 else replace(mean, place=mean.place._replace(dataset=names[0]))
    for name in names if len(names) > 1 else ():
        of = [task for task in held_tasks if task.place.dataset == name]
        over, alone = compare_method(of, images)
        if over is not None:
            yield replace(over, place=over.place._replace(dataset=name))
        elif not tasks:
            yield alone[0]
    if tasks:
        yield from singles


def _judged(changes: Sequence[Change], margin: float, alpha: float) -> tuple[Compared, ...]:
    """Return what is found of each difference, with Holm's adjustment over all that were tested."""
    tested = [each.p is not None and not each.why and not each.needed for each in changes]
    variances = [Variance.of(0.0 if each.se is None else each.se**2, each.freedom) for each in changes]
    drops = [
        float(variance.p_below(each.difference, least=each.least_p)) if there else float("nan")
        for each, variance, there in zip(changes, variances, tested, strict=True)
    ]
    found = []
    for each, variance, there, p in zip(changes, variances, tested, holm(drops).tolist(), strict=True):
        if not there:
            found.append(_untested(each))
            continue
        inside = float(variance.p_below(-(each.difference + margin), least=each.least_p)) <= alpha
        worse = p <= alpha and each.difference < -margin
        at_most = max(0.0, float(stdtrit(each.freedom, 1 - alpha)) * (each.se or 0.0) - each.difference)
        found.append(
            Compared(
                change=each,
                finding="worse" if worse else "fine" if inside else "untold",
                p=p,
                at_most=at_most,
                visible=_visible(each, margin, alpha / sum(tested)),
                why="" if worse or inside else "too few test images or seeds for this margin",
            )
        )
    return tuple(found)


def _untested(change: Change) -> Compared:
    """Return what is found of what was not tested: it is the same, or something is lacking."""
    if change.state == "same" and not change.needed:
        return Compared(change=change, finding="fine")
    why = f"{change.seeds} of the {change.needed} seeds that it takes" if change.needed else ""
    return Compared(change=change, finding="untold", why=why or change.why or "no test images")


def _visible(change: Change, margin: float, alpha: float) -> float:
    """Return the smallest drop that is found with probability `POWER`: significant, and beyond the margin."""
    se = change.se or 0.0
    significant = smallest_difference(se, freedom=change.freedom, alpha=2 * alpha, power=POWER)
    return max(significant, margin + float(stdtrit(change.freedom, POWER)) * se)


def _absent(before: Side, after: Side) -> Iterator[Uncompared]:
    """Yield what only one side has; a method with nothing left on the other is named once."""
    there = {_method(place) for place in after.cells}
    named = set()
    for place in sorted(before.cells.keys() - after.cells.keys()):
        if not finished(before.cells[place], METRIC):
            continue
        if _method(place) in there:
            yield Uncompared(place=place, state="missing", why="the suite no longer has it")
        elif _method(place) not in named:
            named.add(_method(place))
            gone = place.of_method._replace(contamination="0.0")
            yield Uncompared(place=gone, state="vanished", why="the suite no longer has this method")
    for place in sorted(after.cells.keys() - before.cells.keys()):
        yield Uncompared(place=place, state="new", why="the baseline does not have it")


def _method(place: ResultKey) -> tuple[str, str, str]:
    return place.method, place.params, place.backbone


def _why_not(
    place: ResultKey, old: dict[str, Measured], new: dict[str, Measured], change: Change
) -> Uncompared | None:
    """Return why a place that both sides have was not compared, or not all of it; None where it was."""
    seeds = set(finished(old, METRIC))
    if change.state == "failed":
        return Uncompared(place=place, state="failed", why="it fails now" + _reason(new))
    if not seeds:
        return Uncompared(place=place, state="new", why="the baseline has no result of it")
    if others := [OTHER[what] for what in change.changed if what in OTHER]:
        return Uncompared(place=place, state="missing", why=" and ".join(others))
    for cells, where in ((old, "the baseline"), (new, "this run")):
        if any(each.unchecked for each in cells.values()):
            return Uncompared(place=place, state="missing", why=f"scores of {where} cannot be read")
    lacking = len(seeds - set(finished(new, METRIC)))
    if not lacking:
        return None
    why = (
        "no result yet"
        if lacking == len(seeds)
        else f"{lacking} of the baseline's {len(seeds)} seeds are missing"
    )
    return Uncompared(place=place, state="missing", why=why)


def _reason(cells: dict[str, Measured]) -> str:
    """Return in what way the first of a place's failed cells failed."""
    errors = (each.record.error for each in cells.values() if each.record is not None)
    return next((f": {error['kind']}: {error['reason']}" for error in errors if error), "")
