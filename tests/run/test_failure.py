"""A failure says where in an adapter it was, whatever failed; a rerun says why cells failed before."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.run.failure import MOST_REASONS, earlier_failures, reason_of
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.factory import make_cell, make_record, run_cells, write_method

#: Name, body of score, what the reason says, the line that is named.
BODIES = [
    (
        "tensor",
        "import torch\n        return torch.zeros(len(test))",
        "a Tensor of shape (",
        "return torch.zeros",
    ),
    (
        "array",
        "return test.features('pixels[size=4]').numpy()",
        "an array of shape (",
        "return test.features",
    ),
    ("listed", "return [0.0] * len(test)", "a list; return Scores(...)", "return [0.0]"),
    ("mapped", "return {'scores': 1}", "a dict; return Scores(...)", "return {'scores'"),
    ("number", "return 0.5", "a float; return Scores(...)", "return 0.5"),
    ("nothing", "pass", "nothing (None); return Scores(...)", "def score(self, test):"),
    ("nans", "return Scores([float('nan')] * len(test))", "scores are NaN", "return Scores([float('nan')]"),
    ("few", "return Scores([0.0])", "score() must return one number", "return Scores([0.0])"),
    ("keyed", "return {}['x']", "KeyError: 'x'", "return {}['x']"),
    (
        "deep",
        "return Scores(_help(test))",
        "the planted failure",
        "raise RuntimeError('the planted failure')",
    ),
]


def failed_record(tmp_path: Path, name: str) -> Record:
    registry = Registry([tmp_path])
    (adapter,) = [registry.methods[name]]
    params = resolve(adapter, {}, registry, "test").params
    cell = make_cell("3", name, **{key: value for key, value in params.items() if key != "backbone"})
    (record,) = run_cells([cell], Archive(tmp_path / "results"), registry)
    assert record.status == "failed"
    return record


@pytest.mark.parametrize(("name", "body", "reason", "line"), BODIES)
def test_it_names_file_line_and_code(tmp_path: Path, name: str, body: str, reason: str, line: str) -> None:
    write_method(tmp_path, name, body)
    file = tmp_path / "methods" / f"{name}.py"
    if name == "deep":
        file.write_text(file.read_text() + f"\ndef _help(test):\n    {line}\n")
    record = failed_record(tmp_path, name)
    assert reason in reason_of(record)
    assert record.error is not None
    where = record.error["where"]
    assert where.startswith(f"{file}, line ")
    assert line in where
    number = int(where.removeprefix(f"{file}, line ").split(",")[0])
    assert line in file.read_text().splitlines()[number - 1]
    assert where in reason_of(record)
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(("name", "body", "reason", "line"), [BODIES[1], BODIES[6], BODIES[8]])
def test_inside_a_wrapper_it_is_the_bases_line(
    tmp_path: Path, name: str, body: str, reason: str, line: str
) -> None:
    write_method(tmp_path, name, body)
    (tmp_path / "methods" / "around.py").write_text(
        "from bench import BaseMethod, Wrapper, training_scores\n\nclass Around(Wrapper):\n"
        f"    def __init__(self, base: BaseMethod = '{name}') -> None:\n        self.base = base\n"
        "    def fit(self, train):\n        first = self.new_base('first')\n        first.fit(train)\n"
        "        training_scores(first, train)\n"
    )
    record = failed_record(tmp_path, "around")
    assert reason in reason_of(record)
    assert record.error is not None
    assert record.error["where"].startswith(str(tmp_path / "methods" / f"{name}.py"))
    assert line in record.error["where"]


def test_an_import_that_fails_names_its_line(tmp_path: Path) -> None:
    write_method(tmp_path, "broken", "return Scores([])", attributes="x = undefined_name")
    record = failed_record(tmp_path, "broken")
    assert record.error is not None
    assert "x = undefined_name" in record.error["where"]


def test_a_failure_outside_any_adapter_names_none() -> None:
    record = make_record(
        status="failed", error={"kind": "died", "reason": "killed\nmore", "traceback": "log"}
    )
    assert reason_of(record) == "killed"
    assert reason_of(make_record(status="failed", error={"kind": "K", "reason": "", "traceback": ""})) == (
        "no reason recorded"
    )


def test_a_rerun_says_why_cells_failed_and_how_to_run_them() -> None:
    records = {}
    for task in "abc":
        cell = make_cell(task, "crashes")
        error = {"kind": "KeyError", "reason": "'x'", "traceback": "…", "where": "/m/crashes.py, line 9: y"}
        records[cell.key] = make_record(cell, status="failed", error=error)
    fine = make_record(make_cell("d", "crashes"))
    records[fine.cell.key] = fine
    first, *lines = earlier_failures(records, [])
    assert first == "3 cells failed in an earlier run and will not run again; --retry-failed runs them:"
    assert lines == ["  crashes · digits/a and 2 more: KeyError: 'x'\n    /m/crashes.py, line 9: y"]
    # What runs again is not told, and neither is what went well.
    assert earlier_failures(records, [record.cell for record in records.values()]) == []
    assert earlier_failures({fine.cell.key: fine}, []) == []


def test_many_reasons_are_counted() -> None:
    cells = [make_cell("a", f"m{at}") for at in range(MOST_REASONS + 3)]
    records = {cell.key: make_record(cell, status="failed") for cell in cells}
    lines = earlier_failures(records, [])
    assert len(lines) == 1 + MOST_REASONS + 1
    assert lines[-1] == "  and 3 other reasons; the leaderboard has them"
