"""Audits as tables: what was claimed, what was trained on, and how much of the test set that was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from bench.report.markdown import blocks, escape, grid
from bench.report.numbers import NOTHING

if TYPE_CHECKING:
    from bench.suite.audited import Audit, AuditTable

HEAD = (
    "Category",
    "Nominal",
    "Normal",
    "Anomalous",
    "% of set",
    "% of normals",
    "Test anomalies trained on",
    "of those tested",
    "Repeats",
    "Copies",
    "Types",
    "Test set",
)
ABOUT = (
    "*Nominal*: the rate that the protocol names. *Normal*, *Anomalous*: images trained on; *% of set*, "
    "*% of normals*: the rate realised. *Test anomalies trained on*: of all anomalies of the complete test "
    "set, those in the train set, as they are or as changed copies; *of those tested*: of the anomalies that "
    "scores are measured on. *Repeats*: images there once more; *Copies*: jittered or moved ones. *Types*: "
    "kinds of anomalies trained on, of all. *Test set*: whether it changes from rate to rate."
)


def audit_lines(table: AuditTable, *, categories: bool = True, form: str = "pipe") -> list[str]:
    """Return an audit as lines: its title, a row for each category and rate, and the sums.

    Parameters
    ----------
    table : AuditTable
    categories : bool
        False for the sums alone.
    form : {"pipe", "simple"}
        Markdown, or text for a terminal.
    """
    several = len({one.name for one in table.categories}) > 1
    shown = [*(table.categories if categories or not several else []), *(table.overall if several else [])]
    title = f"**{escape(table.title)}**" if form == "pipe" else table.title
    warnings = [
        f"{one.normal_in_both} normal test images of {one.name} were trained on"
        for one in table.categories
        if one.normal_in_both and one.share_of_tested != 1
    ]
    rows = [_row(one, table.nominal_of) for one in shown]
    if form == "pipe":
        rows = [["**all**", *row[1:]] if row[0] == "all" else row for row in rows]
    return blocks([title], grid(list(HEAD), rows, form=form), [f"- {each}." for each in warnings])


def _row(one: Audit, of: str) -> list[str]:
    nominal = NOTHING if one.rate is None else f"{100 * one.rate:.4g} %{f' of {of}' if of else ''}"
    tested = _share(one.trained_and_tested, one.tested)
    return [
        escape(one.name),
        nominal,
        f"{one.normals:,}",
        f"{one.anomalies:,}",
        f"{100 * one.of_set:.1f}",
        f"{100 * one.of_normals:.1f}",
        _share(one.trained_on, one.test_anomalies),
        tested,
        f"{one.repeats:,}",
        f"{one.changed:,}",
        f"{one.types_trained} of {one.types}" if one.types else NOTHING,
        NOTHING if one.test_changes is None else "changes" if one.test_changes else "the same",
    ]


def _share(part: int, of: int | None) -> str:
    if of is None:
        return f"{part:,} of ?"
    return f"{part:,} of {of:,} ({100 * part / of:.1f} %)" if of else NOTHING


def audit_json(tables: Sequence[AuditTable]) -> str:
    """Return audits as JSON, with the shares that follow from the counts."""

    def one(found: Audit) -> dict[str, object]:
        shares = ("of_set", "of_normals", "share_trained_on", "share_of_tested")
        return asdict(found) | {name: getattr(found, name) for name in shares}

    held = [
        {
            "title": table.title,
            "nominal_of": table.nominal_of,
            "categories": [one(each) for each in table.categories],
            "overall": [one(each) for each in table.overall],
        }
        for table in tables
    ]
    return json.dumps({"version": 1, "audits": held}, indent=1) + "\n"
