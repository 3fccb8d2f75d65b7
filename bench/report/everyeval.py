"""A suite's aggregates in the schema of Every Eval Ever: one log for each method.

The schema is version 0.3.0 of ``eval.schema.json`` (https://github.com/evaleval/every_eval_ever). It is made
for language models; of a detector it has name, selector, results with intervals, and where they come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.core.cell import Record
from bench.core.selector import format_selector
from bench.metrics.image import IMAGE_METRICS
from bench.metrics.pixel import MAP_METRICS
from bench.report.board import LOWER, PRINTED, Board
from bench.report.evidence.evidence import Evidence
from bench.suite.registry import Registry

#: The schema's version.
SCHEMA = "0.3.0"

_DESCRIPTIONS = {
    "auroc": "Area under the ROC curve over test images",
    "ap": "Average precision over test images, anomalous is positive",
    "fpr95": "Share of normal test images above the threshold that finds 95 % of the anomalous ones",
    "f1max": "The highest F1 over all thresholds, over test images",
}


def logs(
    evidence: Evidence, registry: Registry, *, organization: str = "unknown"
) -> dict[str, dict[str, Any]]:
    """Return a log for each method that has results, by a file name that is the same for the same log.

    Means over data sets and over single tasks at each contamination rate, averaged over seeds; what is
    incomplete is left out.

    Parameters
    ----------
    evidence : Evidence
    registry : Registry
        For the data sets' home pages.
    organization : str
        Who ran it.
    """
    board, found = evidence.board, dict[str, dict[str, Any]]()
    for row in range(len(board.plan.rows)):
        records = [record for record in board.records(row=row) if record.status == "ok"]
        results = list(_results(evidence, row, registry))
        if records and results:
            log = _log(board, row, records, results, organization)
            name = hashlib.sha256(log["evaluation_id"].encode()).hexdigest()[:32]
            found[f"{name}.json"] = log
    return found


def _log(
    board: Board, row: int, records: Sequence[Record], results: list[dict[str, Any]], organization: str
) -> dict[str, Any]:
    of, cell, environment = board.plan.rows[row], records[0].cell, records[0].environment
    named = dict(cell.params) | ({"backbone": cell.backbone} if cell.backbone else {})
    selector = format_selector(cell.method, named)
    latest = max(record.created for record in records)
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        "selector": selector,
        "backbone": of.backbone,
        "setting": of.setting,
        "selection": of.selection,
        "stochastic": str(of.stochastic).lower(),
        "description": of.summary,
    }
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{board.plan.suite}/anobench/{selector}/{_epoch(latest)}",
        "evaluation_timestamp": latest,
        "retrieved_timestamp": _epoch(latest),
        "source_metadata": {
            "source_name": board.plan.title,
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "other",
            "additional_details": {"suite": board.plan.suite, **({"provenance": of.mark} if of.mark else {})},
        },
        "eval_library": {
            "name": "anobench",
            "version": str(environment.get("anobench", "unknown")),
            "additional_details": {name: text for name, text in _environment(environment).items() if text},
        },
        "model_info": {
            "name": board.label(row),
            "id": f"anobench/{selector}",
            "additional_details": {name: text for name, text in details.items() if text},
        },
        "evaluation_results": results,
    }


def _epoch(created: str) -> str:
    try:
        return str(int(datetime.fromisoformat(created).astimezone(UTC).timestamp()))
    except ValueError:
        return "0"


def _environment(environment: Mapping[str, Any]) -> dict[str, str]:
    held = environment.get("packages")
    packages = held if isinstance(held, Mapping) else {}
    git = environment.get("git")
    return {
        "commit": str(git.get("commit", "")) if isinstance(git, Mapping) else "",
        "platform": str(environment.get("platform") or ""),
        "device": str(environment.get("device") or ""),
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(packages.items())),
    }


def _results(evidence: Evidence, row: int, registry: Registry) -> Iterator[dict[str, Any]]:
    board = evidence.board
    held = {name for record in board.records(row=row) for name in record.metrics}
    metrics = [name for name in (*IMAGE_METRICS, *MAP_METRICS) if name in held and name in PRINTED]
    for name, of in board.datasets.items():
        places = [(board.dataset_name(name), of)]
        places += [(board.task_name(column), (column,)) for column in of] if len(of) > 1 else []
        for called, columns in places:
            for rate in board.rates:
                for metric in metrics:
                    found = _result(evidence, row, (called, name, columns), rate, metric, registry)
                    if found is not None:
                        yield found


def _result(
    evidence: Evidence,
    row: int,
    place: tuple[str, str, Sequence[int]],
    rate: float,
    metric: str,
    registry: Registry,
) -> dict[str, Any] | None:
    board, (called, dataset, columns) = evidence.board, place
    summary = board.summary(row, [columns], rate, metric)
    if summary.mean is None:
        return None
    details = {"contamination": repr(rate), "cells": str(summary.cells)}
    details |= {"sd_over_seeds": repr(summary.sd)} if summary.sd is not None else {}
    score: dict[str, Any] = {"score": summary.mean, "details": details}
    interval = evidence.interval(row, tuple(columns), rate) if metric == "auroc" else None
    if interval is not None and interval[0] == interval[0]:
        score["uncertainty"] = {
            "confidence_interval": {
                "lower": interval[0],
                "upper": interval[1],
                "confidence_level": 0.95,
                "method": "DeLong's variance over test images, and over seeds",
            }
        }
    return {
        "evaluation_result_id": "/".join((called, repr(rate), metric)),
        "evaluation_name": called if not rate else f"{called}, {100 * rate:g} % contaminated",
        "source_data": _source(dataset, registry),
        "metric_config": {
            "evaluation_description": _DESCRIPTIONS.get(metric, PRINTED[metric]),
            "metric_id": metric,
            "metric_name": PRINTED[metric],
            "metric_unit": "proportion",
            "lower_is_better": metric in LOWER,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": score,
    }


def _source(dataset: str, registry: Registry) -> dict[str, Any]:
    adapter = registry.datasets.get(dataset.partition("[")[0])
    home = str(adapter.attributes.get("home", "")) if adapter is not None else ""
    if home:
        return {"dataset_name": dataset, "source_type": "url", "url": [home]}
    return {"dataset_name": dataset, "source_type": "other"}
