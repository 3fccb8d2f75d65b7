"""Which class of a file is meant, that what runs is what was hashed, and which keys stay."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from bench import AnobenchError, code_hash
from bench.core.cell import Cell
from bench.suite.adapterfile import SAME_RESULTS
from bench.suite.libraries import imported, missing
from bench.suite.registry import Registry, stock_folder
from bench.suite.resolve import Resolver

from ..factory import make_cell

BODY = "    def fit(self, train): ...\n    def score(self, test): ...\n"


def registry(folder: Path, **files: str) -> Registry:
    (folder / "methods").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "methods" / f"{name}.py").write_text(
            f'"""A trial."""\nfrom bench import Method\nimport bench\n{text}'
        )
    return Registry([folder])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "class Other(Method):\n    def __init__(self, a: int = 1): ...\n%sclass MyTrial(Method):\n%s",
            "MyTrial",
        ),
        ("class MyTrial(Method):\n%sclass Other(Method):\n%s", "MyTrial"),
        ("class my_trial(Method):\n%sclass Other(Method):\n%s", "my_trial"),
        ("class _Shared(Method):\n%sclass Anything(Method):\n%s", "Anything"),
        ("class Shared(Method):\n%sclass MyTrial(Shared):\n%s", "MyTrial"),
        ("from bench import Method as Base\nclass Helper:\n    pass\nclass Only(Base):\n%s# %s", "Only"),
        ("class Helper:\n    a = 1\nclass Only(bench.Method):\n%s# %s", "Only"),
        ("class MyTrial(Method):\n%sclass MyTrial(Method):\n%s", "MyTrial"),
    ],
)
def test_the_class_named_like_the_file_is_taken(tmp_path: Path, text: str, name: str) -> None:
    text = text.replace("%s", BODY, 1).replace("# %s", "").replace("%s", BODY)
    adapter = registry(tmp_path, my_trial=text).methods["my_trial"]
    assert not adapter.problem
    assert adapter.class_name == name
    assert adapter.load().__name__ == name


@pytest.mark.parametrize(
    "text",
    [
        "class A(Method):\n%sclass B(Method):\n%s",
        "class A(Method):\n%sclass B(A):\n%s",
        "class Trial(Method):\n%sclass TRIAL(Method):\n%s",
        "class _A(Method):\n%sclass _B(Method):\n%s",
    ],
)
def test_several_classes_without_that_are_refused(tmp_path: Path, text: str) -> None:
    adapter = registry(tmp_path, trial=text.replace("%s", BODY)).methods["trial"]
    assert "2 classes could be meant" in adapter.problem
    assert "name one like the file (Trial)" in adapter.problem
    with pytest.raises(AnobenchError, match="2 classes could be meant"):
        adapter.load()


def test_parameters_and_attributes_come_from_the_files_other_classes_too(tmp_path: Path) -> None:
    text = (
        "class _Shared(Method):\n    stochastic = True\n    needs = 'pixels'\n"
        f"    def __init__(self, k: int = 3): self.k = k\n{BODY}"
        "class Trial(_Shared):\n    needs = 'features'\n"
    )
    adapter = registry(tmp_path, trial=text).methods["trial"]
    assert adapter.check({}, "here") == {"k": 3}
    assert adapter.attributes["stochastic"] is True
    assert adapter.attributes["needs"] == "features"
    assert adapter.offers >= {"fit", "score"}


def test_an_adapter_of_equal_size_and_time_runs_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's cache of compiled files would run the text of before."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = []
    for value in (1, 2):
        adapter = registry(tmp_path, trial=f"class Trial(Method):\n    value = {value}\n{BODY}").methods[
            "trial"
        ]
        os.utime(adapter.path, (10**9, 10**9))
        found.append((adapter.load().value, adapter.code))
    assert [value for value, _ in found] == [1, 2]
    assert found[0][1] != found[1][1]


def test_what_runs_is_what_was_read_even_if_the_file_changes_meanwhile(tmp_path: Path) -> None:
    planned = registry(tmp_path, trial=f"class Trial(Method):\n    value = 1\n{BODY}").methods["trial"]
    later = registry(tmp_path, trial=f"class Trial(Method):\n    value = 2\n{BODY}")
    assert planned.load().value == 1
    cell: Cell = make_cell(
        method="trial", dataset="digits", task="3", params=(), code=(("method", planned.code),)
    )
    with pytest.raises(AnobenchError, match=r"trial\.py has changed since this run was planned"):
        Resolver(later).of(cell)


# --- libraries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("import nowhere.deep", True),
        ("from nowhere import x", True),
        ("class A:\n    def fit(self):\n        import nowhere", True),
        (
            "def f():\n    try:\n        importlib.import_module('nowhere.x')\n"
            "    except ImportError:\n        raise E",
            True,
        ),
        ("x = optional_import('nowhere', 'extra', 'this')", True),
        ("try:\n    import nowhere\nexcept ImportError:\n    nowhere = None", False),
        ("if TYPE_CHECKING:\n    import nowhere", False),
        ("def rarely():\n    import nowhere", False),
        ("from . import nowhere", False),
    ],
)
def test_libraries_that_every_cell_needs(text: str, needed: bool) -> None:
    assert ("nowhere" in imported(ast.parse(text))) == needed


def test_a_missing_library_is_told_with_the_command_that_installs_it() -> None:
    assert missing(["numpy", "json", "bench"]) == []
    assert missing(["nowhere"]) == ["nowhere (python -m pip install nowhere)"]
    assert "pyod" in Registry().methods["pyod"].imports


# --- keys ---------------------------------------------------------------------------------------------------

#: Hashes of the data sets' adapters by which their cells were known before their text changed.
KEPT = {
    "birds200": "07d9e68f7e25a0ce",
    "btad": "34dc3a259b90d6af",
    "cats_vs_dogs": "659f7b948689b24e",
    "cifar10": "4e94e9b12fabcedf",
    "cifar100": "f8252bdb72f3135a",
    "digits": "bc4a3ba33de9b5f2",
    "fashion_mnist": "aedeafb6b7cbf7bc",
    "flowers102": "58759b4672d78301",
    "folder": "6a00ce7017374cb9",
    "hub": "51f54e3aaf7c5d5f",
    "kolektor": "a4ae3aad3efabb79",
    "magnetic_tile": "b69f6a98dad2b0fe",
    "mnist": "2ca063b8d42b4473",
    "mpdd": "02b792070bd50c7e",
    "mvtec": "156ad76ef83cbc44",
    "mvtec_ad2": "d9f9c95e957a5021",
    "mvtec_loco": "85172b279c88e2b3",
    "real_iad": "4d92ca9336933395",
    "spark": "26579238ba2e1b78",
    "svhn": "c59311213c2e9aed",
    "textures": "3e1862bb3a000b5c",
    "visa": "f9a88354ab9f1e52",
}


@pytest.mark.parametrize("name", KEPT)
def test_cells_of_data_sets_whose_results_are_the_same_keep_their_keys(name: str) -> None:
    true = code_hash(ast.parse((stock_folder() / "datasets" / f"{name}.py").read_text(encoding="utf-8")))
    assert Registry().datasets[name].code == KEPT[name], (
        f"{name}.py has the hash {true}: if its results are the same, bit for bit, put "
        f'"{true}": "{KEPT[name]}" into SAME_RESULTS; else take it out of KEPT and say so in the changelog'
    )


def test_no_entry_is_left_of_a_text_that_is_no_more() -> None:
    files = [path for kind in ("datasets", "methods") for path in (stock_folder() / kind).glob("*.py")]
    assert SAME_RESULTS.keys() <= {code_hash(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
