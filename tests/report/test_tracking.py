"""Cells as runs of MLflow."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import AnobenchError
from bench.report.tracking import KEY, export_mlflow
from tests.report.report_factory import columns, failure, make_plan, make_records, row

PLAN = make_plan((row("a"), row("b", stochastic=True)), columns(digits=["0", "1"]), seeds=(0, 1), suite="toy")


def test_a_run_for_each_cell_and_none_twice(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    records = make_records(PLAN)
    first = PLAN.entries[0].cell
    records[first.key] = failure(first)
    assert export_mlflow(PLAN, records, tmp_path / "runs") == (len(records), 0)
    assert export_mlflow(PLAN, records, tmp_path / "runs") == (0, len(records))
    client = MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    found = {run.data.tags[KEY]: run for run in client.search_runs([experiment.experiment_id])}
    assert found.keys() == records.keys()
    for key, record in records.items():
        run = found[key]
        assert run.info.status == ("FINISHED" if record.status == "ok" else "FAILED")
        assert {name: run.data.metrics[name] for name in record.metrics} == dict(record.metrics)
        assert run.data.params["task"] == record.cell.task
        assert run.data.params.get("seed") == (None if record.cell.seed is None else str(record.cell.seed))
    assert found[first.key].data.tags["anobench.error"]
    later = {first.key: replace(records[first.key], created="2031-01-01T00:00:00+00:00")}
    assert export_mlflow(PLAN, later, tmp_path / "runs") == (1, 0)


def test_without_mlflow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(AnobenchError, match=r"pip install 'anobench\[mlflow\]'"):
        export_mlflow(PLAN, {}, tmp_path)
