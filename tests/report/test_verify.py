"""What a record says of its scores is not believed: reports and merges compute it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.merge import merge
from bench.core.plan import Plan
from bench.report import verify
from bench.report.results import Results
from bench.report.verify import check, load_verified
from tests.factory import make_cell, make_plan_of, run_cells

CELLS = [make_cell(task, "mean_distance", backbone="pixels[size=4]") for task in "01"]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    archive = Archive(tmp_path / "results")
    run_cells(CELLS, archive)
    found = make_plan_of(CELLS)
    archive.write_plan(found)
    return found


def files(results: Path, ending: str) -> Path:
    return results / "records" / CELLS[0].key[:2] / f"{CELLS[0].key}.{ending}"


def edit(results: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = files(results, "json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def loaded(results: Path) -> tuple[Record, list[str]]:
    archive = Archive(results)
    return load_verified(archive, [CELLS[0].key])[CELLS[0].key], archive.unreadable


EDITS: list[Callable[[dict[str, Any]], object]] = [
    lambda data: data["metrics"].update(auroc=0.999),
    lambda data: data["metrics"].update(ap=0.999),
    lambda data: data["metrics"].update(fpr95=0.0),
    lambda data: data["metrics"].pop("auroc"),
    lambda data: data["metrics"].clear(),
]


@pytest.mark.parametrize("change", EDITS)
def test_an_edited_number_is_named_and_the_right_one_shown(
    plan: Plan, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    results = tmp_path / "results"
    right, said = loaded(results)
    assert not said
    assert not right.flags
    edit(results, change)
    record, said = loaded(results)
    assert record.metrics == right.metrics
    assert "its record was changed" in said[0]
    assert "its record was changed" in record.flags[-1]
    shown = Results(plan, Archive(results))
    outcome = shown.write()
    assert any("its record was changed" in problem for problem in outcome.problems)
    assert repr(right.metrics["auroc"]) in (results / "trial.csv").read_text()
    assert "its record was changed" in outcome.leaderboard.read_text()


@pytest.mark.parametrize("change", EDITS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.usefixtures("plan")
def test_an_edited_number_is_not_merged(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], own: bool
) -> None:
    results, into = tmp_path / "results", tmp_path / "into"
    right = loaded(results)[0].metrics
    if own:  # the destination's own record is the edited one
        merge([results], into)
        edit(into, change)
    else:
        edit(results, change)
    merged = merge([results], into, check=check)
    assert any("its record was changed" in message for message in merged.skipped)
    kept = Archive(into).load(CELLS[0].key)
    assert kept is not None
    assert kept.metrics == right


@pytest.mark.parametrize("ruin", ["missing", "torn", "of another"])
@pytest.mark.usefixtures("plan")
def test_numbers_without_their_scores_are_flagged(tmp_path: Path, ruin: str) -> None:
    path = files(tmp_path / "results", "npz")
    if ruin == "missing":
        path.unlink()
    elif ruin == "torn":
        path.write_bytes(path.read_bytes()[:50])
    else:
        np.savez(path, scores=np.arange(3.0))
    record, said = loaded(tmp_path / "results")
    assert "cannot be checked" in said[0]
    assert "cannot be checked" in record.flags[-1]


@pytest.mark.usefixtures("plan")
def test_a_record_without_the_name_of_its_scores_is_flagged(tmp_path: Path) -> None:
    edit(tmp_path / "results", lambda data: data.update(scores_sha256="", metrics={"auroc": 1.0}))
    record, said = loaded(tmp_path / "results")
    assert "cannot be checked" in said[0]
    assert "cannot be checked" in record.flags[-1]


@pytest.mark.usefixtures("plan")
def test_what_was_found_right_is_read_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, asked = tmp_path / "results", []
    real = verify.image_metrics
    monkeypatch.setattr(verify, "image_metrics", lambda *a: asked.append(a) or real(*a))
    for expected in (1, 1):
        loaded(results)
        assert len(asked) == expected
    times = files(results, "json").stat()
    text = files(results, "json").read_text()
    auroc = json.loads(text)["metrics"]["auroc"]
    files(results, "json").write_text(text.replace(repr(auroc), f"0.{'9' * (len(repr(auroc)) - 2)}"))
    os.utime(files(results, "json"), ns=(times.st_atime_ns, times.st_mtime_ns))
    assert files(results, "json").stat().st_size == times.st_size
    record, said = loaded(results)
    assert record.metrics["auroc"] == auroc
    assert said
    assert len(asked) == 2


def test_what_this_run_wrote_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path / "results")
    records = {record.cell.key: record for record in run_cells(CELLS, archive)}
    monkeypatch.setattr(verify, "image_metrics", lambda *_: pytest.fail("read again"))
    assert verify.verified(archive, records) == records
