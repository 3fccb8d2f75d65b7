"""Adapters found by file and read from their source text."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from bench.core.errors import AdapterError, SelectorError, SuiteError
from bench.core.selector import parse
from bench.suite.adapter import REQUIRED
from bench.suite.adapterfile import code_hash, read_adapter
from bench.suite.registry import Registry, stock_folder

SOURCE = '''
"""What it is.

More.
"""
import a_module_that_is_not_there
from typing import Literal
from bench import Fraction, Method, PositiveInt
import bench

class Helper:
    pass

class Trial(bench.Method):
    """Docstring."""
    stochastic = True
    setting: str = "few-shot"

    def __init__(self, needed: str, k: PositiveInt = 2, keep: Fraction = 0.5, how: Literal["a", "b"] = "a",
                 maybe: float | None = None, *, free=1, odd: list = None) -> None:
        # a comment
        self.k = k
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "trial.py").write_text(SOURCE)
    return tmp_path


def test_reading_imports_nothing(folder: Path) -> None:
    adapter = Registry([folder]).methods["trial"]
    assert "a_module_that_is_not_there" not in sys.modules
    assert adapter.summary == "What it is."
    assert adapter.class_name == "Trial"
    assert adapter.attributes == {"stochastic": True, "setting": "few-shot"}
    assert adapter.parameters["needed"].default is REQUIRED
    assert {name: p.default for name, p in adapter.parameters.items() if name != "needed"} == {
        "k": 2, "keep": 0.5, "how": "a", "maybe": None, "free": 1, "odd": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("k", "5", 5),
        ("k", 5, 5),
        ("keep", "0.25", 0.25),
        ("how", "b", "b"),
        ("maybe", "none", None),
        ("maybe", "2", 2.0),
        ("maybe", 3, 3.0),
        ("free", "7", 7),
    ],
)
def test_values_are_read_as_their_kind(folder: Path, name: str, given: object, expected: object) -> None:
    checked = Registry([folder]).methods["trial"].check({"needed": "x", name: given}, "here")[name]
    assert (checked, type(checked)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"k": "0"}, "parameter k: expected a whole number above 0, got '0'"),
        ({"k": 2.5}, "got 2.5"),
        ({"k": "2"}, "needs the parameter 'needed'"),
        ({"keep": "1"}, "a number between 0 and 1"),
        ({"keep": True}, "a number between 0 and 1"),
        ({"how": "c"}, "'a'"),
        ({"k": "none"}, "got 'none'"),
        ({"kk": "1"}, "no parameter 'kk'; did you mean 'k'?"),
    ],
)
def test_wrong_values_are_refused(folder: Path, given: dict[str, object], says: str) -> None:
    with pytest.raises(SuiteError) as caught:
        Registry([folder]).methods["trial"].check(given, "suite.toml: methods[0]")
    assert str(caught.value).startswith("suite.toml: methods[0]: trial")
    assert says in str(caught.value)


def test_the_code_hash_sees_code_and_nothing_else(folder: Path) -> None:
    path = folder / "methods" / "trial.py"

    def code(text: str) -> str:
        path.write_text(text)
        adapter = read_adapter("method", path)
        assert adapter is not None
        return adapter.code

    before = code(SOURCE)
    assert code(SOURCE.replace("# a comment", "")) == before
    assert code(SOURCE.replace('"""Docstring."""', '"""Another."""')) == before
    assert code(SOURCE.replace("self.k = k", "self.k   =   (k)")) == before
    assert code(SOURCE.replace("self.k = k", "self.k = k + 1")) != before
    assert code(SOURCE.replace("= 2,", "= 3,")) != before


def test_the_code_hash_is_the_same_on_every_python(tmp_path: Path) -> None:
    path = tmp_path / "pinned.py"
    path.write_text(
        "from bench import Method\n\nclass M(Method):\n    def fit(self, *a, b=(1, 2.5), **c):\n"
        "        return f'{a!r:>{3}}', lambda x: x[1:2], [i async for i in b], {**c}\n"
    )
    adapter = read_adapter("method", path)
    assert adapter is not None
    assert adapter.code == PINNED


PINNED = "e54ec576677410b5"


def test_import_errors_name_file_line_and_reason(folder: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"trial\.py, line 6: .*ModuleNotFoundError.*a_module_that_is_not_there"
    ):
        Registry([folder]).methods["trial"].load()


def test_what_cannot_be_used_says_why(folder: Path) -> None:
    (folder / "methods" / "trial.py").write_text("from bench import Method\nclass M(Method):\n    x = \n")
    (folder / "methods" / "expr.py").write_text(
        "from bench import Method\nN = 3\nclass M(Method):\n    def __init__(self, k=N): ...\n"
    )
    (folder / "methods" / "abstract.py").write_text("from bench import Method\nclass M(Method):\n    pass\n")
    found = Registry([folder])
    assert "trial.py, line 3" in found.methods["trial"].problem
    assert "line 4: the default of parameter 'k' must be a literal" in found.methods["expr"].problem
    assert len(found.problems()) == 2
    with pytest.raises(AdapterError, match=r"must define fit, score\(\)"):
        found.methods["abstract"].load()


def test_the_nearest_folder_wins_and_that_is_known(folder: Path) -> None:
    mine = folder / "methods" / "dn2.py"
    mine.write_text("from bench import Method\nclass Mine(Method):\n    pass\n")
    found = Registry([folder])
    assert found.methods["dn2"].path == mine
    assert [adapter.path for adapter in found.shadowed] == [stock_folder() / "methods" / "dn2.py"]
    assert Registry([], folder).methods["dn2"].path == mine, "the working directory comes before the stock"


def test_unknown_names_say_what_was_meant() -> None:
    found = Registry()
    with pytest.raises(SelectorError, match="unknown method 'dn'; did you mean 'dn2'"):
        found.match("method", parse("dn"), "here")
    with pytest.raises(SelectorError, match=r"no method matches 'x\*'"):
        found.match("method", parse("x*"), "here")
    assert [a.name for a in found.match("method", parse("*_distance"), "here")] == [
        "kmeans_distance",
        "mean_distance",
    ]


def test_a_rename_of_the_engines_names_changes_no_hash() -> None:
    before = (
        "from bench import Images, Method, Pictures, Scores, chance, nearest, seed_of\n"
        "class M(Method):\n    extra_images = {'a': {}}\n"
        "    def score(self, test):\n"
        "        chance(seed_of(1)); Pictures(self.extra['a']); return test.patches('b', ['c'])\n"
    )
    after = (
        "from bench import Images, Method, PixelRows, Scores, derive_seed, generator_for, nearest\n"
        "class M(Method):\n    auxiliary_images = {'a': {}}\n"
        "    needs = 'network'\n    layers_in: str = 'x'\n"
        "    def score(self, test):\n"
        "        generator_for(derive_seed(1)); PixelRows(self.auxiliary['a']);"
        " return test.feature_maps('b', ['c'])\n"
    )
    assert code_hash(ast.parse(after)) == code_hash(ast.parse(before))
    for one, other in (("'b'", "'patches'"), ("needs", "wants"), ("nearest", "farthest")):
        assert code_hash(ast.parse(after.replace(one, other))) != code_hash(ast.parse(after)), one
    # A text is data, not a name.
    assert code_hash(ast.parse("x = 'patches'")) != code_hash(ast.parse("x = 'feature_maps'"))


def test_required_parameters_are_those_without_a_default_that_are_not_given() -> None:
    methods = Registry().methods
    assert methods["panda_oe"].missing({}) == ["outliers"]
    assert methods["panda_oe"].missing({"outliers": "digits"}) == []
    assert methods["dn2"].missing({}) == []
