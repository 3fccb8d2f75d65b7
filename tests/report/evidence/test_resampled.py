"""Which pixel metrics differ: from an archive's replicates to letters, intervals and what holds the null."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from statsmodels.stats.multitest import multipletests

from bench.core.archive import Archive
from bench.metrics.pixel import PIXEL_METRICS, CodeHistogram, pixel_metrics, regions_of
from bench.metrics.resampling import image_draws
from bench.report.board import Board
from bench.report.evidence.comparison import compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.resampled import compare_pixels, freedom
from bench.report.evidence.samples import ImageReplicates, Samples
from bench.report.leaderboard.localisation import pixel_tables
from bench.report.page.tables import overview
from tests.metrics.test_resampling import resampled
from tests.report.evidence.scored_factory import truth_of
from tests.report.report_factory import columns, make_plan, make_records, row

PLAN = make_plan([row("a"), row("b"), row("c")], columns(digits=["0", "1"]))
LABELS = np.repeat([0, 1], [8, 14]).astype(np.uint8)
VALUES = {"a": 0.6, "b": 0.9, "c": 0.59}


def board_of(folder: Path, *, other_test_set: str = "") -> tuple[Archive, Board]:
    """Write replicates of AUPRO around each method's value: what images share moves all methods alike."""
    archive, records = Archive(folder), {}
    for at, (key, record) in enumerate(make_records(PLAN).items()):
        rng, task = np.random.default_rng(at), record.cell.task
        shared = np.random.default_rng(int(task)).normal(size=500) / 20
        labels = LABELS[::-1].copy() if record.cell.method == other_test_set else LABELS
        truth = truth_of(labels, task)
        value = VALUES[record.cell.method]
        whole = replace(
            record,
            metrics={**record.metrics, "aupro": value, "pixel_ap": value},
            counts={**record.counts, "regions": 14, "test": 22, "test_anomalous": 14},
            truth=truth.identity,
        )
        beside = {"aupro_resampled": value + shared + rng.normal(size=500) / 100}
        records[key] = archive.write(whole, rng.random(22), truth, beside)
    return archive, Board(PLAN, records)


def test_methods_are_compared_by_the_spread_of_their_paired_replicates(tmp_path: Path) -> None:
    archive, board = board_of(tmp_path)
    evidence = Evidence(board, archive)
    found = compare_pixels(evidence, "digits", 0.0)
    assert set(found) == {"aupro"}, "pixel_ap has no replicates"
    compared = found["aupro"]
    by_label = dict(zip(map(board.label, compared.rows), compared.letters, strict=True))
    assert by_label["b"] == "a"
    assert by_label["a"] == by_label["c"] == "b"
    held = {
        (record.cell.method, record.cell.task): archive.beside(record)["aupro_resampled"].astype(float)
        for record in board.records()
    }
    raw = {}
    for pair in ("ab", "bc", "ac"):
        apart = [(held[pair[0], task] - held[pair[1], task]).var(ddof=1) / 4 for task in "01"]
        of_sum = sum(apart) ** 2 / sum(each**2 / 5.5 for each in apart) - 2
        t = abs(VALUES[pair[0]] - VALUES[pair[1]]) / np.sqrt(sum(apart))
        raw[pair] = 2 * stats.t.sf(t, min(of_sum, 7))
    expected = dict(zip(raw, multipletests(list(raw.values()), method="holm")[1], strict=True))
    names = [board.label(at) for at in compared.rows]
    for pair, p in expected.items():
        assert compared.adjusted[names.index(pair[0]), names.index(pair[1])] == pytest.approx(p, rel=1e-6)
    low, high = compared.on_images[names.index("b")]
    assert low < 0.9 < high < 1


def test_the_tables_show_intervals_and_letters(tmp_path: Path) -> None:
    archive, board = board_of(tmp_path)
    text = "\n".join(pixel_tables(Evidence(board, archive), 0.0))
    assert "Which differ" in text
    line = next(line for line in text.splitlines() if line.startswith("| b "))
    assert "**90.0** (" in line
    assert "500 resamples" in text
    page = overview(Evidence(board, archive))
    tables = [each.table for each in page.tables if each.metric == "aupro" and not each.dataset]
    cells = [cell for at in tables[0].rows for cell in at.cells if cell.interval is not None]
    assert len(cells) == 3


def test_nothing_is_said_without_an_archive_or_of_other_test_images(tmp_path: Path) -> None:
    archive, board = board_of(tmp_path, other_test_set="c")
    assert compare_pixels(Evidence(board, archive), "digits", 0.0) == {}
    assert compare_pixels(Evidence(board), "digits", 0.0) == {}
    text = "\n".join(pixel_tables(Evidence(board, archive), 0.0))
    assert "Which differ" not in text
    assert "**90.0**" in text


def null_case(seed: int) -> dict[str, float]:
    """Return p values of two equally good methods, for which images are hard in part alike."""
    rng, n = np.random.default_rng(seed), 50
    labels = np.repeat([0, 1], [20, 30]).astype(np.uint8)
    masks = ndimage.gaussian_filter(rng.normal(size=(n, 24, 24)), (0, 2, 2)) > 0.22
    masks[labels == 0] = False
    masks[labels == 1, 11:14, 11:14] = True
    hard, draws = rng.normal(size=n), image_draws(labels, seed=seed, replicates=100)
    assert draws is not None
    replicates, exact = [], []
    for _ in range(2):
        noise = 2 * ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 1, 1))
        seen = 1 + 0.5 * hard + 0.5 * rng.normal(size=n)
        lift = rng.normal(size=n) / 3
        maps = (noise + lift[:, None, None] + masks * seen[:, None, None]).astype(np.float16)
        replicates.append(resampled(maps, masks, draws)[0])
        every = (CodeHistogram.of_image(m, regions_of(t)) for m, t in zip(maps, masks, strict=True))
        exact.append(pixel_metrics(reduce(add, every)))
    found = {}
    for name in PIXEL_METRICS:
        values = np.array([each[name] for each in exact])[:, None, None]
        images = ImageReplicates(
            np.array([each[name] for each in replicates])[:, None], np.array([freedom(20)])
        )
        samples = Samples((0, 1), (0,), (values,), np.ones(2, bool), (images,))
        found[name] = float(compare_methods(samples).adjusted[0, 1])
    return found


def test_equal_methods_seldom_differ() -> None:
    every = [null_case(seed) for seed in range(40)]
    for name in PIXEL_METRICS:
        p = np.array([each[name] for each in every])
        # Of 40 a true 6 % has more than 6 in 1 of 70 runs.
        assert (p <= 0.05).sum() <= 6, name
        assert (p <= 0.5).sum() >= 10, f"{name}: the test never says anything"
