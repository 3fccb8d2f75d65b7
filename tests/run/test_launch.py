"""The Python API on the one launcher: ``bench.run`` and ``bench.load``, what they return, how they fail."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.core.archive import Archive
from bench.core.errors import AnobenchError, ArchiveError, SuiteError
from bench.report.export import HEADER
from tests.factory import write_method

ROOT = Path(bench.__file__).resolve().parent.parent
SUITE = """
title = "Trial"
datasets = ["digits[task=3]", "digits[task=8]"]
methods = ["mean_distance[backbone=pixels[size=4]]", "random"]
seeds = [0, 1]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*suite: str, **options: object) -> bench.Results:
    return bench.run(*suite, **{"show": False, "executor": "inline", "device": "cpu"} | options)


def test_selectors_make_a_suite_and_a_second_run_computes_nothing(tmp_path: Path) -> None:
    chosen = {"datasets": "digits[task=3]", "methods": ["random", "mean_distance[backbone=pixels[size=4]]"]}
    results = run(**chosen)
    assert [(cell.method, cell.task) for cell in results.cells] == [("mean_distance", "3"), ("random", "3")][
        ::-1
    ]
    assert repr(results) == "<Results of adhoc: 2 of 2 cells>"
    files = {path: path.read_bytes() for path in (tmp_path / "results" / "records").glob("??/*")}
    assert len(files) == 4
    again = run(**chosen)
    assert again.records == results.records
    assert {path: path.read_bytes() for path in files} == files, "the records of the first run, not new ones"
    assert run(fresh=True, **chosen).records != results.records, "at another time"


def test_the_frame_is_the_csv_with_types(tmp_path: Path) -> None:
    (tmp_path / "trial.toml").write_text(SUITE)
    results = run("trial.toml", results="elsewhere")
    frame = results.frame()
    assert list(frame) == list(HEADER)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    numbers = {"contamination": "float64", "value": "float64", "seed": "Int64"}
    assert {name: kinds[name] for name in numbers} == numbers
    assert all(isinstance(value, str) for name in set(HEADER) - set(numbers) for value in frame[name])
    with (tmp_path / "elsewhere" / "trial.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(frame)
    for row, (_, found) in zip(rows, frame.iterrows(), strict=True):
        assert row["method"] == found["method"]
        assert row["seed"] == ("" if found.isna()["seed"] else str(found["seed"]))
        assert row["value"] == "" if np.isnan(found["value"]) else float(row["value"]) == found["value"]
    leaderboard = results.leaderboard()
    assert str(leaderboard) == leaderboard._repr_markdown_()
    assert str(leaderboard).startswith("# Trial\n")
    assert all(f"\n| {method}" in str(leaderboard) for method in ("mean_distance", "random"))
    part = run("trial.toml", results="elsewhere", methods="rand*", datasets=["digits[task=8]"], fresh=True)
    changed = {key for key, record in part.records.items() if record != results.records[key]}
    assert {results.records[key].cell.task_name for key in changed} == {"digits/8"}
    loaded = bench.load("elsewhere", "trial")
    assert loaded.records == part.records
    with pytest.raises(ArchiveError, match=r"no run of the suite 'trail'; did you mean 'trial'"):
        bench.load("elsewhere", "trail")


def test_scores_have_the_names_of_the_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, n in {"train/good": 4, "test/good": 2, "test/scratch": 2}.items():
        (tmp_path / "parts" / name).mkdir(parents=True)
        for at in range(n):
            pixels = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8) + 50 * ("scratch" in name)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "parts" / name / f"{at}.png")
    selector = f"folder[path={tmp_path / 'parts'}]"
    results = run(datasets=selector, methods="mean_distance[backbone=pixels[size=4]]")
    (cell,) = results.cells
    scores = results.scores(cell)
    assert list(scores) == ["image", "label", "score"]
    assert len(scores) == 4
    for name, label in zip(scores["image"], scores["label"], strict=True):
        image = Path(name)
        assert image.samefile(tmp_path / "parts" / "test" / image.parent.name / image.name)
        assert label == (image.parent.name == "scratch")
    assert results.scores(cell.key).equals(scores)
    assert results.scores(str(cell)).equals(scores)
    np.testing.assert_array_equal(scores["score"], Archive(Path("results")).scores(results.records[cell.key]))
    with pytest.raises(ArchiveError, match=r"adhoc has no cell 'nothing'; its cells are in \.cells"):
        results.scores("nothing")


