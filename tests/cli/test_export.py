"""``anobench export`` in each format, and ``anobench data croissant``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Invoke


def test_formats(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness", "constant"]\n')
    assert anobench("run", path, "--bench", toy).code == 0
    plain = anobench("export", "trial")
    assert (
        plain.out
        == anobench("export", "trial", "--format", "csv").out
        == (here / "results/trial.csv").read_text()
    )
    ended = anobench("export", "trial", "-f", "eee", "--organization", "us", "-o", "eee")
    assert (ended.code, "2 files written" in ended.err) == (0, True)
    logs = [json.loads(file.read_text()) for file in (here / "eee").iterdir()]
    assert {log["model_info"]["name"] for log in logs} == {"brightness", "constant"}
    assert {log["source_metadata"]["source_organization_name"] for log in logs} == {"us"}
    first = {file.name: file.read_bytes() for file in (here / "eee").iterdir()}
    anobench("export", "trial", "-f", "eee", "--organization", "us", "-o", "again")
    assert {file.name: file.read_bytes() for file in (here / "again").iterdir()} == first


def test_mistakes(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    anobench("run", suite('datasets = ["toy"]\nmethods = ["constant"]\n'), "--bench", toy)
    for words, said in (
        (("--format", "eee"), "name a folder with --out"),
        (("--format", "croissant"), "anobench data croissant NAME"),
        (("--format", "eee", "-o", "file"), "is a file; this format needs a folder"),
    ):
        (here / "file").write_text("")
        ended = anobench("export", "trial", *words)
        assert (ended.code, said in ended.err) == (2, True), ended.err


def test_croissant_of_a_data_set(toy: Path, anobench: Invoke, here: Path) -> None:
    ended = anobench("data", "croissant", "toy[n=8]", "--bench", toy, "-o", "toy.json")
    assert ended.code == 0
    found = json.loads((here / "toy.json").read_text())
    assert found["name"] == "toy[n=8]"
    assert [each["tasks/train"] for each in found["recordSet"][0]["data"]] == [8, 8]
    assert json.loads(anobench("data", "croissant", "digits").out)["@type"] == "sc:Dataset"
    assert anobench("data", "croissant", "digit").code == 2
