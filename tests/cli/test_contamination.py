"""Contamination through the command line: what runs, what the records hold, what the leaderboard says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Invoke
from tests.datasets.official import as_real_iad

SUITE = 'datasets = ["{}"]\nmethods = ["random"]\nseeds = [0, 1]\n[contamination]\n{}\n'


def records(here: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (here / "results" / "records").glob("??/*.json")]
    return sorted(found, key=lambda record: record["contamination"]["rate"])


def run(anobench: Invoke, here: Path, dataset: str, contamination: str) -> tuple[list[dict[str, Any]], str]:
    """Run a suite; return its records, from the cleanest, and its leaderboard."""
    (here / "dirty.toml").write_text(SUITE.format(dataset, contamination))
    ended = anobench("run", "dirty.toml")
    assert ended.code == 0, ended.err
    return records(here), (here / "results" / "dirty.md").read_text()


def test_the_record_holds_what_was_drawn(anobench: Invoke, here: Path) -> None:
    made, board = run(anobench, here, "textures[task=wood,size=16]", "rates = [0.0, 0.1, 0.2]")
    # 80 clean images: int(80 / 9) and int(80 / 4) anomalies; those of 20 % leave the test set at every rate.
    for record in made:
        drawn, counts = record["contamination"], record["counts"]
        assert counts["train"] == 80 + drawn["count"]
        assert counts["train_anomalous"] == drawn["count"]
        assert drawn["rate"] == pytest.approx(drawn["count"] / counts["train"])
        assert drawn["removed_from_test"] == 20
        assert counts["test"] == 70 - 20
        assert len(drawn["indices"]) == (16 if drawn["count"] else 0)
    assert [record["contamination"]["count"] for record in made] == [0, 0, 8, 8, 20, 20]
    # A draw a seed; both seeds share nothing but their sizes.
    assert len({record["contamination"]["indices"] for record in made}) == 5
    assert "so that the test set is the same for the whole curve" in board
    assert "those of the highest rate" in board


def test_replacing_keeps_the_number_of_train_images(anobench: Invoke, here: Path) -> None:
    made, board = run(anobench, here, "textures[task=wood,size=16]", 'rates = [0.1, 0.25]\nmode = "replace"')
    assert {record["counts"]["train"] for record in made} == {80}
    assert [record["counts"]["train_anomalous"] for record in made] == [8, 8, 20, 20]
    assert "They replace normal images" in board


def test_the_official_noisy_splits(
    anobench: Invoke, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    as_real_iad(data)
    monkeypatch.setenv("ANOBENCH_DATA", str(data))
    made, board = run(
        anobench, here, "real_iad[split=fuiad,size=256]", 'rates = [0.0, 0.1, 0.2, 0.4]\npreset = "llbnad"'
    )
    # Of 20 images one, two and four see a defect; the rate counts those of defective objects: twice.
    counted = {(record["counts"]["train"], record["counts"]["train_anomalous"]) for record in made}
    assert counted == {(20, 0), (20, 1), (20, 2), (20, 4)}
    assert {record["counts"]["test"] for record in made} == {16}
    for drawn in (record["contamination"] for record in made):
        assert len(drawn["indices"]) == (16 if drawn["count"] else 0)
    assert "the data set's own noisy train splits" in board


@pytest.mark.parametrize(
    ("contamination", "words"),
    [
        ('rates = [0.1]\npreset = "iterative"', ["'iterative' cannot be given", "only the abstract"]),
        ('rates = [0.1]\npreset = "adll"', ["preset", "'adl'"]),
        ("rates = [0.51]", ["0.51 lies outside 0 to 0.5"]),
        ("rates = [-0.1]", ["-0.1 lies outside 0 to 0.5"]),
        ("rates = [0.0, 0.4]", ["needs 53 anomalies", "test has 39", "at most 32.7 % can be had", '"skip"']),
        ('rates = [0.1]\nsource = "holdout"', ["no labelled train anomalies", 'source = "test"']),
        ('rates = [0.1]\npreset = "llbnad"', ["no official noisy split with a rate of 0.1", "none"]),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_runs(
    anobench: Invoke, here: Path, contamination: str, words: list[str]
) -> None:
    (here / "dirty.toml").write_text(SUITE.format("textures[task=wood]", contamination))
    ended = anobench("run", "dirty.toml")
    assert ended.code == 2
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert not list(here.rglob("*.json"))


def test_rates_on_the_command_line(anobench: Invoke, here: Path) -> None:
    ended = anobench(
        *("run", "-d", "textures[task=wood,size=16]", "-m", "random"),
        *("--contamination", "0,10%,source=test_overlap", "--contamination", "draw=per_type"),
    )
    assert ended.code == 0, ended.err
    made = records(here)
    assert [record["contamination"]["count"] for record in made] == [0, 8]
    assert {record["counts"]["test"] for record in made} == {70}
    board = (here / "results" / "adhoc.md").read_text()
    assert "and stay in it" in board
    assert "in turn from each defect type" in board
    assert 'contamination = { rates = [0.0, 0.1], source = "test_overlap", draw = "per_type" }' in board


def test_a_suites_rates_are_replaced(anobench: Invoke, here: Path) -> None:
    (here / "dirty.toml").write_text(SUITE.format("textures[task=wood,size=16]", "rates = [0.0, 0.1, 0.2]"))
    ended = anobench("run", "dirty.toml", "--contamination", "0.05,preset=softpatch")
    assert ended.code == 0, ended.err
    assert {record["contamination"]["count"] for record in records(here)} == {4}


def test_rates_in_python(here: Path) -> None:
    import bench

    given = {"datasets": "textures[task=wood,size=16]", "methods": "random", "show": False}
    found = bench.run(**given, results=here / "a", contamination=[0, 0.1], executor="inline")
    assert found.frame()["contamination"].unique().tolist() == [0.0, 0.1]
    table = {"rates": [0.1], "source": "test_overlap"}
    found = bench.run(**given, results=here / "b", contamination=table, executor="inline")
    assert {record.counts["test_anomalous"] for record in found.records.values()} == {40}
    found = bench.run(**given, results=here / "c", contamination=0.05, executor="inline")
    assert found.plan.rates == (0.05,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("often", "expected rates such as 0,0.1,20%"),
        ("0.1,sauce=test", "'sauce' is not known; did you mean 'source'?"),
        ("0.1,source=test,source=test", "'source' is given twice"),
        ("source=test", "has no rate"),
        ("0.7", "a rate of 0.7 lies outside 0 to 0.5"),
        ("0.1,source=tent", "contamination.source"),
        ("0.1,preset=softpatches", "no preset 'softpatches'; did you mean 'softpatch'?"),
    ],
)
def test_wrong_rates_on_the_command_line(anobench: Invoke, given: str, words: str) -> None:
    ended = anobench("run", "-d", "textures[task=wood]", "-m", "random", "--contamination", given)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
