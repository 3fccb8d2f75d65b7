"""What the page shows of a suite, as numbers: those of the board, with the evidence beside the averages."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.plan import Entry
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.overview import Overview
from bench.report.page.tables import overview
from bench.report.table import Table
from tests.report.evidence.scored_factory import above, balanced, write_archive
from tests.report.page.page_factory import toy
from tests.report.report_factory import columns, make_plan, make_records, row


def table_of(found: Overview, metric: str, rate: float, dataset: str = "") -> Table:
    (held,) = (
        each.table
        for each in found.tables
        if (each.metric, each.rate, each.dataset) == (metric, rate, dataset)
    )
    return held


@pytest.mark.parametrize("metric", ["auroc", "ap", "fpr95"])
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_the_numbers_are_those_of_the_board(metric: str, rate: float) -> None:
    board = Board(*toy())
    found = overview(Evidence(board))
    overall = table_of(found, metric, rate)
    assert [column.key for column in overall.columns[:4]] == [
        "average", "rank", "data set digits", "data set textures",
    ]  # fmt: skip
    compared = 0
    for each in overall.rows:
        assert each.row is not None
        for at, of in ((0, list(board.datasets.values())), (2, [board.datasets["digits"]])):
            mean, cell = board.summary(each.row, of, rate, metric), each.cells[at]
            assert cell.value == (None if mean.mean is None else pytest.approx(mean.mean, rel=1e-5))
            assert cell.spread == (None if mean.sd is None else pytest.approx(mean.sd, rel=1e-5, abs=1e-9))
            assert cell.note == ("" if mean.mean is not None else mean.why)
            compared += mean.sd is not None
    assert compared
    tasks = table_of(found, metric, rate, "digits")
    assert [column.head for column in tasks.columns] == ["Average", "Mean rank", "0", "1", "10"]
    seconds = [cell.value for cell in overall.rows[0].cells[-2:]]
    assert seconds == [0.75, 2.75]


def test_scores_give_intervals_and_groups(tmp_path: Path) -> None:
    plan = make_plan((row("bad"), row("good"), row("near")), columns(digits=["0", "1"]))
    hits = {"bad": 20, "good": 36, "near": 35}
    archive, records = write_archive(
        tmp_path,
        plan,
        lambda entry, truth: above(truth, hits[entry.cell.method]),
        lambda entry: balanced(entry, 80),
    )
    evidence = Evidence(Board(plan, records), archive)
    table = table_of(overview(evidence), "auroc", 0.0)
    assert [column.key for column in table.columns] == [
        "group", "place", "rank", "data set digits", "warm", "cold",
    ]  # fmt: skip
    for each in table.rows:
        assert each.row is not None
        assert each.cells[2].interval == pytest.approx(evidence.overall_interval(each.row, 0.0), rel=1e-5)
    assert [each.cells[0].value for each in table.rows] == ["a", "a", "b"]
    other = table_of(overview(evidence), "ap", 0.0)
    assert "group" not in [column.key for column in other.columns]
    assert not any(cell.interval for each in other.rows for cell in each.cells)


def test_the_best_are_those_that_look_the_same() -> None:
    plan = make_plan((row("a"), row("b"), row("c")), columns(digits=["0"]))
    values = (0.9001, 0.9003, 0.8)

    def auroc(entry: Entry) -> float:
        return values[entry.row]

    found = overview(Evidence(Board(plan, make_records(plan, auroc))))
    assert (found.best, found.best_auroc, found.ranked) == (("b", "a"), 0.9003, 3)
