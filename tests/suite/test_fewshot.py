"""Labelled anomalies in a suite: rows, keys, who gets them, settings that never rank; bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cell import Cell
from bench.core.errors import DataError, SuiteError
from bench.core.fewshot import UNLABELLED, FewShot
from bench.core.plan import Plan
from bench.features.backbone import Backbones
from bench.report.board import Board
from bench.run.runner import Runner
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.sweep import few_shot_table
from tests.factory import make_cell, write_method
from tests.suite.test_grid import suite_of

TEXT = 'datasets = ["digits[task=3]"]\nmethods = ["plain", "asks", "asks[level=1]"]\n'
SHOTS = '[few_shot]\nanomalies = [0, 2, 5]\nper = "class"\n'


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry with ``asks``, whose score is how many labelled anomalies it got."""
    (tmp_path / "methods").mkdir()
    path = tmp_path / "methods" / "asks.py"
    path.write_text(
        '"""Counts its labels."""\nfrom bench import Method, Scores\n\n\nclass Asks(Method):\n'
        "    few_shot = True\n    stochastic = True\n\n"
        "    def __init__(self, level: int = 0) -> None:\n        self.level = level\n\n"
        "    def fit(self, train):\n        self.n = 0 if self.labelled is None else len(self.labelled)\n\n"
        "    def score(self, test):\n        return Scores([self.n + i / 1e6 for i in range(len(test))])\n"
    )
    write_method(tmp_path, "plain", "assert self.labelled is None; return Scores([0.0] * len(test))")
    return Registry([tmp_path])


def plan_of(tmp_path: Path, text: str, registry: Registry) -> Plan:
    return make_plan(suite_of(tmp_path, text), registry)


def test_each_number_is_a_row_of_the_methods_that_ask(tmp_path: Path, registry: Registry) -> None:
    plan = plan_of(tmp_path, TEXT + SHOTS, registry)
    words = ["0 labelled of each type", "2 labelled of each type", "5 labelled of each type"]
    expected = [f"{name} + {each}" for name in ("asks", "asks[level=1]") for each in words]
    assert [row.label for row in plan.rows] == ["plain", *expected]
    assert [dict(row.said) for row in plan.rows] == [{}] * 4 + [{"level": "1"}] * 3
    assert plan.rows[0].setting == "one-class"
    assert plan.rows[2].setting == "few_shot[anomalies=2,per=type]"
    board = Board(plan, {})
    assert board.ranked == (0,)
    assert [(name, len(rows)) for name, rows in board.unranked.items()] == [
        (f"few_shot[anomalies={n},per=type]", 2) for n in (0, 2, 5)
    ]
    unordered = plan_of(tmp_path, TEXT + SHOTS.replace("0, 2, 5", "5, 0, 2"), registry)
    assert list(Board(unordered, {}).unranked) == list(board.unranked)
    asked = {entry.cell.few_shot for entry in plan.entries}
    assert asked == {UNLABELLED, *(FewShot(anomalies=n, per="type") for n in (2, 5))}
    assert Plan.from_json(plan.to_json()) == plan


NEEDING = ["needs", "trim[base=needs]"]


@pytest.fixture
def needing(tmp_path: Path, registry: Registry) -> Registry:
    """Return the registry with ``needs``, which cannot do without labelled anomalies."""
    assert "needs" not in registry.methods
    write_method(tmp_path, "needs", "return Scores([0.0] * len(test))", attributes='few_shot = "needed"')
    return Registry([tmp_path])


def test_a_method_that_needs_labels_has_no_row_without(tmp_path: Path, needing: Registry) -> None:
    text = f'datasets = ["digits[task=3]"]\nmethods = {["asks", *NEEDING]}\n{SHOTS}'
    plan = plan_of(tmp_path, text, needing)
    kept = [row.label for row in plan.rows if "needs" in row.label]
    assert kept == [f"{name} + {n} labelled of each type" for name in NEEDING for n in (2, 5)]
    assert "needs: no row without labelled anomalies, which it needs" in plan.notes
    assert len([row for row in plan.rows if row.method == "asks"]) == 3


