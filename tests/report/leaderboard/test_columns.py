"""Columns of tables: the order of rows, intervals beside numbers, and where wide tables are cut."""

from __future__ import annotations

import pytest

from bench.report.board import Board
from bench.report.leaderboard.columns import clipped, fits, order, pieces, rank_columns
from bench.report.markdown import COLUMN_GAP, PAGE_WIDTH, narrowest
from tests.report.report_factory import columns, make_plan, make_records, row


def test_equal_averages_are_ordered_by_mean_rank_then_by_name() -> None:
    values = {
        "d": (0.75, 0.75, 0.5),
        "c": (0.75, 0.75, 0.5),
        "a": (0.6875, 0.6875, 0.625),
        "b": (0.5, 0.5, 1.0),
    }
    plan = make_plan(tuple(row(name) for name in values), columns(digits=["0", "1", "2"]))
    board = Board(plan, make_records(plan, lambda entry: values[plan.rows[entry.row].label][entry.column]))
    assert board.mean_ranks(board.columns, [0.0]) == pytest.approx({0: 13 / 6, 1: 13 / 6, 2: 8 / 3, 3: 3})
    assert [plan.rows[at].label for at in order(board, board.columns, [0.0])] == ["c", "d", "a", "b"]


def test_the_interval_of_a_mean_rank_holds_it() -> None:
    plan = make_plan((row("a"), row("b")), columns(digits=["0"]))
    board = Board(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row))
    ((head, texts),) = rank_columns(board, (0, 1), (0,), (0.0,), {0: (1.1, 1.3), 1: (1.7, 1.9)})
    assert (head, texts) == ("Mean rank", ["**1.00** (1.0–1.3)", "2.00 (1.7–2.0)"])


def test_an_interval_ends_where_auroc_does() -> None:
    assert clipped((-0.25, 1.25)) == "0.0–100.0"
    assert clipped((0.25, 0.75)) == "25.0–75.0"


def test_a_table_as_wide_as_the_page_is_one_table() -> None:
    room = PAGE_WIDTH - narrowest(["Method"])
    for more, tables in ((0, 1), (1, 2)):
        wide = [
            ("x" * (room // 2 - COLUMN_GAP), ["1"]),
            ("y" * (room - room // 2 - COLUMN_GAP + more), ["1"]),
        ]
        assert fits("Method", ["a"], wide) == (tables == 1)
        assert sum(line.startswith("| Method") for line in pieces("Method", ["a"], wide)) == tables


def test_the_pieces_of_a_wide_table_are_about_equal() -> None:
    wide = [(f"column_{at:02}", ["1"]) for at in range(10)]
    heads = [line for line in pieces("Method", ["a"], wide) if line.startswith("| Method")]
    assert [head.count("column_") for head in heads] == [5, 5]
