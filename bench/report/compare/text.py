"""What moved between two sides, as plain text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.core.selector import format_selector, parse
from bench.report.compare.diff import Change, Diff
from bench.report.compare.sides import ResultKey
from bench.report.markdown import grid
from bench.report.numbers import NOTHING, count, mean, percent, points, signed_points

#: Lines of each table, unless all are asked for.
MOST = 20


def diff_text(found: Diff, *, limit: int = MOST) -> str:
    """Return what moved: what got worse or better, what moved without that, means by method, and counts.

    Returns
    -------
    str
        Without a newline at the end; differences are in points of the metric.
    """
    parts = [
        _table("Worse", found, [each for each in found.changes if found.verdict(each) == "worse"], limit),
        _table("Better", found, [each for each in found.changes if found.verdict(each) == "better"], limit),
        _table("Moved, but not significantly", found, _noise(found), limit),
        _by_method(found, limit),
        _only("Only before", found.only_before, limit),
        _only("Only after", found.only_after, limit),
        _counts(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _noise(found: Diff) -> list[Change]:
    return [each for each in found.changes if each.state == "moved" and not found.verdict(each)]


def _table(title: str, found: Diff, changes: Sequence[Change], limit: int) -> str:
    if not changes:
        return ""
    ordered = sorted(changes, key=lambda each: (-round(abs(each.difference), 9), each.place))
    lines = [_line(each) for each in ordered[:limit]]
    heads = ["method", "task", "before", "after", "difference", "p (Holm)", "changed too"]
    changed = any(line[-1] for line in lines)
    if not changed:
        lines, heads = [line[:-1] for line in lines], heads[:-1]
    table = grid(heads, lines, left=2, words=int(changed), form="simple")
    more = [f"… and {count(len(ordered) - limit, 'other')}"] if len(ordered) > limit else []
    return "\n".join([f"{title}: {found.metric}", *table, *more])


def _line(change: Change) -> list[str]:
    if change.state in ("failed", "mended"):
        states = ("ok", "failed") if change.state == "failed" else ("failed", "ok")
        values = [*states, NOTHING, NOTHING]
    else:
        p = NOTHING if change.p is None else f"{change.p:.3g}"
        means = [points(change.before or 0.0), points(change.after or 0.0)]
        values = [*means, signed_points(change.difference), p]
    return [method_of(change.place), task_of(change.place), *values, ", ".join(change.changed)]


def _by_method(found: Diff, limit: int) -> str:
    """Return the mean over tasks by method, without a test: where many tasks moved a little it shows."""
    by: dict[str, list[float]] = {}
    for change in found.changes:
        if change.state in ("same", "moved"):
            by.setdefault(method_of(change.place), []).append(change.difference)
    moved = {name: values for name, values in by.items() if any(values)}
    if not moved:
        return ""
    ordered = sorted(moved.items(), key=lambda item: (-abs(mean(item[1])), item[0]))[:limit]
    lines = [[name, f"{len(values)}", signed_points(mean(values))] for name, values in ordered]
    table = grid(["method", "tasks", "mean difference"], lines, form="simple")
    return "\n".join(["By method, over all its tasks and rates (not tested)", *table])


def _only(title: str, places: Sequence[ResultKey], limit: int) -> str:
    if not places:
        return ""
    names = Counter(method_of(place) for place in places)
    shown = [f"{name} ({count(number, 'task')})" for name, number in sorted(names.items())]
    more = f", and {count(len(shown) - limit, 'other method')}" if len(shown) > limit else ""
    return f"{title}: {', '.join(shown[:limit])}{more}"


def _counts(found: Diff) -> str:
    verdicts = Counter(found.verdict(each) for each in found.changes)
    states = Counter(each.state for each in found.changes)
    compared = len(found.changes) - states["holes"]
    if not compared:
        return "Nothing to compare: the two have no finished cell in common."
    said = [
        f"{compared:,} compared (method × task × rate): {verdicts['worse']} worse, "
        f"{verdicts['better']} better, {len(_noise(found))} moved but not significantly, "
        f"{states['same']} the same."
    ]
    if any(each.p is not None for each in found.changes):
        said.append(f"DeLong's paired test on each task, Holm-adjusted, at {percent(found.alpha)}.")
    untested = Counter(each.why for each in found.changes if each.state == "moved" and each.p is None)
    if untested:
        reasons = "; ".join(f"{why}: {number}" for why, number in sorted(untested.items()))
        said.append(
            f"Not tested ({reasons}): there, "
            f"more than {points(found.tolerance)} points count as a difference."
        )
    if states["holes"]:
        said.append(f"{states['holes']} have nothing to compare.")
    return "\n".join(said)


def method_of(place: ResultKey) -> str:
    """Return the method's selector with its backbone."""
    params = dict(parse(f"{place.method}[{place.params}]").params) if place.params else {}
    return format_selector(place.method, params | ({"backbone": place.backbone} if place.backbone else {}))


def task_of(place: ResultKey) -> str:
    """Return ``"cifar10/bird, 10 %"``, behind the suite where there are several."""
    rate = float(place.contamination)
    words = f"{place.dataset}/{place.task}" + (f", {percent(rate)}" if rate else "")
    return f"{place.suite}: {words}" if place.suite else words
