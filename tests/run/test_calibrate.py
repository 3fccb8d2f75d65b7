"""Calibration scores through whole runs, and the board of thresholds made from the archive alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.core.archive import Archive
from bench.core.errors import SuiteError
from bench.metrics.threshold import RULES
from bench.run.calibrate import fold_of

ROOT = Path(bench.__file__).resolve().parent.parent
SUITE = """
datasets = ["textures[task=[weave,wood],size=24,train=25,good=12,per_defect=3]"]
methods = ["dn2[backbone=pixels[size=6],k=1]", "mean_distance[backbone=pixels[size=6]]"]

[thresholds]
folds = {folds}
how = "{how}"
rate = 0.2
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(folds: int = 5, how: str = "cross-fit", **options: Any) -> bench.Results:
    Path("trial.toml").write_text(SUITE.format(folds=folds, how=how))
    return bench.run("trial.toml", **{"show": False, "executor": "inline", "device": "cpu"} | options)


def test_each_image_is_scored_by_a_method_that_never_saw_it() -> None:
    record = next(r for r in run().records.values() if r.cell.method == "dn2" and r.cell.task == "weave")
    beside = Archive(Path("results")).beside(record)
    assert set(beside) == {"calibration", "calibration_fold", "calibration_test"}
    folds = beside["calibration_fold"].astype(int)
    assert np.bincount(folds).tolist() == [5] * 5
    assert sorted(fold_of(record.cell.task_name, 25, 5)) == sorted(folds)
    assert record.counts["calibration"] == 25
    # By hand: the nearest of the images of other folds.
    from bench.features.backbone import Backbones
    from bench.run.runner import Runner
    from bench.suite.registry import Registry

    runner = Runner(Registry([], Path.cwd()), Backbones())
    images = runner.open_task(record.cell).train.bind(runner.provider)
    features = images.features("pixels[size=6]").double().numpy()
    squared = ((features[:, None] - features[None]) ** 2).sum(2)
    expected = [squared[i][folds != folds[i]].min() for i in range(25)]
    np.testing.assert_allclose(beside["calibration"], expected, rtol=1e-4)
    assert (beside["calibration"] > 0).all()
    tested = runner.open_task(record.cell).test.bind(runner.provider).features("pixels[size=6]").double()
    squared = ((tested.numpy()[:, None] - features[None]) ** 2).sum(2)
    expected = [squared[:, folds != fold].min(1) for fold in range(5)]
    np.testing.assert_allclose(beside["calibration_test"].reshape(5, -1), expected, rtol=1e-4)


def test_scores_are_those_of_a_run_without_and_cells_without_run_again() -> None:
    Path("trial.toml").write_text(SUITE.format(folds=3, how="cross-fit").partition("[thresholds]")[0])
    options: dict[str, Any] = {"show": False, "executor": "inline", "device": "cpu"}
    before = bench.run("trial.toml", **options)
    assert "Thresholds" not in Path("results/trial.md").read_text()
    after = run()
    archive = Archive(Path("results"))
    assert set(after.records) == set(before.records)
    for key, record in after.records.items():
        assert record.metrics == before.records[key].metrics
        assert record.created >= before.records[key].created
        assert "calibration" in record.counts
        assert "calibration" in archive.beside(record)
    assert run().records == after.records, "nothing runs a third time"


def test_one_fold_alone_is_held_out_and_workers_say_the_same() -> None:
    here, there = run(folds=4, how="held-out"), run(folds=4, how="held-out", executor="pool", results="other")
    for key, record in here.records.items():
        one, other = (
            Archive(Path("results")).beside(record),
            Archive(Path("other")).beside(there.records[key]),
        )
        assert set(one["calibration_fold"]) == {0}
        assert len(one["calibration"]) == 7
        assert "calibration_test" not in one, "that takes all folds"
        np.testing.assert_array_equal(one["calibration"], other["calibration"])


def test_the_board_and_its_csv_come_from_the_archive() -> None:
    run()
    page = Path("results/trial.md").read_text()
    assert "## Thresholds from normal images" in page
    assert "aimed at 20 % false alarms" in page.replace("\u00a0", " ")
    for words in ("Realised against nominal", "Every rule", "Calling every image anomalous has F1"):
        assert words in page
    lines = list(csv.DictReader(io.StringIO(Path("results/trial-thresholds.csv").read_text())))
    assert {line["rule"] for line in lines} == {*RULES, "cross-conformal", "oracle"}
    assert len(lines) == 4 * (len(RULES) + 2)
    for line in lines:
        assert 0 <= float(line["regret"]) <= 1
        assert int(line["good"]) == 12
        assert (line["rule"] != "oracle") or float(line["regret"]) == 0
        if line["rule"] in ("conformal", "cross-conformal"):
            assert (line["rank"], line["calibration"]) == ("21", "25")
    Path("results/trial-thresholds.csv").unlink()
    bench.load("results", "trial").write()
    again = list(csv.DictReader(io.StringIO(Path("results/trial-thresholds.csv").read_text())))
    assert again == lines


def test_a_method_that_cannot_be_fitted_on_a_part_says_so() -> None:
    Path("methods").mkdir()
    Path("methods/picky.py").write_text(
        "from bench import Method, Scores\n"
        "class Picky(Method):\n"
        "    def __init__(self, least: int = 25) -> None:\n        self.least = least\n"
        "    def fit(self, train):\n        assert len(train) >= self.least, 'too few'\n"
        "    def score(self, test):\n        return Scores(test.features('pixels[size=4]').mean(1))\n"
    )
    Path("trial.toml").write_text(
        SUITE.format(folds=5, how="cross-fit").replace('"mean_distance[backbone=pixels[size=6]]"', '"picky"')
    )
    found = bench.run("trial.toml", show=False, executor="inline", device="cpu").records.values()
    picky = [record for record in found if record.cell.method == "picky"]
    assert [record.status for record in picky] == ["ok", "ok"]
    assert all("no calibration scores: AssertionError: too few" in record.flags for record in picky)
    page = Path("results/trial.md").read_text()
    assert "dn2" in page.partition("## Thresholds")[2].partition("Every rule")[0]
    assert "picky" not in page.partition("## Thresholds")[2].partition("Every rule")[0]


def test_the_table_is_checked() -> None:
    for wrong, says in (
        ("folds = 1", "folds"),
        ('how = "x"', "how"),
        ("rate = 1.0", "rate"),
        ("fold = 2", "fold"),
    ):
        Path("trial.toml").write_text(SUITE.partition("[thresholds]")[0] + f"[thresholds]\n{wrong}\n")
        with pytest.raises(SuiteError, match=says):
            bench.run("trial.toml", show=False)
