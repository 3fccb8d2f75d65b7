"""The model of a table: which cells are marked, how values look, and how tables become Markdown."""

from __future__ import annotations

import pytest

from bench.report.board import Board
from bench.report.leaderboard.columns import rank_columns
from bench.report.markdown import (
    COLUMN_GAP,
    LEADERBOARD,
    PAGE_WIDTH,
    PAPER,
    cell_text,
    fits,
    narrowest,
    table_lines,
)
from bench.report.table import NumberKind, Table, TableCell, TableColumn, TableRow, marked, table_of
from tests.report.report_factory import columns, make_plan, make_records, row

POINTS = TableColumn("AUROC")


def marks(values: list[float | str | None], **more: object) -> list[str]:
    lower = bool(more.pop("lower", False))
    column = TableColumn("x", lower=lower)
    found = marked(column, [TableCell(value) for value in values], **more)  # type: ignore[arg-type]
    return [f"{'=' if cell.shared else ''}{cell.mark}" for cell in found]


def texts(head: str, cells: list[str]) -> tuple[TableColumn, list[TableCell]]:
    return TableColumn(head, "words"), [TableCell(text) for text in cells]


def test_the_best_is_marked() -> None:
    assert marks([0.01, 0.03, None]) == ["", "best", ""]
    assert marks([0.01, 0.03], lower=True) == ["best", ""]
    assert marks([0.03, 0.02, 0.01], second=True) == ["best", "second", ""]
    assert marks([1.0, 0.999]) == ["best", ""], "as numbers, not as words"


def test_equal_ones_at_the_precision_shown_share_a_mark() -> None:
    assert marks([0.0951, 0.0949, 0.01]) == ["=best", "=best", ""]
    assert marks([0.0951, 0.0949, 0.01], decimals=2, second=True) == ["best", "second", ""]


def test_one_alone_is_not_the_best() -> None:
    assert marks([0.095, None, "failed"]) == ["", "", ""]
    assert marks([0.9, 0.8, 0.7], among=[1]) == ["", "", ""]
    assert marks([0.9, 0.8, 0.7], among=[1, 2]) == ["", "best", ""]


def test_the_best_is_no_tie() -> None:
    cells = marked(POINTS, [TableCell(0.9, tie=True), TableCell(0.8, tie=True)])
    assert [cell.tie for cell in cells] == [False, True]


@pytest.mark.parametrize(
    ("kind", "value", "shown", "interval"),
    [
        ("points", 0.95349, "95.3", "0.0–100.0"),
        ("difference", -0.0213, "−2.1", "−25.0\u00a0to\u00a0+125.0"),
        ("percent", 0.98765, "98.8\u00a0%", "−25.0\u00a0to\u00a0125.0"),
        ("rank", 1.5, "1.50", "-0.2–1.2"),
        ("seconds", 0.0123, "0.012", None),
        ("words", "abc", "abc", None),
        ("points", None, "—", None),
    ],
)
def test_how_values_and_intervals_look(
    kind: NumberKind, value: float | str | None, shown: str, interval: str | None
) -> None:
    column = TableColumn("x", kind)
    assert column.text(value) == shown
    if interval is not None:
        assert column.interval_text((-0.25, 1.25)) == interval
    assert TableColumn("x").text(0.95349, 3) == "95.349"


@pytest.mark.parametrize(
    ("cell", "leaderboard", "paper"),
    [
        (TableCell(0.9, 0.012, mark="best", shared=True), "=**90.0**\u00a0±\u00a01.2", "**90.0** ± 1.2"),
        (TableCell(0.9, mark="second"), "<u>90.0</u>", "<u>90.0</u>"),
        (TableCell(0.9, interval=(0.8, 0.95), tie=True), "≈90.0 (80.0–95.0)", "90.0† (80.0–95.0)"),
        (TableCell(0.9, 0.012, untold=True), "?90.0\u00a0±\u00a01.2", "90.0‡ ± 1.2"),
        (TableCell(note="1 of 10 failed"), "— (1 of 10 failed)", "— (1 of 10 failed)"),
        (TableCell("failed"), "failed", "failed"),
    ],
)
def test_marks_in_markdown(cell: TableCell, leaderboard: str, paper: str) -> None:
    table = Table((POINTS,), (TableRow("a", (cell,)),))
    assert cell_text(table, POINTS, cell, LEADERBOARD) == leaderboard
    assert cell_text(table, POINTS, cell, PAPER) == paper
    tight = TableColumn("AUROC", nowrap=True)
    assert " (" not in cell_text(table, tight, cell, LEADERBOARD)


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table((POINTS, POINTS), (TableRow("a", (TableCell(0.9),)),))


def test_a_table_turned_twice_is_itself() -> None:
    table = Table(
        (TableColumn("a", group="x"), TableColumn("b", group="y")),
        tuple(TableRow(name, (TableCell(0.1), TableCell(0.2)), "s") for name in "cd"),
        corner="",
    )
    assert table.groups() == [("x", 1), ("y", 1)]
    assert table.turned().groups() == [("s", 2)]
    assert [name for name, _ in table.turned().sections()] == ["x", "y"]
    assert table.turned().turned() == table


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
    assert [board.label(at) for at in board.order(board.columns, [0.0])] == ["c", "d", "a", "b"]


def test_mean_ranks_have_no_interval() -> None:
    """What may be said of places is in a column of its own."""
    plan = make_plan((row("a"), row("b")), columns(digits=["0"]))
    board = Board(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row))
    ((column, cells),) = rank_columns(board, (0, 1), (0,), (0.0,))
    assert column.head == "Mean rank"
    found = [(cell.value, cell.interval, cell.mark) for cell in cells]
    assert found == [(1.0, None, "best"), (2.0, None, "")]
    assert rank_columns(board, (0,), (0,), (0.0,)) == []


def test_a_table_as_wide_as_the_page_is_one_table() -> None:
    room = PAGE_WIDTH - narrowest(["Method"])
    for more, tables in ((0, 1), (1, 2)):
        wide = table_of(
            ["a"],
            [
                texts("x" * (room // 2 - COLUMN_GAP), ["1"]),
                texts("y" * (room - room // 2 - COLUMN_GAP + more), ["1"]),
            ],
        )
        assert fits(wide) == (tables == 1)
        assert sum(line.startswith("| Method") for line in table_lines(wide)) == tables


def test_the_pieces_of_a_wide_table_are_about_equal() -> None:
    wide = table_of(["a"], [texts(f"column_{at:02}", ["1"]) for at in range(10)])
    heads = [line for line in table_lines(wide) if line.startswith("| Method")]
    assert [head.count("column_") for head in heads] == [5, 5]
    whole = [line for line in table_lines(wide, PAPER) if line.startswith("| Method")]
    assert [head.count("column\\_") + head.count("column_") for head in whole] == [10]
