"""A suite's cells as runs of MLflow in a file store: parameters, metrics, and their origin as tags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.core.cell import Record
from bench.core.files import absolute
from bench.core.optional import optional_import
from bench.core.plan import Plan
from bench.report.groups import cell_seed

#: The tag by which a run is found again.
KEY = "anobench.key"
#: MLflow takes parameters and tags of so many characters.
MOST = 5000


def export_mlflow(plan: Plan, records: Mapping[str, Record], folder: Path) -> tuple[int, int]:
    """Write a run for each cell that has a record into the experiment of the suite's name.

    A cell whose record is there already is left alone, so that a suite can be exported again as it grows.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key.
    folder : Path
        Of the file store; ``mlflow ui --backend-store-uri`` shows it.

    Returns
    -------
    written, there : int

    Raises
    ------
    AnobenchError
        MLflow is not installed.
    """
    # Newer versions ask for a database unless told so; a folder needs none, and is read by all.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    optional_import("mlflow", "mlflow", "anobench export --format mlflow")
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=absolute(folder).as_uri())
    experiment = client.get_experiment_by_name(plan.suite)
    name = experiment.experiment_id if experiment else client.create_experiment(plan.suite)
    known = _known(client, name)
    written, there = 0, 0
    for entry in {entry.cell.key: entry for entry in reversed(plan.entries)}.values():
        record = records.get(entry.cell.key)
        if record is None:
            continue
        if known.get(record.cell.key) == record.created:
            there += 1
            continue
        at = _milliseconds(record.created)
        row = plan.rows[entry.row]
        label = f"{row.label} ({row.mark})" if row.mark else row.label
        run = client.create_run(name, start_time=at, run_name=f"{label} · {record.cell.task_name}"[:MOST])
        client.log_batch(
            run.info.run_id,
            [Metric(key, float(value), at, 0) for key, value in _metrics(record).items()],
            [Param(key, value[:MOST]) for key, value in _params(record, entry.rate).items()],
            [
                RunTag(key, value[:MOST])
                for key, value in _tags(record, plan.suite, row.mark).items()
                if value
            ],
        )
        client.set_terminated(
            run.info.run_id, "FINISHED" if record.status == "ok" else "FAILED", at + _wall(record)
        )
        written += 1
    return written, there


def _known(client: object, experiment: str) -> dict[str, str]:
    """Return the records that are there: when each was made, by key."""
    found: dict[str, str] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)  # type: ignore[attr-defined]
        for run in page:
            if KEY in run.data.tags:
                found[run.data.tags[KEY]] = run.data.tags.get("anobench.created", "")
        token = page.token
        if not token:
            return found


def _milliseconds(created: str) -> int:
    try:
        return int(1000 * datetime.fromisoformat(created).astimezone(UTC).timestamp())
    except ValueError:
        return 0


def _wall(record: Record) -> int:
    return int(1000 * record.timing.wall) if record.timing else 0


def _metrics(record: Record) -> dict[str, float]:
    timing = record.timing
    seconds = {"seconds_fit": timing.fit, "seconds_score": timing.score} if timing else {}
    return dict(record.metrics) | seconds


def _params(record: Record, rate: float) -> dict[str, str]:
    cell, seed = record.cell, cell_seed(record.cell)
    found = {"dataset": cell.dataset, "task": cell.task, "method": cell.method, "contamination": repr(rate)}
    found |= {"backbone": cell.backbone} if cell.backbone else {}
    found |= {"seed": str(seed)} if seed is not None else {}
    return found | {f"method.{name}": str(value) for name, value in cell.params}


def _tags(record: Record, suite: str, mark: str) -> dict[str, str]:
    cell, git = record.cell, record.environment.get("git")
    return {
        KEY: cell.key,
        "anobench.created": record.created,
        "anobench.suite": suite,
        "anobench.status": record.status,
        "anobench.setting": record.setting,
        "anobench.selection": record.selection,
        "anobench.provenance": mark,
        "anobench.version": str(record.environment.get("anobench", "")),
        "anobench.commit": str(git.get("commit", "")) if isinstance(git, Mapping) else "",
        "anobench.data": cell.data_fingerprint,
        "anobench.flags": "; ".join(record.flags),
        "anobench.error": (record.error or {}).get("reason", ""),
    }
