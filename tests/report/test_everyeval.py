"""Logs in the schema of Every Eval Ever: valid, complete, the same for the same results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.report.board import Board
from bench.report.everyeval import SCHEMA, logs
from bench.report.evidence.evidence import Evidence
from bench.suite.registry import Registry
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROWS = (row("a[backbone=pixels]"), row("b", stochastic=True))
PLAN = make_plan(ROWS, columns(digits=["0", "1"], made=["x"]), rates=(0.0, 0.1), seeds=(0, 1), suite="toy")


def made(records: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    held = make_records(PLAN) if records is None else records
    held = {key: replace(record, created="2026-01-02T03:04:05+00:00") for key, record in held.items()}
    return logs(Evidence(Board(PLAN, held)), Registry(), organization="us")


def test_a_log_for_each_method_with_means_of_data_sets_and_tasks() -> None:
    found = list(made().values())
    assert {log["model_info"]["name"] for log in found} == {"a[backbone=pixels]", "b"}
    for log in found:
        names = {each["evaluation_name"] for each in log["evaluation_results"]}
        clean = {"digits", "digits/0", "digits/1", "made"}
        assert names == clean | {f"{name}, 10 % contaminated" for name in clean}
        assert len(log["evaluation_results"]) == 4 * 2 * 4
        assert log["retrieved_timestamp"] == "1767323045"
        assert log["source_metadata"]["source_organization_name"] == "us"


def test_scores_are_those_of_the_board() -> None:
    records = make_records(PLAN)
    board = Board(PLAN, records)
    log = next(log for log in made().values() if log["model_info"]["name"] == "b")
    by = {each["evaluation_result_id"]: each for each in log["evaluation_results"]}
    mean = board.summary(1, [(0, 1)], 0.1, "auroc").mean
    assert by["digits/0.1/auroc"]["score_details"]["score"] == mean
    assert by["digits/0.1/fpr95"]["metric_config"]["lower_is_better"] is True
    assert by["digits/0.1/auroc"]["source_data"]["url"] == ["https://archive.ics.uci.edu/dataset/80"]
    assert by["made/0.0/auroc"]["source_data"] == {"dataset_name": "made", "source_type": "other"}


def test_what_is_incomplete_is_left_out() -> None:
    records = make_records(PLAN)
    for entry in PLAN.entries:
        if entry.row == 0 and entry.column == 0:
            records[entry.cell.key] = failure(entry.cell)
    log = next(log for log in made(records).values() if log["model_info"]["name"] != "b")
    names = {
        each["evaluation_name"] for each in log["evaluation_results"] if "cont" not in each["evaluation_name"]
    }
    assert names == {"digits/1", "made"}
    assert made({}) == {}


def test_equal_results_give_equal_logs() -> None:
    assert json.dumps(made()) == json.dumps(made())


def test_their_own_schema_takes_them() -> None:
    """With the package every-eval-ever, which has the schema; it needs Python 3.12."""
    types = pytest.importorskip("every_eval_ever.eval_types")
    assert pytest.importorskip("every_eval_ever.schema").get_schema_version() == SCHEMA
    for log in made().values():
        types.EvaluationLog.model_validate(log)


def test_structure_by_our_own_reading_of_the_schema() -> None:
    """Required members and kinds; additional details are texts."""
    for log in made().values():
        top = {
            "schema_version", "evaluation_id", "evaluation_timestamp", "retrieved_timestamp",
            "source_metadata", "eval_library", "model_info", "evaluation_results",
        }  # fmt: skip
        assert set(log) == top
        details = log["model_info"]["additional_details"]
        assert details["deployment_type"] in ("self_deployed", "externally_managed", "unknown")
        assert details["model_availability"] in ("open_weights", "closed_weights", "unknown")
        for held in (details, log["eval_library"]["additional_details"]):
            assert all(isinstance(value, str) for value in held.values())
        for each in log["evaluation_results"]:
            assert set(each) >= {"evaluation_name", "source_data", "metric_config", "score_details"}
            config = each["metric_config"]
            assert (config["score_type"], config["min_score"], config["max_score"]) == (
                "continuous",
                0.0,
                1.0,
            )
            assert 0 <= each["score_details"]["score"] <= 1
            assert all(isinstance(value, str) for value in each["score_details"]["details"].values())
