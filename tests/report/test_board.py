"""The numbers behind a leaderboard, against numpy, pandas and scipy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from bench.core.plan import Entry
from bench.report.board import Board, ranks, setting_name
from bench.report.numbers import average_ranks
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROWS = (row("a"), row("b", stochastic=True), row("c", stochastic=True))
COLUMNS = columns(digits=["0", "1", "2"], textures=["wood", "grid"])


def test_means_and_spreads_are_those_of_pandas() -> None:
    """Seeds first, then tasks, then data sets; the spread is that of the mean over seeds."""
    plan = make_plan(ROWS, COLUMNS, rates=(0.1,), seeds=(0, 1, 2))
    records = make_records(plan)
    board = Board(plan, records)
    frame = pd.DataFrame(
        {
            "row": entry.row,
            "dataset": entry.cell.dataset,
            "task": entry.cell.task,
            "seed": entry.cell.contamination.seed,
            "auroc": records[entry.cell.key].metrics["auroc"],
        }
        for entry in plan.entries
    )
    per_seed = frame.groupby(["row", "dataset", "seed"])["auroc"].mean()
    for at in range(len(ROWS)):
        for name, of in board.datasets.items():
            summary = board.summary(at, [of], 0.1)
            assert summary.mean == pytest.approx(per_seed[at, name].mean(), abs=1e-14)
            assert summary.sd == pytest.approx(per_seed[at, name].std(), abs=1e-14)
            assert (summary.cells, summary.failed, summary.missing) == (3 * len(of), 0, 0)
        whole = board.summary(at, list(board.datasets.values()), 0.1)
        over = per_seed[at].groupby("seed").mean()
        assert whole.mean == pytest.approx(over.mean(), abs=1e-14)
        assert whole.sd == pytest.approx(over.std(), abs=1e-14)


def test_average_over_data_sets_gives_each_the_same_weight() -> None:
    plan = make_plan(ROWS[:1], COLUMNS)
    board = Board(plan, make_records(plan, lambda entry: 1.0 if entry.cell.dataset == "textures" else 0.5))
    assert board.summary(0, list(board.datasets.values()), 0.0).mean == 0.75
    assert board.summary(0, [board.columns], 0.0).mean == pytest.approx(0.7)


def test_a_deterministic_method_has_one_cell_and_no_spread() -> None:
    plan = make_plan(ROWS, COLUMNS, seeds=(0, 1, 2))
    board = Board(plan, make_records(plan))
    assert len(board.group(0, 0, 0.0).cells) == 1
    assert len(board.group(1, 0, 0.0).cells) == 3
    assert board.summary(0, [(0, 1)], 0.0).sd is None
    assert board.summary(1, [(0, 1)], 0.0).sd is not None


def test_a_cell_planned_for_several_seeds_counts_once() -> None:
    plan = make_plan(ROWS[:1], COLUMNS[:1])
    twice = replace(plan, entries=plan.entries * 2)
    board = Board(twice, make_records(twice))
    assert board.cells() == (1, 0, 0)
    assert len(board.records()) == 1


@pytest.mark.parametrize("hole", ["failed", "missing", "undefined"])
def test_a_mean_over_fewer_cells_is_no_number(hole: str) -> None:
    plan = make_plan(ROWS, COLUMNS, seeds=(0, 1))
    records = make_records(plan)
    entry = next(entry for entry in plan.entries if entry.row == 1 and entry.column == 0)
    if hole == "failed":
        records[entry.cell.key] = failure(entry.cell)
    elif hole == "missing":
        del records[entry.cell.key]
    else:
        records[entry.cell.key] = replace(records[entry.cell.key], metrics={})
    board = Board(plan, records)
    assert board.group(1, 0, 0.0).mean("auroc") is None
    summary = board.summary(1, [board.datasets["digits"]], 0.0)
    assert summary.mean is None
    assert summary.sd is None
    assert (summary.failed, summary.missing) == (int(hole == "failed"), int(hole == "missing"))
    assert board.summary(1, [board.datasets["textures"]], 0.0).mean is not None
    # It has no rank where it is incomplete, and the others rank among themselves.
    assert set(board.mean_ranks(board.columns, [0.0])) == {0, 2}
    assert set(board.mean_ranks(board.datasets["textures"], [0.0])) == {0, 1, 2}


def test_mean_ranks_are_those_of_scipy() -> None:
    plan = make_plan(tuple(row(f"m{at}") for at in range(6)), COLUMNS, rates=(0.0, 0.1))
    rng = np.random.default_rng(0)
    values = {entry.cell: float(rng.integers(0, 4)) / 4 for entry in plan.entries}
    board = Board(plan, make_records(plan, lambda entry: values[entry.cell]))
    places = [(column, rate) for column in board.columns for rate in board.rates]
    means = np.array([[board.group(at, *place).mean("auroc") for place in places] for at in range(6)])
    # Over the tasks of a data set, then over data sets, as the averages are.
    ranks_of = rankdata(-means, method="average", axis=0)
    names = np.array([plan.columns[column].dataset for column, _ in places])
    assert len(set(np.unique(names, return_counts=True)[1].tolist())) > 1, "data sets of unlike size"
    expected = np.mean([ranks_of[:, names == name].mean(axis=1) for name in set(names)], axis=0)
    found = board.mean_ranks(board.columns, board.rates)
    assert [found[at] for at in range(6)] == pytest.approx(expected, abs=1e-12)


def test_ranks_use_unrounded_values_and_share_ties() -> None:
    assert average_ranks({0: 0.95001, 1: 0.95002, 2: 0.5}) == {0: 2.0, 1: 1.0, 2: 3.0}
    assert average_ranks({0: 0.9, 1: 0.9, 2: 0.5, 3: 0.5, 4: 0.5}) == {0: 1.5, 1: 1.5, 2: 4.0, 3: 4.0, 4: 4.0}
    assert average_ranks({}) == {}


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=30))
def test_ranks_sum_to_the_same_whatever_the_ties(values: list[float]) -> None:
    found = average_ranks(dict(enumerate(values)))
    assert math.fsum(found.values()) == len(values) * (len(values) + 1) / 2
    assert [found[at] for at in range(len(values))] == list(rankdata([-value for value in values]))


def test_only_one_class_rows_that_were_not_chosen_on_test_data_rank() -> None:
    others = (
        row("control", setting="control"),
        row("oe", setting="outlier-exposure"),
        row("best", selection="oracle"),
        row("both", setting="outlier-exposure", selection="oracle"),
    )
    assert [ranks(each) for each in (row("a"), row("b", selection="validation"), *others)] == [True] * 2 + [
        False
    ] * 4
    assert [setting_name(each) for each in others] == [
        "control",
        "outlier-exposure",
        "oracle selection",
        "outlier-exposure, oracle selection",
    ]
    plan = make_plan((*ROWS, *others), COLUMNS)
    board = Board(plan, make_records(plan, lambda entry: 1.0 if entry.row > 2 else None))
    assert set(board.mean_ranks(board.columns, [0.0])) == {0, 1, 2}
    assert board.unranked == {
        "control": (3,),
        "outlier-exposure": (4,),
        "oracle selection": (5,),
        "outlier-exposure, oracle selection": (6,),
    }


def test_the_order_of_running_changes_nothing() -> None:
    plan = make_plan(ROWS, COLUMNS, rates=(0.0, 0.1), seeds=(0, 1, 2))
    records = make_records(plan)
    turned = replace(plan, entries=plan.entries[::-1])
    one, two = Board(plan, records), Board(turned, dict(reversed(records.items())))
    for at in range(len(ROWS)):
        for rate in (0.0, 0.1):
            every = list(one.datasets.values())
            assert one.summary(at, every, rate) == two.summary(at, every, rate)
    assert one.records() == two.records()


def test_spread_is_none_where_the_seeds_differ_between_tasks() -> None:
    plan = make_plan(ROWS[1:2], COLUMNS[:2], seeds=(0, 1))
    entries: list[Entry] = []
    for entry in plan.entries:
        seed = entry.cell.seed + 10 if entry.column and entry.cell.seed is not None else entry.cell.seed
        entries.append(replace(entry, cell=replace(entry.cell, seed=seed)))
    plan = replace(plan, entries=tuple(entries))
    summary = Board(plan, make_records(plan)).summary(0, [(0, 1)], 0.0)
    assert summary.mean is not None
    assert summary.sd is None


def test_a_value_for_all_seeds_joins_those_that_vary() -> None:
    """A data set with draws at every rate beside one that is clean at rate 0: both stand in the average."""
    plan = make_plan((row("a"),), COLUMNS, seeds=(0, 1), rates=(0.1,), source="test")
    clean = make_plan((row("a"),), COLUMNS, seeds=(0, 1))
    entries = [entry for entry in plan.entries if entry.cell.dataset == "textures"]
    entries += [replace(entry, rate=0.1) for entry in clean.entries if entry.cell.dataset == "digits"]
    plan = replace(plan, entries=tuple(entries))
    board = Board(plan, make_records(plan))
    assert board.summary(0, [board.datasets["digits"]], 0.1).sd is None
    drawn = board.summary(0, [board.datasets["textures"]], 0.1).sd
    assert drawn is not None
    # The clean half is the same for all seeds.
    assert board.summary(0, list(board.datasets.values()), 0.1).sd == pytest.approx(drawn / 2)


def test_draws_of_one_seed_are_averaged_before_seeds() -> None:
    plan = make_plan(ROWS[1:2], COLUMNS[:1], seeds=(0, 1), rates=(0.1,))
    redrawn = [
        replace(entry, cell=replace(entry.cell, contamination=replace(entry.cell.contamination, seed=9)))
        for entry in plan.entries
    ]
    plan = replace(plan, entries=(*plan.entries, *redrawn))
    records = make_records(plan)
    by_seed = Board(plan, records).group(0, 0, 0.1).by_seed("auroc")
    assert by_seed is not None
    assert set(by_seed) == {0, 1}
    first = [record.metrics["auroc"] for record in records.values() if record.cell.seed == 0]
    assert by_seed[0] == pytest.approx(sum(first) / 2)
