"""Plans: read back as they were written, or refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.core.cell import Cell
from bench.core.contamination import Contamination
from bench.core.errors import ArchiveError
from bench.core.plan import Column, Entry, Plan, Row

CELL = Cell(
    dataset="toy",
    task="a",
    method="m",
    params=(("k", 2), ("p", None)),
    backbone="",
    contamination=Contamination(rate=0.1, source="test", reserve=0.2),
    seed=None,
)
PLAN = Plan(
    suite="toy",
    title="Toys: größer | besser",
    description="Two\nlines.",
    suite_text='title = "Toys"\n',
    rates=(0.0, 0.1),
    seeds=(0, 7),
    rows=(
        Row(label="m[k=2]", method="m", backbone="", setting="control", selection="oracle", stochastic=False),
        Row(
            label="Mine, with 2",
            method="m",
            backbone="",
            setting="few_shot[anomalies=1,per=total]",
            selection="last",
            stochastic=True,
            selector="m[k=2]",
        ),
    ),
    columns=(Column(dataset="toy", task="a", synthetic=True), Column(dataset="toy", task="b")),
    entries=(Entry(row=0, column=1, rate=0.1, cell=CELL),),
    problems=("methods/broken.py:3: no module named x",),
)


@pytest.mark.parametrize("plan", [PLAN, Plan(suite="empty", title="")])
def test_a_plan_survives_its_file(plan: Plan) -> None:
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.to_json() == plan.to_json()
    assert [entry.cell.key for entry in again.entries] == [entry.cell.key for entry in plan.entries]


def test_a_plan_holds_no_number_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Plan(suite="odd", title="", rates=(float("nan"),)).to_json()


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(PLAN.to_json()) | changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSONDecodeError"),
        (PLAN.to_json()[:100], "JSONDecodeError"),
        ("[" * 100_000, "not a plan"),
        ("[]", "not a plan"),
        ("{}", "KeyError: 'schema'"),
        (changed(schema=2), "schema is not version 1"),
        (changed(rows=[{"label": "m"}]), "TypeError"),
        (changed(rates=None), "TypeError"),
        (changed(entries=[[0, 1, 0.1]]), "ValueError"),
        (changed(entries=[[0, 2, 0.1, CELL.canonical()]]), "row 0, column 2 do not exist"),
        (changed(entries=[[-1, 0, 0.1, CELL.canonical()]]), "its row is no whole number"),
        (changed(surprise=1), "surprise"),
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        Plan.from_json(text)
