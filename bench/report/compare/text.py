"""What moved between two sides, as plain text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.core.selector import format_selector, parse
from bench.report.compare.change import Change
from bench.report.compare.diff import Diff
from bench.report.compare.sides import ResultKey
from bench.report.markdown import grid
from bench.report.numbers import NOTHING, count, percent, points, signed_points

#: Lines of each table, unless all are asked for.
MOST = 20


def diff_text(found: Diff, *, limit: int = MOST) -> str:
    """Return what moved: what got worse or better, what cannot be told, what moved without that, and counts.

    Returns
    -------
    str
        Without a newline at the end; differences are in points of the metric.
    """
    every = (*found.means, *found.changes)
    by = {name: [each for each in every if found.verdict(each) == name] for name in ("worse", "better")}
    untold = [each for each in found.methods if found.verdict(each) == "untold"]
    parts = [
        _table("Worse", found, by["worse"], limit),
        _table("Better", found, by["better"], limit),
        _table("Cannot be told", found, untold, limit),
        _table("Moved, but not significantly", found, _noise(found, every), limit),
        _only("Only before", found.only_before, limit),
        _only("Only after", found.only_after, limit),
        _counts(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _noise(found: Diff, changes: Sequence[Change]) -> list[Change]:
    return [each for each in changes if each.state == "moved" and not found.verdict(each)]


def _table(title: str, found: Diff, changes: Sequence[Change], limit: int) -> str:
    """Return a table of changes: means over tasks first, then by the size of the difference."""
    if not changes:
        return ""
    ordered = sorted(changes, key=lambda each: (not each.tasks, -round(abs(each.difference), 9), each.place))
    untold = any(each.needed for each in changes)
    lines = [_line(each) for each in ordered[:limit]]
    heads = ["method", "task", "before", "after", "difference", "seeds (needed)" if untold else "p (Holm)"]
    changed = any(line[-1] for line in lines)
    if changed:
        heads.append("changed too")
    else:
        lines = [line[:-1] for line in lines]
    table = grid(heads, lines, left=2, words=int(changed), form="simple")
    more = [f"… and {count(len(ordered) - limit, 'other')}"] if len(ordered) > limit else []
    return "\n".join([f"{title}: {found.metric}", *table, *more])


def _line(change: Change) -> list[str]:
    if change.state in ("failed", "mended"):
        states = ("ok", "failed") if change.state == "failed" else ("failed", "ok")
        values = [*states, NOTHING, NOTHING]
    else:
        p = NOTHING if change.p is None else f"{change.p:.3g}"
        last = f"{change.seeds} ({change.needed})" if change.needed else p
        means = [points(change.before or 0.0), points(change.after or 0.0)]
        values = [*means, signed_points(change.difference), last]
    task = _mean_of(change) if change.tasks else task_of(change.place)
    return [method_of(change.place), task, *values, ", ".join(change.changed)]


def _mean_of(change: Change) -> str:
    rate = float(change.place.contamination)
    words = f"mean of {change.tasks} tasks" + (f", {percent(rate)}" if rate else "")
    return f"{change.place.suite}: {words}" if change.place.suite else words


def _only(title: str, places: Sequence[ResultKey], limit: int) -> str:
    if not places:
        return ""
    methods: dict[str, list[str]] = {}
    for place in places:
        methods.setdefault(method_of(place), []).append(task_of(place))
    shown = [
        f"{name} ({tasks[0] if len(tasks) == 1 else count(len(tasks), 'task')})"
        for name, tasks in sorted(methods.items())
    ]
    more = f", and {count(len(shown) - limit, 'other method')}" if len(shown) > limit else ""
    return f"{title}: {', '.join(shown[:limit])}{more}"


def _counts(found: Diff) -> str:
    compared = [each for each in found.changes if each.state != "holes"]
    if not compared:
        return "Nothing to compare: the two have no finished cell in common."
    said = []
    if found.means:
        said.append(f"{len(found.methods):,} compared (method × rate, mean over tasks): ")
        said[-1] += _verdicts(found, found.methods)
    said.append(f"{len(compared):,} compared (method × task × rate): {_verdicts(found, compared)}")
    said += [*_how(found), *_lacking(found)]
    if holes := len(found.changes) - len(compared):
        said.append(f"{holes} have nothing to compare.")
    if found.only_before:
        said.append(f"What only the first has counts as worse: {count(len(found.only_before), 'task')}.")
    return "\n".join(said)


def _verdicts(found: Diff, changes: Sequence[Change]) -> str:
    verdicts = Counter(found.verdict(each) for each in changes)
    same = sum(each.state == "same" for each in changes)
    said = [
        f"{verdicts['worse']} worse, {verdicts['better']} better, "
        f"{len(_noise(found, changes))} moved but not significantly, {same} the same"
    ]
    said += [f"{verdicts['untold']} cannot be told"] if verdicts["untold"] else []
    return ", ".join(said) + "."


def _how(found: Diff) -> list[str]:
    """Return what was tested, and where test images have no part in it."""
    tested = [each for each in (*found.means, *found.changes) if each.p is not None]
    said = []
    if tested:
        seeds = " and seeds" if any(each.seeds for each in tested) else ""
        over = f"test images (DeLong's variance){seeds}" if any(not each.why for each in tested) else "seeds"
        of = "methods' means over their tasks and of single tasks" if found.means else "each task"
        said.append(
            f"Paired t tests over {over} of {of}, Holm-adjusted, at {percent(found.alpha)}"
            + (" together." if found.means else ".")
        )
    without = Counter(each.why for each in found.changes if each.why and each.state == "moved")
    if without:
        reasons = "; ".join(f"{why}: {number}" for why, number in sorted(without.items()))
        said.append(
            f"Not tested over images ({reasons}): there, more than {points(found.tolerance)} points, "
            "beyond what seeds explain, count as a difference."
        )
    return said


def _lacking(found: Diff) -> list[str]:
    """Return how many seeds would do where nothing can be told."""
    methods = max((each.needed for each in found.methods), default=0)
    tasks = max((each.needed for each in found.changes), default=0)
    said = [f"{methods} seeds on both sides every method could be"] if methods else []
    said += [f"{tasks} every single task"] if tasks and found.means else []
    return [f"Where it cannot be told there are too few seeds: with {', with '.join(said)}."] if said else []


def method_of(place: ResultKey) -> str:
    """Return the method's selector with its backbone."""
    params = dict(parse(f"{place.method}[{place.params}]").params) if place.params else {}
    return format_selector(place.method, params | ({"backbone": place.backbone} if place.backbone else {}))


def task_of(place: ResultKey) -> str:
    """Return ``"cifar10/bird, 10 %"``, behind the suite where there are several."""
    rate = float(place.contamination)
    words = f"{place.dataset}/{place.task}" + (f", {percent(rate)}" if rate else "")
    return f"{place.suite}: {words}" if place.suite else words
