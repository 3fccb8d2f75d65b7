"""Input without measure: one clear line, before anything is expanded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import AnobenchError, ArchiveError, SelectorError, SuiteError
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.suite.adapterfile import read_adapter
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite
from tests.factory import make_cell, make_plan_of, write_method

HEAD = 'datasets = ["digits"]\nmethods = ["random"]\n'


def plan(tmp_path: Path, text: str, name: str = "trial") -> Plan:
    (tmp_path / f"{name}.toml").write_text(text)
    return make_plan(load_suite(tmp_path / f"{name}.toml"), Registry())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "[limits]\ncell_seconds = 1e300", "less than or equal to 100000000"),
        (HEAD + "[limits]\ngrace_seconds = inf", "limits.grace_seconds"),
        (HEAD + "[limits]\ncell_memory = 1e300", "limits.cell_memory"),
        (HEAD + "[limits]\ncell_seconds = nan", "limits.cell_seconds"),
        (HEAD + f"seeds = [{'9' * 5000}]", "not valid TOML"),
        (HEAD + f"seeds = [{'9' * 30}]", "seeds"),
        (HEAD + "x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        (HEAD + "x = " + "{a=" * 3000 + "1" + "}" * 3000, "nested too deeply"),
        (f'datasets = ["digits"]\nmethods = ["dn2{"[k=dn2" * 500}"]', "nested too deeply"),
        (f'datasets = ["digits"]\nmethods = ["{"a" * 30_000}"]', "too long"),
        (HEAD + f"seeds = {list(range(200_000))}", "2,000,000 cells, at most 1,000,000"),
        (
            'datasets = ["digits"]\nmethods = [{name = "dn2", '
            + ", ".join(f"{name} = {list(range(40))}" for name in "abcd")
            + "}]",
            "2,560,000 points of a grid",
        ),
    ],
)
def test_a_suite_without_measure_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises((SuiteError, SelectorError)) as refused:
        plan(tmp_path, text)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 1000


NAMES = [
    "README",
    "readme",
    "Published",
    "index",
    "records",
    "figures",
    ".hidden",
    "-x",
    "a:b",
    "a*",
    "a" * 220,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_cannot_have_a_name_that_is_taken_or_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(SuiteError, match=r"no name of a suite|longer|no text"):
        load_suite(tmp_path / f"{name}.toml")


@pytest.mark.parametrize(
    "name", [*NAMES, "", "../x", "../../x", "/tmp/x", "a/b", "a\\b", "..", "x\0y", "a\nb", " a"]
)
def test_a_plan_cannot_name_a_suite_elsewhere(name: str) -> None:
    text = make_plan_of([make_cell()]).to_json().replace('"trial"', repr(name).replace("'", '"'))
    with pytest.raises(ArchiveError):
        Plan.from_json(text)


@pytest.mark.parametrize("name", ["adl-screw", "cifar10", "my suite", "größe", "v1.2", "a_b+c"])
def test_usual_names_are_allowed(name: str) -> None:
    assert Plan.from_json(make_plan_of([make_cell()], name).to_json()).suite == name


@pytest.mark.parametrize(
    "text",
    ["[" * 100 + "]" * 100, "dn2[" + "a=b[" * 100, "dn2[k=" + "1" * 30_000 + "]"],
)
def test_a_selector_without_measure_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse(text)


@pytest.mark.parametrize(
    "default", ["[1, 2]", "{}", "(1,)", "{1}", "1e400", "-1e400", "b'a'", "1j", "9" * 5000]
)
def test_a_default_that_no_key_can_hold_is_refused(tmp_path: Path, default: str) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        f"from bench import Method\nclass Odd(Method):\n    def __init__(self, k={default}): pass\n"
    )
    found = read_adapter("method", path)
    assert found is not None
    assert found.problem


@pytest.mark.parametrize(
    "expression",
    ["+".join(["1"] * 3000), "-" * 3000 + "1", "(" * 300 + ")" * 300, "a" + ".b" * 3000, "not " * 3000 + "1"],
)
def test_expressions_nested_too_deeply_are_a_problem_of_their_adapter(
    tmp_path: Path, expression: str
) -> None:
    folder = write_method(tmp_path, "deep", "return Scores([0.0] * len(test))", fit=f"x = {expression}")
    found = read_adapter("method", folder / "methods" / "deep.py")
    assert found is not None
    assert found.problem or found.code


@pytest.mark.parametrize("value", ["1e400", "-1e400", "9" * 5000])
def test_a_parameter_that_no_key_can_hold_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(AnobenchError):
        plan(tmp_path, f'datasets = ["digits"]\nmethods = ["dn2[k={value}]", "kde[bandwidth={value}]"]\n')