@pytest.mark.parametrize("shots", ["", "[few_shot]\nanomalies = 0\n"])
@pytest.mark.parametrize("name", NEEDING)
def test_a_method_that_needs_labels_is_refused_where_there_are_none(
    tmp_path: Path, needing: Registry, name: str, shots: str
) -> None:
    text = f'datasets = ["digits[task=3]"]\nmethods = ["asks", "{name}"]\n{shots}'
    with pytest.raises(SuiteError, match=r"methods\[1\]: needs needs labelled anomalies; add \[few_shot\]"):
        plan_of(tmp_path, text, needing)


def test_a_pattern_leaves_out_what_needs_labels(tmp_path: Path, needing: Registry) -> None:
    text = 'datasets = ["digits[task=3]"]\nmethods = ["*s"]\n'
    rows = plan_of(tmp_path, text, needing).rows
    assert {"asks", "needs"} & {row.method for row in rows} == {"asks"}


def test_without_the_key_a_method_that_asks_is_one_class(tmp_path: Path, registry: Registry) -> None:
    plan = plan_of(tmp_path, TEXT, registry)
    assert {row.setting for row in plan.rows} == {"one-class"}
    assert {entry.cell.few_shot for entry in plan.entries} == {UNLABELLED}


def test_keys(tmp_path: Path, registry: Registry) -> None:
    cell = make_cell()
    assert "few_shot" not in cell.canonical()  # keys of before stay
    few = replace(cell, few_shot=FewShot(anomalies=2))
    assert len({cell.key, few.key, replace(cell, few_shot=FewShot(anomalies=3)).key}) == 3
    assert Cell.from_canonical(few.canonical()) == few
    assert "2 labelled" in str(few)
    seeds = plan_of(tmp_path, "seeds = [0, 1]\n" + TEXT + SHOTS, registry)
    assert {entry.cell.few_shot.seed for entry in seeds.entries} == {0, 1}
    fixed = plan_of(tmp_path, "seeds = [1, 2]\n" + TEXT + SHOTS + "seed = 7\n", registry)
    assert {entry.cell.few_shot.seed for entry in fixed.entries} == {0, 7}


def test_a_data_set_without_a_pool_gives_some_of_its_test_set(tmp_path: Path, registry: Registry) -> None:
    text = TEXT.replace("digits[task=3]", "textures[task=wood]").replace('"class"', '"total"')
    plan = plan_of(tmp_path, text + SHOTS.replace('"class"', '"total"'), registry)
    asked = {entry.cell.few_shot for entry in plan.entries if entry.cell.method == "asks"}
    assert asked == {FewShot(anomalies=n, source="test", reserve=5) for n in (0, 2, 5)}


