"""Hints at mistakes that give a number, and what of an unfinished suite is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.report.board import Board
from bench.report.hints import flipped
from bench.report.leaderboard.leaderboard import leaderboard, summary_table
from tests.report.report_factory import columns, make_plan, make_records, row

PLAN = make_plan((row("up"), row("down"), row("dice", setting="control")), columns(digits=["0", "1", "2"]))


def board(values: dict[str, list[float]], *, test: int = 100) -> Board:
    records = {}
    for key, record in make_records(PLAN).items():
        value = values[record.cell.method][int(record.cell.task)]
        counts = {**record.counts, "test": test, "test_anomalous": test // 2}
        records[key] = replace(record, metrics={**record.metrics, "auroc": value}, counts=counts)
    return Board(PLAN, records)


def test_a_flipped_sign_is_guessed_at() -> None:
    found = flipped(board({"up": [0.9, 0.8, 0.7], "down": [0.1, 0.2, 0.9], "dice": [0.1, 0.1, 0.1]}))
    assert len(found) == 1
    assert found[0].startswith("down: the AUROC is far below 50 on 2 of 3 tasks")
    assert "higher for more anomalous" in found[0]


@pytest.mark.parametrize(
    ("down", "test"),
    [
        ([0.45, 0.45, 0.45], 1000),  # not far
        ([0.1, 0.9, 0.9], 100),  # not most
        ([0.3, 0.3, 0.3], 6),  # chance does that on six images
    ],
)
def test_what_is_no_flipped_sign(down: list[float], test: int) -> None:
    assert flipped(board({"up": [0.9] * 3, "down": down, "dice": [0.5] * 3}, test=test)) == []


def test_the_leaderboard_says_so() -> None:
    made = board({"up": [0.9] * 3, "down": [0.1] * 3, "dice": [0.5] * 3})
    records = {record.cell.key: record for record in made.records()}
    assert "is their sign flipped?" in leaderboard(PLAN, records).partition("## ")[0]


def test_an_unfinished_suite_shows_the_data_sets_that_are_finished() -> None:
    plan = make_plan((row("a"), row("b")), columns(digits=["0", "1"], mnist=["0"], svhn=["0"]))
    records = make_records(plan)
    left = {key: record for key, record in records.items() if record.cell.dataset != "svhn"}
    text = leaderboard(plan, left)
    finished = text.partition("## Finished so far")[2].partition("## ")[0]
    assert "the 2 of 3 data sets that are finished: digits, mnist" in finished
    assert "—" not in finished
    summary = summary_table(plan, left)
    assert summary.startswith("On the 2 of 3 data sets that are finished: digits, mnist:")
    assert "—" not in summary
    for there in (records, {}):  # all of it, none of it
        assert "Finished so far" not in leaderboard(plan, there)
        assert "that are finished" not in summary_table(plan, there)
    one_cell = dict(list(left.items())[1:])
    assert "Finished so far" in leaderboard(plan, one_cell)
