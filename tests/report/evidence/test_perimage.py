"""AUPIMO image by image: scipy's signed ranks on what the archive holds beside the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.core.archive import Archive
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.perimage import paired_aupimo
from bench.report.leaderboard.localisation import pixel_tables
from tests.report.evidence.scored_factory import truth_of
from tests.report.report_factory import columns, make_plan, make_records, row

PLAN = make_plan([row("a"), row("b"), row("c")], columns(digits=["0", "1"]))


def archive_of(folder: Path, values: dict[str, float]) -> tuple[Archive, Board]:
    """Write an archive whose methods have AUPIMOs of so much on average."""
    archive, records = Archive(folder), {}
    labels = np.repeat([0, 1], [6, 14]).astype(np.uint8)
    for at, (key, record) in enumerate(make_records(PLAN).items()):
        rng = np.random.default_rng(at)
        mean = values[record.cell.method]
        found = np.where(labels == 1, np.clip(mean + rng.normal(size=20) / 10, 0, 1), np.nan)
        truth = truth_of(labels, record.cell.task)
        metrics = {
            **record.metrics,
            "aupimo": float(np.nanmean(found)),
            "aupro": mean,
            "aupro_per_image": mean,
        }
        counts = {**record.counts, "regions": 14}
        whole = replace(record, metrics=metrics, counts=counts, truth=truth.identity)
        records[key] = archive.write(whole, rng.random(20), truth, {"aupimo": found})
    return archive, Board(PLAN, records)


def test_signed_ranks_against_the_best(tmp_path: Path) -> None:
    archive, board = archive_of(tmp_path, {"a": 0.5, "b": 0.8, "c": 0.49})
    found = paired_aupimo(board, archive, board.ranked, 0.0)
    assert board.label(found[0].row) == "b"
    assert np.isnan(found[0].p)
    held = {
        name: np.concatenate(
            [
                values[~np.isnan(values)]
                for record in board.records()
                if record.cell.method == name
                for values in [archive.beside(record)["aupimo"].astype(float)]
            ]
        )
        for name in "abc"
    }
    raw = {name: stats.wilcoxon(held[name] - held["b"], zero_method="pratt").pvalue for name in "ac"}
    for each in found[1:]:
        name = board.label(each.row)
        assert each.images == 28
        assert each.mean == pytest.approx(held[name].mean())
        assert each.behind == pytest.approx((held[name] - held["b"]).mean())
        assert each.p == pytest.approx(min(1, max(raw[name], min(raw.values()) * 2)))
    text = "\n".join(pixel_tables(Evidence(board, archive), 0.0))
    assert "AUPIMO image by image" in text
    assert "AUPRO per image" not in text.partition("Per image")[0], "never beside pooled numbers"
    assert "**Per image**" in text


def test_equal_methods_and_a_single_one(tmp_path: Path) -> None:
    archive, board = archive_of(tmp_path, {"a": 2.0, "b": 2.0, "c": 2.0})  # all clipped to 1
    assert [each.p for each in paired_aupimo(board, archive, board.ranked, 0.0)][1:] == [1.0, 1.0]
    assert paired_aupimo(board, archive, board.ranked[:1], 0.0) == []
