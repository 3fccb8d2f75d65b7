"""Plans and records for tests of reports: a grid with made-up numbers, and holes where they are wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.core.cell import Cell, Record, Timing
from bench.core.contamination import Contamination
from bench.core.plan import Column, Entry, Plan, Row

ENVIRONMENT = {
    "anobench": "0.1.0",
    "python": "3.11.9",
    "platform": "Linux-6.1-x86_64",
    "cpu": "Test CPU 3000",
    "threads": 2,
    "torch": "2.8.0",
    "cuda": None,
    "gpu": None,
    "packages": {"numpy": "2.0.0", "scipy": "1.14.0"},
    "git": {"commit": "abc1234", "dirty": False},
}


def row(label: str, *, stochastic: bool = False, setting: str = "one-class", selection: str = "last") -> Row:
    name = label.split("[")[0]
    backbone = "pixels" if "backbone=pixels" in label else ""
    return Row(
        label=label,
        method=name,
        backbone=backbone,
        setting=setting,
        selection=selection,
        stochastic=stochastic,
    )


def columns(**datasets: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of ``digits=["0", "1"]``; a name that begins with ``textures`` is synthetic."""
    return tuple(
        Column(dataset=name, task=task, synthetic=name.startswith("textures"))
        for name, tasks in datasets.items()
        for task in tasks
    )


def make_plan(
    rows: Sequence[Row],
    cols: Sequence[Column],
    *,
    rates: Sequence[float] = (0.0,),
    seeds: Sequence[int] = (0, 1),
    source: str = "holdout",
    shortage: str = "error",
    **about: Any,
) -> Plan:
    """Return the full grid: a deterministic row has one cell for all seeds where nothing is drawn."""
    entries = []
    for at, each in enumerate(rows):
        for col, column in enumerate(cols):
            for rate in rates:
                cells: dict[Cell, None] = {}
                for seed in seeds:
                    draw = Contamination(
                        rate=rate,
                        seed=seed,
                        source=source,
                        shortage=shortage,
                        reserve=max(rates),  # type: ignore[arg-type]
                    ).resolved()
                    cell = Cell(
                        dataset=column.dataset,
                        task=column.task,
                        method=each.method,
                        params=(("k", at),),
                        backbone=each.backbone,
                        contamination=draw,
                        seed=seed if each.stochastic else None,
                    )
                    cells[cell] = None
                entries += [Entry(row=at, column=col, rate=rate, cell=cell) for cell in cells]
    return Plan(
        suite=about.pop("suite", "toy"),
        title=about.pop("title", "A toy suite"),
        rates=tuple(rates),
        seeds=tuple(seeds),
        rows=tuple(rows),
        columns=tuple(cols),
        entries=tuple(entries),
        **about,
    )


def made_up(cell: Cell, metric: str) -> float:
    """Return a number in [0.6, 1) that depends on the cell alone."""
    digest = hashlib.sha256(f"{cell.key}/{metric}".encode()).digest()
    return 0.6 + 0.4 * int.from_bytes(digest[:4], "big") / 2**32


def make_record(
    cell: Cell, auroc: float | None = None, *, entry_row: Row | None = None, **changes: Any
) -> Record:
    """Return a finished record; ``auroc`` is made up unless it is given."""
    value = made_up(cell, "auroc") if auroc is None else auroc
    drawn = round(100 * cell.contamination.rate)
    record = Record(
        cell=cell,
        status="ok",
        setting=entry_row.setting if entry_row else "one-class",
        selection=entry_row.selection if entry_row else "last",
        metrics={
            "auroc": value,
            "ap": made_up(cell, "ap"),
            "fpr95": 1 - made_up(cell, "fpr95"),
            "f1max": made_up(cell, "f1max"),
        },
        counts={"train": 100 + drawn, "train_anomalous": drawn, "test": 80, "test_anomalous": 40},
        contamination={
            "rate": drawn / (100 + drawn),
            "count": drawn,
            "indices": "ab",
            "removed_from_test": 0,
        },
        timing=Timing(fit=0.25, score=0.5, features=0.01, features_cold=2.0, features_from="store", wall=1.0),
        memory={"host_peak_bytes": 300 * 2**20, "device_peak_bytes": None},
        environment=ENVIRONMENT,
        scores_sha256="0" * 64,
        created="2025-03-04T05:06:07+00:00",
    )
    return replace(record, **changes)


def failure(cell: Cell, kind: str = "ScoreError", reason: str = "3 of 80 scores are NaN") -> Record:
    return Record(
        cell=cell,
        status="failed",
        setting="one-class",
        selection="last",
        error={"kind": kind, "reason": reason, "traceback": "Traceback …"},
        environment=ENVIRONMENT,
        created="2025-03-04T05:06:07+00:00",
    )


def make_records(plan: Plan, value: Callable[[Entry], float | None] = lambda _: None) -> dict[str, Record]:
    """Return a record for every cell of a plan, with the AUROC that `value` gives (None: made up)."""
    return {
        entry.cell.key: make_record(entry.cell, value(entry), entry_row=plan.rows[entry.row])
        for entry in plan.entries
    }