def test_they_reach_the_methods_that_ask_and_no_other(tmp_path: Path, registry: Registry) -> None:
    text = TEXT.replace('"plain"', '"plain", "trim[base=asks]"')
    plan = plan_of(tmp_path, text + SHOTS, registry)
    runner = Runner(registry, Backbones())
    for entry in plan.entries:
        record, scores = runner.run(entry.cell)
        assert record.status == "ok", record.error
        few = entry.cell.few_shot
        if entry.cell.method == "plain":
            assert "labelled" not in record.counts
            continue
        assert int(scores.max()) == record.counts.get("labelled", 0) == 9 * few.anomalies
        assert record.setting == (few.setting or "one-class")


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        ("[few_shot]\nper = 'total'\n", "'few_shot.anomalies' is missing, e.g. anomalies = "),
        ("[few_shot]\nanomalies = [-1]\n", "greater than or equal to 0"),
        ("[few_shot]\nanomalies = []\n", "at least 1"),
        ("[few_shot]\nanomalies = 3\nper = 'image'\n", "few_shot.per"),
        ("[few_shot]\nanomalies = 3\nfrom = 'train'\n", "few_shot.from"),
        ("[few_shot]\nanomalies = 3\nanomaly = 3\n", "'few_shot.anomaly' is not known"),
    ],
)
def test_bad_tables(tmp_path: Path, registry: Registry, shots: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        plan_of(tmp_path, TEXT + shots, registry)


def test_too_many_are_refused_when_planning(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match=r"trial.toml: few_shot: digits/3: few_shot asks for 9999"):
        plan_of(tmp_path, TEXT + "[few_shot]\nanomalies = [1, 9999]\n", registry)


def test_a_suite_in_which_nobody_asks(tmp_path: Path, registry: Registry) -> None:
    text = 'datasets = ["digits"]\nmethods = ["random"]\n[few_shot]\nanomalies = 5\n'
    with pytest.raises(SuiteError, match=r"none of the methods takes labelled anomalies.*asks"):
        plan_of(tmp_path, text, registry)


def test_labels_of_one_class_make_rows_and_one_row_has_none(tmp_path: Path, registry: Registry) -> None:
    shots = '[few_shot]\nanomalies = [0, 2]\nonly = ["4", "7"]\n'
    plan = plan_of(tmp_path, TEXT.replace(', "asks[level=1]"', "") + shots, registry)
    assert [row.label for row in plan.rows] == [
        *("plain", "asks + 0 labelled", "asks + 2 labelled of 4", "asks + 2 labelled of 7")
    ]
    assert plan.rows[2].setting == "few_shot[anomalies=2,per=total,only=4]"
    asked = {entry.cell.few_shot for entry in plan.entries if entry.cell.method == "asks"}
    assert asked == {UNLABELLED, *(FewShot(anomalies=2, only=name) for name in ("4", "7"))}
    cell = replace(make_cell(), few_shot=FewShot(anomalies=2, only="4"))
    assert Cell.from_canonical(cell.canonical()) == cell
    assert "only" not in replace(cell, few_shot=FewShot(anomalies=2)).canonical()["few_shot"]  # as before
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("only", ['["4", "4"]', '[""]', "4"])
def test_bad_classes_of_labels(tmp_path: Path, registry: Registry, only: str) -> None:
    with pytest.raises(SuiteError, match=r"few_shot\.only"):
        plan_of(tmp_path, f"{TEXT}[few_shot]\nanomalies = 2\nonly = {only}\n", registry)


def test_a_class_that_a_task_does_not_have_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="of '3', of which there are none"):  # it is the normal one
        plan_of(tmp_path, f"{TEXT}[few_shot]\nanomalies = 2\nonly = ['3']\n", registry)


@pytest.mark.parametrize(
    ("given", "table"),
    [
        (["0,5, 10"], {"anomalies": [0, 5, 10]}),
        (["1", "per=class,from=test"], {"anomalies": [1], "per": "class", "from": "test"}),
        (["3,only=4|7,seed=2"], {"anomalies": [3], "only": ["4", "7"], "seed": 2}),
        (5, {"anomalies": [5]}),
        ([1, 10], {"anomalies": [1, 10]}),
        ({"anomalies": 2}, {"anomalies": 2}),
    ],
)
def test_labels_by_option(given: object, table: dict[str, object]) -> None:
    assert few_shot_table(given) == table


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["per=class"], "--few-shot has no number; give some"),
        (["5,source=test"], "--few-shot source=test: 'source' is not known"),
        (["5,per=class,per=type"], "'per' is given twice"),
        (["5%"], "--few-shot '5%': expected whole numbers"),
        (["5,seed=x"], "--few-shot 'x': expected whole numbers"),
        (["-1"], "--few-shot '-1'"),
    ],
)
def test_bad_labels_by_option(given: list[str], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        few_shot_table(given)
