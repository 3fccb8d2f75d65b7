"""What contamination did, in sentences: known differences, bests and premiums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cell import Record
from bench.core.plan import Entry
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.findings import findings, premium_table, premiums, wrapped_pairs
from tests.report.evidence.scored_factory import above, balanced, write_archive
from tests.report.report_factory import columns, make_plan, make_records, row

RATES = (0.0, 0.1, 0.2)
BARE, WRAPPED = row("bare"), row("wrapped")


def falling(entry: Entry, truth: Truth) -> object:
    """Return scores: the bare method loses 20 points, the wrapped one starts 5 points lower and stays."""
    return above(truth, 34 if entry.row else 36 - round(40 * entry.rate))


def test_sentences_are_made_from_the_numbers(tmp_path: Path) -> None:
    plan = make_plan((BARE, WRAPPED), columns(digits=["0"], mvtec=["cable"]), rates=RATES, seeds=(0,))
    entries = []
    for entry in plan.entries:
        params = (("base", "bare[k=0]"),) if entry.row else (("k", 0),)
        entries.append(replace(entry, cell=replace(entry.cell, params=params)))
    plan = replace(plan, entries=tuple(entries))
    archive, records = write_archive(tmp_path, plan, falling, lambda entry: balanced(entry, 80))
    board = Board(plan, dict(records))
    (pair,) = wrapped_pairs(board)
    assert (pair.wrapper, pair.base) == (1, 0)
    text = "\n".join(findings(Evidence(board, archive)))
    assert "`wrapped`: at 0" in text
    assert "−5.0 points over 1 base" in text
    assert "+15.0 points over 1 base" in text
    assert (
        "the best inside a purifier, `wrapped`, differs from the best without one, `bare`, by +15.0" in text
    )
    assert "1 of 2 methods lose more than 2 points" in text
    assert "never more than 2 points: `wrapped`" in text
    assert "Purified minus bare" in text
    assert "Overlap premium" not in text
    one_rate = make_plan((BARE, WRAPPED), columns(digits=["0"]), rates=(0.1,))
    assert findings(Evidence(Board(one_rate, make_records(one_rate)))) == []


def test_one_seed_of_a_stochastic_method_makes_no_best(tmp_path: Path) -> None:
    rows = (row("bare", stochastic=True), row("wrapped", stochastic=True))
    plan = make_plan(rows, columns(digits=["0"], mvtec=["cable"]), rates=RATES, seeds=(0,))
    archive, records = write_archive(tmp_path, plan, falling, lambda entry: balanced(entry, 80))
    text = "\n".join(findings(Evidence(Board(plan, dict(records)), archive)))
    assert "has the highest average; whether it is best cannot be told before" in text
    assert "is best." not in text


def with_unseen(records: dict[str, Record], premium: dict[int, float]) -> dict[str, Record]:
    return {
        key: replace(
            record,
            metrics={
                **record.metrics,
                "auroc_unseen": record.metrics["auroc"] - premium[record.cell.contamination.seed],
            },
        )
        if record.cell.contamination.rate
        else record
        for key, record in records.items()
    }


def test_the_premium_is_what_unseen_anomalies_lack() -> None:
    plan = make_plan(
        (BARE,), columns(digits=["0", "1"]), rates=(0.0, 0.1), seeds=(0, 1), source="test_overlap"
    )
    board = Board(plan, with_unseen(make_records(plan), {0: -0.04, 1: -0.06}))
    found = premiums(board, 0, 0.1)
    assert found is not None
    value, interval = found
    assert value == pytest.approx(-0.05)
    # Two draws a hundredth from their mean: Student's t with one degree of freedom is 12.706.
    assert interval == pytest.approx((-0.05 - 12.706 * 0.01, -0.05 + 12.706 * 0.01), abs=1e-4)
    assert premiums(board, 0, 0.0) is None
    assert "−5.0" in "\n".join(premium_table(board))
    assert premium_table(Board(plan, make_records(plan))) == []
