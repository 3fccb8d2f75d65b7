"""Wrappers in suites: which method stands inside, what that does to keys and rows, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, SelectorError, SuiteError
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite

BASE = '''
"""Own: a method of the user's."""
from bench import Method, PositiveInt, Scores

class Own(Method):
    def __init__(self, backbone: str = "default", k: PositiveInt = 2):
        self.backbone, self.k = backbone, k
    def fit(self, train):
        pass
    def score(self, test):
        return Scores([0.0] * len(test))
'''


def plan_of(folder: Path, *methods: str, more: str = "") -> Plan:
    path = folder / "trial.toml"
    listed = ", ".join(each if each.startswith("{") else f"'{each}'" for each in methods)
    path.write_text(
        f'datasets = ["digits[task=3]"]\nbackbone = "pixels[size=8]"\nmethods = [{listed}]\n{more}'
    )
    return make_plan(load_suite(path), Registry([folder] if (folder / "methods").is_dir() else []))


def only(plan: Plan) -> Cell:
    (cell,) = {entry.cell.key: entry.cell for entry in plan.entries}.values()
    return cell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "own.py").write_text(BASE)
    return tmp_path


def test_a_cell_holds_its_base_in_full(tmp_path: Path) -> None:
    cell = only(plan_of(tmp_path, "trim[base=cap[adapt=false]]"))
    params = dict(cell.params)
    base = parse(str(params.pop("base")))
    assert params == {"keep": 0.5}
    assert base.name == "cap"
    assert base.params["adapt"] == "false"
    assert base.params["epochs"] == "10"
    assert "backbone" not in base.params
    assert cell.backbone == "pixels[size=8]"
    assert [name for name, _ in cell.code] == ["base", "dataset", "method"]
    assert Cell.from_canonical(cell.canonical()) == cell


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trim[base=dn2]", "trim[base=dn2[k=2]]"),
        ("trim", "trim[base=dn2[k=2],keep=0.5]"),
        ("trim[base=dn2[backbone=hog]]", "trim[base=dn2,backbone=hog]"),
        ("trim[base=dn2]", '{ name = "trim", base = "dn2" }'),
        ("trim[base=dn2[backbone=pixels[size=8]]]", "trim"),
    ],
)
def test_two_ways_to_write_it_are_one_cell(tmp_path: Path, one: str, other: str) -> None:
    assert only(plan_of(tmp_path, one)).key == only(plan_of(tmp_path, other)).key
    assert len(plan_of(tmp_path, one, other).rows) == 1


def test_a_table_makes_a_grid_of_bases(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '{ name = "trim", base = ["dn2", "cap[adapt=false]"], keep = [0.5, 0.8] }')
    assert [row.label for row in plan.rows] == [
        f"trim[base={base},keep={keep}]" for base in ("dn2", "cap[adapt=false]") for keep in (0.5, 0.8)
    ]


def test_the_key_depends_on_the_bases_code_parameters_and_backbone(folder: Path) -> None:
    keys = [
        only(plan_of(folder, each)).key
        for each in (
            "own",
            "trim[base=own]",
            "trim[base=own[k=3]]",
            "trim[base=own[backbone=hog]]",
            "trim[base=own,keep=0.6]",
            "oracle_clean[base=own]",
        )
    ]
    assert len(set(keys)) == 6
    path = folder / "methods" / "own.py"
    path.write_text(f"# a comment\n{BASE}")
    assert only(plan_of(folder, "trim[base=own]")).key == keys[1]
    path.write_text(BASE.replace("0.0", "1.0"))
    assert only(plan_of(folder, "trim[base=own]")).key != keys[1]
    path.write_text(BASE.replace("= 2)", "= 4)"))
    assert dict(only(plan_of(folder, "trim[base=own]")).params)["base"] == "own[k=4]"


def test_a_deterministic_pair_has_one_cell_for_all_seeds(tmp_path: Path) -> None:
    def seeds(method: str) -> int:
        return len(plan_of(tmp_path, method, more="seeds = [0, 1, 2]\n").entries)

    assert seeds("trim[base=dn2]") == 1
    assert seeds("trim[base=cap]") == 3
    assert seeds("trim[base=cap[adapt=false]]") == 1
    assert seeds("oracle_clean[base=isolation_forest]") == 3
    assert seeds("llbnad[base=dn2]") == 3
    assert seeds("llbnad[base=dn2,subsets=1]") == 1
    assert seeds("llbnad[base=cap,subsets=1]") == 3
    assert seeds("iterative[base=dn2]") == 3
    assert seeds("iterative[base=dn2,weight=hard]") == 1


def test_setting_and_selection_follow_the_base(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        *("trim[base=dn2]", "trim[base=random]", "trim[base=oc_svm_oracle]", "oracle_clean[base=dn2]"),
    )
    assert [(row.setting, row.selection) for row in plan.rows] == [
        ("one-class", "last"),
        ("control", "last"),
        ("one-class", "oracle"),
        ("one-class", "oracle"),
    ]


@pytest.mark.parametrize(
    ("method", "kind", "match"),
    [
        ("trim[base=dn3]", SelectorError, r"methods\[0\]: trim, parameter base: unknown method 'dn3'.*'dn2'"),
        ("trim[base=dn2[q=3]]", SuiteError, r"trim, parameter base: dn2 has no parameter 'q'"),
        ("trim[base=dn2[k=none]]", SuiteError, "dn2, parameter k: expected a whole number above 0"),
        ("trim[base=dn2[k=0]]", SuiteError, "expected a whole number above 0, got '0'"),
        ("trim[base=d*]", SelectorError, r"expected one method such as dn2\[k=2\], not the pattern"),
        ("trim[base=llbnad]", SuiteError, "llbnad is a wrapper itself"),
        ("trim[base=trim[base=dn2]]", SuiteError, "wrappers cannot be nested"),
        ("trim[base=dn2[k=2]", AnobenchError, "opening bracket without|not balanced"),
        ("trim[base=sklearn[nu]]", AnobenchError, "not a parameter"),
        ("trim[keep=0]", SuiteError, "parameter keep: expected a number above 0, at most 1"),
        ("trim[keep=1.5]", SuiteError, "parameter keep: expected a number above 0, at most 1"),
        ("llbnad[subsets=0]", SuiteError, "parameter subsets: expected a whole number above 0"),
        ("llbnad[aggregate=median]", SuiteError, "parameter aggregate"),
        ("trim[base=dn2[backbone=hog],backbone=pixels]", SuiteError, "the backbone is given twice"),
        ("trim[base=dn2[backbone=no_such_net]]", AnobenchError, r"methods\[0\].*no_such_net"),
        ('{ name = "trim", base = 3 }', SuiteError, "parameter base: expected a method such as"),
    ],
)
def test_mistakes_are_found_at_planning(tmp_path: Path, method: str, kind: type, match: str) -> None:
    with pytest.raises(kind, match=match):
        plan_of(tmp_path, method)


def test_a_base_that_cannot_be_read_stops_its_own_row_alone(folder: Path) -> None:
    from bench.features.backbone import Backbones
    from bench.run.runner import Runner

    (folder / "methods" / "own.py").write_text(f"{BASE}\n    def broken(:\n")
    plan = plan_of(folder, "trim[base=own]", "mean_distance")
    assert ["own.py" in problem for problem in plan.problems] == [True]
    runner = Runner(Registry([folder]), Backbones())
    records: list[Record] = [runner.run(entry.cell)[0] for entry in plan.entries]
    assert [record.status for record in records] == ["failed", "ok"]
    assert "SyntaxError" in (records[0].error or {})["reason"]


def test_a_wrapper_with_a_backbone_of_its_own_is_refused(folder: Path) -> None:
    (folder / "methods" / "twice.py").write_text(
        '"""Twice."""\nfrom bench import BaseMethod, Wrapper\n\n'
        "class Twice(Wrapper):\n"
        '    def __init__(self, base: BaseMethod = "dn2", backbone: str = "default"):\n        pass\n'
        "    def fit(self, train):\n        self.fit_final(train)\n"
    )
    with pytest.raises(SuiteError, match="a wrapper uses its base's backbone"):
        plan_of(folder, "twice")


def test_a_pattern_of_methods_reaches_wrappers_too(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "*[backbone=hog]")
    backbones = {row.label: row.backbone for row in plan.rows}
    assert (
        backbones["trim[backbone=hog]"] == backbones["llbnad[backbone=hog]"] == backbones["lof[backbone=hog]"]
    )


def test_planning_imports_neither_torch_nor_a_method(tmp_path: Path) -> None:
    path = tmp_path / "trial.toml"
    path.write_text(
        'datasets = ["digits[task=3]"]\nbackbone = "pixels"\nmethods = ["llbnad[base=cap]", "oracle_clean"]\n'
    )
    code = (
        "import sys\nfrom bench.suite.grid import make_plan\nfrom bench.suite.registry import Registry\n"
        "from bench.suite.suite import load_suite\nfrom pathlib import Path\n"
        f"make_plan(load_suite(Path({str(path)!r})), Registry())\n"
        "print([m for m in sys.modules if m == 'torch' or m.startswith('_anobench_method')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
