"""What a suite calls its data sets and methods, and grids in selectors: rows and columns, never keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import SelectorError, SuiteError
from bench.core.plan import Plan
from bench.core.selector import expand, parse
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import adhoc_suite, load_suite

METHODS = 'methods = ["random"]\n'


def plan_of(tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "trial.toml"
    path.write_text(text, encoding="utf-8")
    return make_plan(load_suite(path), Registry())


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("dn2", ["dn2"]),
        ("dn2[k=[1,3]]", ["dn2[k=1]", "dn2[k=3]"]),
        ("dn2[k=[1, 3],backbone=[hog,pixels[size=[8,16]]]]", 6),
        (
            "trim[base=dn2[k=[1,2]],keep=0.5]",
            ["trim[base=dn2[k=1],keep=0.5]", "trim[base=dn2[k=2],keep=0.5]"],
        ),
        ("digits[task=[3,5]]", ["digits[task=3]", "digits[task=5]"]),
        ('x[k=["a,b",c]]', ['x[k="a,b"]', "x[k=c]"]),
        ('folder[path="[old]"]', ['folder[path="[old]"]']),
        ("folder[path=/data/[old]/tiles]", ["folder[path=/data/[old]/tiles]"]),
        ("folder[path=/data/tiles[1]]", ["folder[path=/data/tiles[1]]"]),
    ],
)
def test_a_value_in_brackets_is_a_grid(text: str, points: list[str] | int) -> None:
    found = expand(text)
    assert found == points if isinstance(points, list) else len(set(found)) == points
    for each in found:
        assert "[1," not in str(parse(each))


@pytest.mark.parametrize("text", ["dn2[k=[]]", "dn2[k=[1,]]", "trim[base=dn2[k=[ ]]]"])
def test_a_grid_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match="grid without a value"):
        expand(text)


def test_grids_work_in_all_forms_of_a_suite(tmp_path: Path) -> None:
    as_text = plan_of(
        tmp_path, 'datasets = ["digits[task=[3,4]]"]\nmethods = ["dn2[k=[1,2],backbone=hog]"]\n'
    )
    as_table = plan_of(
        tmp_path,
        'datasets = [{ name = "digits", task = ["3", "4"] }]\n'
        'methods = [{ name = "dn2", k = [1, 2], backbone = "hog" }]\n',
    )
    given = make_plan(adhoc_suite(["digits[task=[3,4]]"], ["dn2[k=[1,2],backbone=hog]"]), Registry())
    assert keys(as_text) == keys(as_table) == keys(given)
    assert len(keys(as_text)) == 4
    inner = plan_of(
        tmp_path,
        'datasets = ["digits[task=3]"]\nmethods = [{ name = "trim", base = "dn2[k=[1,2],backbone=hog]" }]\n',
    )
    assert [row.label for row in inner.rows] == [
        "trim[base=dn2[k=1,backbone=hog]]",
        "trim[base=dn2[k=2,backbone=hog]]",
    ]


def keys(plan: Plan) -> set[str]:
    return {entry.cell.key for entry in plan.entries}


@pytest.mark.parametrize(
    "entry",
    [
        "'textures[name=My tiles,task=wood]'",
        "'textures[label=\"My tiles\",task=wood]'",
        '{ name = "textures", task = "wood", label = "My tiles" }',
        '{ dataset = "textures", task = "wood", name = "My tiles" }',
        '{ dataset = "textures", task = "wood", label = " My\\ttiles " }',
    ],
)
def test_a_data_set_is_called_what_the_suite_calls_it(tmp_path: Path, entry: str) -> None:
    plain = plan_of(tmp_path, f'datasets = ["textures[task=wood]"]\n{METHODS}')
    plan = plan_of(tmp_path, f"datasets = [{entry}]\n{METHODS}")
    assert [(column.dataset, column.title) for column in plan.columns] == [("textures", "My tiles")]
    assert keys(plan) == keys(plain)
    assert Plan.from_json(plan.to_json()) == plan
    assert json.loads(plain.to_json())["columns"] == [
        {"dataset": "textures", "synthetic": True, "task": "wood"}
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "'dn2[k=2,backbone=hog,label=Neighbours]'",
        '{ name = "dn2", k = 2, backbone = "hog", label = "Neighbours" }',
        '{ method = "dn2", k = 2, backbone = "hog", label = "Neighbours" }',
        '{ method = "dn2", k = 2, backbone = "hog", name = "Neighbours" }',
    ],
)
def test_a_method_is_called_what_the_suite_calls_it(tmp_path: Path, entry: str) -> None:
    plain = plan_of(tmp_path, 'datasets = ["digits[task=3]"]\nmethods = ["dn2[k=2,backbone=hog]"]\n')
    plan = plan_of(tmp_path, f'datasets = ["digits[task=3]"]\nmethods = [{entry}]\n')
    assert [row.label for row in plan.rows] == ["Neighbours"]
    assert plan.entries == plain.entries
    assert replace(plan.rows[0], label=plain.rows[0].label, selector="") == plain.rows[0]
    assert plan.rows[0].said == plain.rows[0].said == {"k": "2", "backbone": "hog"}


def test_a_grid_shares_a_name_and_says_what_differs(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = [{ name = "textures", size = [32, 48], task = "wood", label = "Wood" }]\n'
        'methods = [{ name = "dn2", k = [1, 2], backbone = "hog", label = "DN2" }, "random[label=Chance]"]\n',
    )
    assert [row.label for row in plan.rows] == ["DN2[k=1]", "DN2[k=2]", "Chance"]
    assert [column.title for column in plan.columns] == ["Wood[size=32]", "Wood[size=48]"]


@pytest.mark.parametrize(
    "methods",
    [
        '["dn2[backbone=hog,label=A]", "kde[backbone=hog,label=A]"]',
        '["dn2[backbone=hog,label=random]", "random"]',
        '[{ name = "*_distance", backbone = "hog", label = "A" }]',
    ],
)
def test_two_methods_are_not_called_the_same(tmp_path: Path, methods: str) -> None:
    with pytest.raises(SuiteError, match=r"two are called .*; give each its own name"):
        plan_of(tmp_path, f'datasets = ["digits[task=3]"]\nmethods = {methods}\n')


@pytest.mark.parametrize("label", ['""', '" "', "3", "true"])
def test_a_name_is_a_text(tmp_path: Path, label: str) -> None:
    with pytest.raises(SuiteError, match=r"methods\[0\]: label: expected a text"):
        plan_of(
            tmp_path, f'datasets = ["digits[task=3]"]\nmethods = [{{ name = "random", label = {label} }}]\n'
        )


def test_an_adapters_own_parameter_comes_first(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "labelled.py").write_text(
        "from bench import Method, Scores\n\nclass Labelled(Method):\n"
        "    def __init__(self, label: str = 'a') -> None:\n        self.label = label\n"
        "    def fit(self, train):\n        pass\n    def score(self, test):\n        return Scores([0.0])\n"
    )
    plan = make_plan(adhoc_suite(["digits[task=3]"], ["labelled[label=b]"]), Registry([tmp_path]))
    assert plan.rows[0].label == "labelled[label=b]"
    assert dict(plan.entries[0].cell.params) == {"label": "b"}