def test_failures_are_rows_and_their_scores_an_error(tmp_path: Path) -> None:
    write_method(tmp_path, "broken", "return Scores([float('nan')] * len(test))")
    results = run(datasets="digits[task=3]", methods=["broken", "random"])
    failures = results.failures()
    assert list(failures) == ["cell", "method", "dataset", "task", "kind", "reason"]
    assert failures[["method", "dataset", "task", "kind"]].values.tolist() == [
        ["broken", "digits", "3", "ScoreError"]
    ]
    assert "NaN" in failures["reason"][0]
    with pytest.raises(ArchiveError, match="it failed"):
        results.scores(failures["cell"][0])
    assert results.failures().equals(bench.load("results", "adhoc").failures())


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"methods": "random"}, SuiteError, "give a suite"),
        ({"worker": 2}, AnobenchError, "no option 'worker'; did you mean 'workers'"),
        ({"executor": "pol"}, AnobenchError, "expected one of .*did you mean 'pool'"),
        ({"timing": "precise"}, AnobenchError, "expected packed or exclusive"),
    ],
)
def test_mistakes_are_named_before_anything_runs(
    options: dict[str, object], kind: type[AnobenchError], reason: str, tmp_path: Path
) -> None:
    given = {"datasets": "digits[task=3]", "methods": "random"} if "methods" not in options else {}
    with pytest.raises(kind, match=reason):
        run(**given, **options)
    assert not (tmp_path / "results").exists()


SCRIPT = """
import bench
print("the body runs")
results = bench.run(datasets="digits[task=3]", methods={methods}, executor="pool", workers=2, device="cpu")
print(len(results.records), "records")
"""


def script(folder: Path, methods: list[str]) -> subprocess.Popen[str]:
    """Start a script that runs methods in a pool, without a guard against being imported."""
    (folder / "script.py").write_text(SCRIPT.format(methods=methods))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_without_a_main_guard_can_use_the_pool(tmp_path: Path) -> None:
    out, err = script(tmp_path, ["random", "mean_distance[backbone=pixels[size=4]]"]).communicate(timeout=300)
    assert out.splitlines() == ["the body runs", "2 records"], err
    assert "2 of 2 cells" in err


def test_ctrl_c_raises_and_records_stay(tmp_path: Path) -> None:
    """One cell finishes while another waits; a second Ctrl-C ends that one."""
    write_method(
        tmp_path,
        "waits",
        "import pathlib, time\n"
        "        pathlib.Path('here').touch()\n"
        "        time.sleep(600)\n"
        "        return Scores([0.0] * len(test))",
    )
    process = script(tmp_path, ["random", "waits"])
    records, end = tmp_path / "results" / "records", time.monotonic() + 300
    while not ((tmp_path / "here").exists() and list(records.glob("??/*.json"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "interrupted" not in (line := process.stderr.readline()):
        assert line, "it ended without a word"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert out == "the body runs\n"
    assert err.rstrip().endswith("KeyboardInterrupt")
    results = bench.load(tmp_path / "results", "adhoc")
    assert [record.cell.method for record in results.records.values()] == ["random"]
    assert "random" in (tmp_path / "results" / "adhoc.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["bench", "anobench"])
def test_both_names_are_the_command(module: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-m", module, "--version"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"anobench {bench.__version__}\n"
