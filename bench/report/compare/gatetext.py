"""What a gate found: as text for a terminal, Markdown for a pull request, JUnit XML and JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from bench.core.errors import plain_text
from bench.report.compare.gate import POWER, Compared, Gate, Uncompared
from bench.report.compare.sides import ResultKey
from bench.report.compare.speed import Speed
from bench.report.compare.text import MOST, method_of, task_of
from bench.report.markdown import escape, grid
from bench.report.numbers import NOTHING, count, enumerated, percent, points, probability, signed_points

#: Schema of the JSON.
GATE_VERSION = 1
_SIGNS = {"fine": "Fine", "regression": "Regression", "cannot be told": "Cannot be told"}
Line = list[str]


def gate_text(found: Gate, *, limit: int = MOST) -> str:
    """Return what was found for a terminal: what is worse, untold or lacking, and the verdict."""
    parts = [
        "\n".join([title, *grid(head, lines[:limit], left=2, words=1, form="simple"), *_more(lines, limit)])
        for title, head, lines in _tables(found)
    ]
    return "\n\n".join([*parts, "\n".join([*_counted(found), f"Verdict: {found.verdict}."])])


def gate_markdown(found: Gate, *, limit: int = MOST) -> str:
    """Return the same as Markdown, as a comment on a pull request."""
    parts = [f"### {_SIGNS[found.verdict]}: {escape(found.suite)} against {escape(found.baseline)}"]
    for title, head, lines in _tables(found):
        shown = [[escape(word) for word in line] for line in lines[:limit]]
        parts += [f"**{escape(title)}**", "\n".join(grid(head, shown, left=2, words=1)), *_more(lines, limit)]
    return "\n\n".join([*parts, "\n".join(f"- {escape(line)}" for line in _counted(found))]) + "\n"


def _more(lines: Sequence[Line], limit: int) -> list[str]:
    return [f"… and {count(len(lines) - limit, 'other')}"] if len(lines) > limit else []


def _tables(found: Gate) -> list[tuple[str, Line, list[Line]]]:
    """Return title, heads and lines of each table that is not empty."""
    head = ["method", "task", "before", "now", "difference", "at worst", "why"]
    tables = []
    for finding, title in (("worse", "Worse, in points of AUROC"), ("untold", "Cannot be told")):
        of = [each for each in found.compared if each.finding == finding]
        tables.append((title, head, [_line(each) for each in of]))
    gone = [each for each in found.uncompared if each.state != "new"]
    lines = [[method_of(each.place), _where(each.place), each.why] for each in gone]
    tables.append(("Not compared", ["method", "task", "why"], lines))
    slow = [each for each in found.speed if each.finding != "fine"]
    named = {"worse": "slower", "untold": "cannot be told"}
    lines = [[method_of(e.place), named[e.finding], _times(e.ratio), _times(e.low), e.why] for e in slow]
    tables.append(("Slower, or not told", ["method", "", "times", "at least", "why"], lines))
    return [table for table in tables if table[2]]


def _line(each: Compared) -> Line:
    change = each.change
    means = [points(change.before or 0.0), points(change.after or 0.0)]
    worst = NOTHING if each.at_most is None else signed_points(-each.at_most)
    why = each.why or (f"p = {probability(each.p)}" if each.p is not None else "")
    return [
        method_of(change.place),
        _where(change.place, change.tasks),
        *means,
        signed_points(change.difference),
        worst,
        why,
    ]


def _where(place: ResultKey, tasks: int = 0) -> str:
    """Return what was compared: a task, or a mean over tasks, and the rate."""
    if place.task:
        return task_of(place)
    if not tasks:
        return "everywhere"
    rate = float(place.contamination)
    of = f"mean of {count(tasks, 'task')}" + (f" of {place.dataset}" if place.dataset else "")
    return of + (f", {percent(rate)}" if rate else "")


def _times(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.2f}"


def _counted(found: Gate) -> list[str]:
    """Return sentences: how much was compared and found, what could have been seen, what is new."""
    means = [each for each in found.compared if each.change.tasks]
    tasks = [each for each in found.compared if not each.change.tasks]
    if not found.compared:
        return ["Nothing was compared."]
    said = [
        f"{name} compared: {_findings(of)}."
        for name, of in ((count(len(means), "mean"), means), (count(len(tasks), "task"), tasks))
        if of
    ]
    said += [_visible(means, tasks)]
    said.append(
        "Paired one-sided t tests over test images (DeLong's variance) and seeds, at "
        f"{percent(found.alpha)}, Holm-adjusted; margin {_exact(found.margin)} points."
    )
    if found.speed:
        findings = Counter(each.finding for each in found.speed)
        said.append(
            f"Speed of {count(len(found.speed), 'method')} compared: {findings['worse']} slower, "
            f"{findings['fine']} fine, {findings['untold']} cannot be told. {found.timing}".strip()
        )
    new = {method_of(each.place) for each in found.uncompared if each.state == "new"}
    said += [f"Not in the baseline: {', '.join(sorted(new))}."] if new else []
    return [each for each in said if each]


def _findings(of: Sequence[Compared]) -> str:
    findings = Counter(each.finding for each in of)
    same = sum(each.change.state == "same" and each.finding == "fine" for each in of)
    words = [f"{findings['worse']} worse", f"{findings['fine']} fine ({same} the same to the last digit)"]
    return ", ".join([*words, f"{findings['untold']} cannot be told"])


def _visible(means: Sequence[Compared], tasks: Sequence[Compared]) -> str:
    """Return the smallest drops that would have been found, of what is not the same to the last digit."""
    said = []
    for name, of in (("a mean", means), ("a task", tasks)):
        seen = sorted(each.visible for each in of if each.visible is not None)
        if seen:
            span = dict.fromkeys((_exact(seen[0]), _exact(seen[-1])))
            said.append(f"of {name} {' to '.join(span)}")
    if not said:
        return ""
    return f"The smallest drop that {percent(POWER)} of such checks would find is {enumerated(said)} points."


def _exact(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def gate_json(found: Gate) -> str:
    """Return all of it as JSON; differences are shares of 1."""
    return json.dumps(_data(found), indent=1, allow_nan=False) + "\n"


def _data(found: Gate) -> dict[str, Any]:
    compared = [
        {
            **_named(each.change.place),
            "tasks": each.change.tasks or 1,
            "finding": each.finding,
            "before": each.change.before,
            "now": each.change.after,
            "difference": each.change.difference,
            "se": each.change.se,
            "p": each.p,
            "drop_at_most": each.at_most,
            "drop_visible": each.visible,
            "seeds": each.change.seeds,
            "changed": list(each.change.changed),
            "why": each.why,
        }
        for each in found.compared
    ]
    speed = [
        {**_named(each.place), "finding": each.finding, "why": each.why}
        | {name: None if math.isnan(value) else value for name, value in _ratios(each).items()}
        for each in found.speed
    ]
    absent = [{**_named(each.place), "state": each.state, "why": each.why} for each in found.uncompared]
    about = {name: getattr(found, name) for name in ("suite", "baseline", "verdict", "exit_status")}
    about |= {"metric": "auroc", "margin": found.margin, "alpha": found.alpha}
    return {"schema": GATE_VERSION, **about, "compared": compared, "not_compared": absent, "speed": speed}


def _ratios(each: Speed) -> dict[str, float]:
    return {"ratio": each.ratio, "at_least": each.low, "at_most": each.high}


def _named(place: ResultKey) -> dict[str, Any]:
    named = {"method": method_of(place), "dataset": place.dataset, "task": place.task}
    return {**named, "contamination": float(place.contamination)}


def gate_junit(found: Gate) -> str:
    """Return the same as JUnit XML: what is worse or gone is a failure, what cannot be told an error."""
    cases: list[tuple[ResultKey, str, str, str]] = []
    for each in found.compared:
        change = each.change
        said = f"{points(change.before or 0.0)} before, {points(change.after or 0.0)} now. {each.why}".strip()
        kind = {"worse": "failure", "untold": "error", "fine": ""}[each.finding]
        cases.append((change.place, _where(change.place, change.tasks), kind, said))
    for absent in found.uncompared:
        cases.append((absent.place, _where(absent.place), _kind(absent), absent.why))
    for speed in found.speed:
        kind = {"worse": "failure", "untold": "error", "fine": ""}[speed.finding]
        cases.append((speed.place, "speed", kind, f"{_times(speed.ratio)} times. {speed.why}".strip()))
    kinds = Counter(kind for _, _, kind, _ in cases)
    about = {"name": f"anobench check {found.suite}", "tests": str(len(cases))}
    about |= {"failures": str(kinds["failure"]), "errors": str(kinds["error"])}
    suite = ElementTree.Element("testsuite", {name: plain_text(text) for name, text in about.items()})
    for place, name, kind, said in cases:
        named = {"classname": plain_text(method_of(place)), "name": plain_text(name)}
        case = ElementTree.SubElement(suite, "testcase", named)
        if kind:
            ElementTree.SubElement(case, kind, {"message": plain_text(said)})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _kind(absent: Uncompared) -> str:
    return {"vanished": "failure", "failed": "failure", "missing": "error", "new": ""}[absent.state]
