"""What tests of all rooms share: cells, records and plans with defaults, and running cells for real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.core.archive import Archive
from bench.core.cell import Cell, Record, Timing
from bench.core.contamination import Contamination
from bench.core.plan import Column, Entry, Plan, Row
from bench.run.executors.choose import Options
from bench.run.launch import launch
from bench.run.prepare import Prepared
from bench.suite.registry import Registry
from bench.suite.suite import Suite, adhoc_suite


def make_cell(
    task: str = "0",
    method: str = "mean_distance",
    *,
    dataset: str = "digits",
    backbone: str = "",
    backbone_identity: str = "",
    contamination: Contamination | None = None,
    seed: int | None = None,
    code: tuple[tuple[str, str], ...] = (),
    **params: Any,
) -> Cell:
    """Return a cell; further keywords are the method's parameters."""
    return Cell(
        dataset=dataset,
        task=task,
        method=method,
        params=tuple(sorted(params.items())),
        backbone=backbone,
        backbone_identity=backbone_identity,
        contamination=contamination or Contamination(),
        seed=seed,
        code=code,
    )


def make_timing(fit: float = 0.1, score: float = 0.2, **more: Any) -> Timing:
    """Return timings; by default no features were needed."""
    given = {"features": 0.0, "features_cold": 0.0, "features_from": "none", "wall": fit + score} | more
    return Timing(fit=fit, score=score, **given)


def make_record(cell: Cell | None = None, *, status: str = "ok", **more: Any) -> Record:
    """Return a record of a one-class method; of a failed cell with a reason."""
    if status == "failed":
        more = {"error": {"kind": "FitError", "reason": "it failed", "traceback": ""}} | more
    return Record(
        cell=cell or make_cell(), status=status, **{"setting": "one-class", "selection": "last"} | more
    )


def make_plan_of(cells: Sequence[Cell], suite: str = "trial", **more: Any) -> Plan:
    """Return a plan with a row for each method and a column for each task of the cells."""
    methods = list(dict.fromkeys(cell.method for cell in cells))
    tasks = list(dict.fromkeys((cell.dataset, cell.task) for cell in cells))
    rows = tuple(
        Row(label=name, method=name, backbone="", setting="one-class", selection="last", stochastic=False)
        for name in methods
    )
    entries = tuple(
        Entry(
            row=methods.index(cell.method),
            column=tasks.index((cell.dataset, cell.task)),
            rate=cell.contamination.rate,
            cell=cell,
        )
        for cell in cells
    )
    columns = tuple(Column(dataset=dataset, task=task) for dataset, task in tasks)
    return Plan(suite=suite, title=suite.title(), rows=rows, columns=columns, entries=entries, **more)


def run_cells(
    cells: Iterable[Cell],
    archive: Archive,
    registry: Registry | None = None,
    *,
    suite: Suite | None = None,
    **options: Any,
) -> list[Record]:
    """Run cells as ``anobench run`` does, by default in this process; return their records in order."""
    todo = tuple(cells)
    prepared = Prepared(
        suite or adhoc_suite(["digits"], ["random"], name="trial"),
        registry or Registry(),
        archive,
        make_plan_of(todo),
        {},
        todo,
    )
    launch(prepared, Options(**{"executor": "inline", "device": "cpu"} | options))
    return [prepared.records[cell.key] for cell in todo if cell.key in prepared.records]


def write_method(folder: Path, name: str, score: str, *, fit: str = "pass", attributes: str = "") -> Path:
    """Write an adapter ``methods/<name>.py`` of a bench folder with these bodies; return the folder."""
    (folder / "methods").mkdir(parents=True, exist_ok=True)
    (folder / "methods" / f"{name}.py").write_text(
        "from bench import Method, Scores\n\n"
        f"class Toy{name.title().replace('_', '')}(Method):\n"
        f"    {attributes or 'stochastic = False'}\n"
        f"    def fit(self, train):\n        {fit}\n"
        f"    def score(self, test):\n        {score}\n"
    )
    return folder
