"""AUROC by anomaly class: numbers by hand, changes against no labels, and where nothing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.fewshot import UNLABELLED, FewShot
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.anomalytypes import by_type, record_by_type
from bench.report.leaderboard.leaderboard import leaderboard
from tests.report.evidence.scored_factory import truth_of, write_archive
from tests.report.report_factory import columns, make_plan, row

LABELS, TYPES = [0, 0, 1, 1, 1, 1], ["good", "good", "cut", "cut", "hole", "hole"]
#: Scores of these images by row: the first finds half of each type, the labelled ones all of theirs.
SCORES = {
    0: [1.0, 2, 1.5, 3, 0, 3],
    1: [1.0, 2, 3, 3, 0, 0],
    2: [1.0, 2, 0, 0, 3, 3],
}
#: AUROC of cut and hole against good, by hand.
BY_HAND = {0: (0.75, 0.5), 1: (1.0, 0.0), 2: (0.0, 1.0)}
FEW = [UNLABELLED, FewShot(anomalies=2, only="cut"), FewShot(anomalies=2, only="hole")]


def truth(_: Entry, **without: Any) -> Truth:
    names = sorted(set(TYPES))
    numbers = np.array([names.index(each) for each in TYPES], np.int32)
    return replace(truth_of(LABELS), **{"types": tuple(names), "type_of": numbers, **without})


def plan_of(few: list[FewShot]) -> Plan:
    rows = [row(f"m{at}", setting=each.setting or "one-class") for at, each in enumerate(few)]
    plan = make_plan(rows, columns(x=["0"]))
    entries = [
        replace(entry, cell=replace(entry.cell, method="m", params=(), few_shot=few[entry.row]))
        for entry in plan.entries
    ]
    return replace(plan, entries=tuple(entries))


def evidence_of(folder: Path, few: list[FewShot], **without: Any) -> Evidence:
    plan = plan_of(few)
    archive, records = write_archive(
        folder, plan, lambda entry, _: SCORES[entry.row], lambda entry: truth(entry, **without)
    )
    for entry in plan.entries:
        found = record_by_type(archive, records[entry.cell.key])
        expected = dict(zip(("cut", "hole"), BY_HAND[entry.row], strict=True)) if not without else {}
        assert found == pytest.approx(expected)
    return Evidence(Board(plan, records), archive)


def test_numbers_and_changes_are_those_by_hand(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, FEW)
    cells = [
        [each.strip() for each in line.split("|")[1:-1]] for line in by_type(evidence, 0.0) if "|" in line
    ]
    assert cells[0] == cells[5] == ["Method", "cut", "hole", "others"]
    assert cells[2:5] == [
        ["m0", "75.0", "50.0", "62.5"],
        ["m1", r"100.0\*", "0.0", "0.0"],
        ["m2", "0.0", r"100.0\*", "0.0"],
    ]
    assert cells[7:] == [["m1", r"+25.0\*", "−50.0", "−50.0"], ["m2", "−75.0", r"+50.0\*", "−75.0"]]
    assert "## By anomaly class" in leaderboard(evidence.board.plan, {}, evidence=evidence)


def test_nothing_is_said_where_no_labels_are_of_one_type_or_types_are_not_kept(tmp_path: Path) -> None:
    mixed = [UNLABELLED, FewShot(anomalies=2), FewShot(anomalies=4)]
    assert by_type(evidence_of(tmp_path / "a", mixed), 0.0) == []
    assert by_type(evidence_of(tmp_path / "b", FEW, types=(), type_of=None), 0.0) == []
    evidence = evidence_of(tmp_path / "c", FEW)
    assert by_type(Evidence(evidence.board), 0.0) == []  # without an archive


def test_a_truth_of_old_gets_its_types_when_cells_run_again(tmp_path: Path) -> None:
    evidence_of(tmp_path, FEW, types=(), type_of=None)
    evidence = evidence_of(tmp_path, FEW)
    assert by_type(evidence, 0.0)
