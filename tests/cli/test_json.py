"""``--json``: every command has it, and prints one object of one shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from PIL import Image

from bench.cli import app
from tests.cli.conftest import Ended, Invoke
from tests.pictures import stained, surfaces


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its words, those of groups within."""
    for name, command in group.commands.items():
        words = (*before, name)
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield words, command


EVERY = dict(commands(typer.main.get_command(app)))
SUITE = """
title = "Trial"
datasets = ["toy"]
methods = ["brightness", "constant", "crashes"]
"""


def test_every_command_has_it() -> None:
    assert len(EVERY) > 25
    lacking = [
        " ".join(words)
        for words, command in EVERY.items()
        if not any("--json" in option.opts for option in command.params)
    ]
    assert lacking == []


def about(ended: Ended, command: str, code: int = 0) -> dict[str, Any]:
    assert ended.code == code, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    assert (found["schema"], found["command"]) == (1, command)
    return found


#: Commands that a test of their own runs, or that need what a test cannot have.
ELSEWHERE = {"submit-mvtec-ad2", "audit", "data get", "score", "fit", "check", "merge", "submit", "verify"}


def test_each_prints_one_object(toy: Path, anobench: Invoke, here: Path, suite: Any) -> None:
    path = suite(SUITE)
    seen = set()

    def run(*words: object, code: int = 0) -> dict[str, Any]:
        known = [" ".join(map(str, words[:n])) for n in (2, 1)]
        command = next(each for each in known if tuple(each.split()) in EVERY)
        seen.add(command)
        return about(anobench(*words, "--json"), command, code)

    plan = run("run", path, "--dry-run", "--results", "r")
    assert (plan["cells"], plan["left"], plan["dry run"]) == (6, 6, True)
    ran = run("run", path, "--results", "r", code=1)
    assert (ran["cells"], ran["failed"], ran["missing"]) == (6, 2, 0)
    assert Path(ran["leaderboard"]).is_file()
    assert run("report", "trial", "--results", "r", code=1)["cells"] == 6
    assert run("status", "trial", "--results", "r", code=1)["failed"] == 2
    rows = run("export", "trial", "--results", "r")["rows"]
    assert {row["method"] for row in rows} >= {"brightness", "constant"}
    shown = run("table", "trial", "--results", "r")["table"]
    assert shown["rows"]
    drawn = run("figure", "trial", "heatmap", "--results", "r")
    assert Path(drawn["file"]).is_file()
    assert drawn["shows"]
    assert Path(run("page", "--results", "r")["file"]).is_file()
    assert Path(run("pack", "trial", "--results", "r", code=1)["file"]).is_file()
    moved = run("diff", "r", "trial.anobench")
    assert moved["diff"]["metric"] == "auroc"
    listed = run("list", "methods", "dn*", "--bench", toy)
    assert [each["name"] for each in listed["methods"]] == ["dn2"]
    assert listed["methods"][0]["parameters"]["k"]["default"] == 2
    run("list", "methods", "nothing", code=2)
    assert run("published", "dn2")["numbers"][0]["value"] > 0
    assert "Installation" in run("doctor")["sections"]
    assert run("cache", "path")["folder"]
    assert "keys" in run("cache", "ls")
    assert run("cache", "verify")["damaged"] == []
    assert run("cache", "prune", "--dry-run")["dry run"] is True
    assert {"name", "tasks"} <= set(run("data", "ls")["datasets"][0])
    assert run("data", "ls", "digits")["card"]
    assert run("data", "facts")["datasets"]["mvtec"]
    assert run("data", "check", "digits")["tasks"]
    assert run("data", "croissant", "digits")["croissant"]["@type"]
    for what in ("method", "dataset", "bench"):
        written = run("new", what, f"{what}_one")
        assert all(Path(file).is_file() for file in written["files"])
    assert run("try", "methods/method_one.py")["problems"] == []
    left = {" ".join(words) for words in EVERY} - seen - ELSEWHERE
    assert left == set()
    assert here.exists()


def test_those_with_two_archives(toy: Path, anobench: Invoke, suite: Any) -> None:
    path = suite(SUITE.replace(', "crashes"', ""))
    assert anobench("run", path, "--results", "r").code == 0
    assert anobench("pack", "trial", "--results", "r").code == 0
    found = about(
        anobench("check", "trial", "--against", "trial.anobench", "--results", "r", "--json"), "check"
    )
    assert len(found) > 3
    words = ("submit", "constant", "trial", "--results", "r", "-o", "c.anobench", "--bench", toy, "--json")
    sent = about(anobench(*words), "submit")
    assert (sent["cells"], sent["missing"]) == (2, 0)
    words = ("verify", "c.anobench", "--suite", path, "--share", "100%", "--bench", toy, "--json")
    assert len(about(anobench(*words), "verify")) > 4
    merged = about(anobench("merge", "r", "trial.anobench", "--into", "both", "--json"), "merge")
    assert (merged["copied"], merged["conflicts"]) == (4, [])
    contaminated = suite(SUITE + '[contamination]\nrates = [0.1]\nsource = "test"\n', "dirty")
    audited = about(anobench("audit", contaminated, "--bench", toy, "--json"), "audit")
    assert audited["audits"]


def folders(here: Path) -> None:
    for name, pixels in (
        ("train/good", surfaces(16)),
        ("test/good", surfaces(2, seed=5)),
        ("test/bad", stained(2)),
    ):
        folder = here / "images" / name
        folder.mkdir(parents=True)
        for number, each in enumerate(pixels):
            Image.fromarray(each).save(folder / f"{number}.png")


def test_fit_and_score(anobench: Invoke, here: Path) -> None:
    folders(here)
    words = ("fit", "dn2", "-d", "folder[path=images]", "--backbone", "pixels[size=8]", "-o", "model")
    made = about(anobench(*words, "--json"), "fit")
    assert made["threshold"]["rule"] == "max", "16 scores are too few for 5 %, and the rule says so"
    assert made["data"]["name"] == "folder[path=images]/images"
    ended = anobench(*words)
    assert ended.code == 0
    assert "threshold" in ended.out
    found = about(anobench("score", "model", "images/test", "--json"), "score", code=1)
    assert [Path(each["image"]).parent.name for each in found["images"]] == ["bad", "bad", "good", "good"]
    assert [each["anomalous"] for each in found["images"]] == [True, True, False, False]
    assert found["threshold"] == made["threshold"]["value"]
    good = anobench("score", "model", "images/test/good", "-o", "scores.csv")
    assert (good.code, good.out) == (0, "")
    assert Path("scores.csv").read_text().splitlines()[0] == "image,score,anomalous"
    for words, said in (
        (("score", "model", "images/nothing"), "images/nothing: there is no such file"),
        (("score", "nothing", "images/test"), "holds no saved method"),
        (("score", "model", "images/test", "--maps", "maps"), "gives no anomaly maps"),
        (("fit", "dn2", "-d", "digits", "-o", "other"), r"digits has 10 tasks"),
        (("fit", "dn2", "-d", "folder[path=nothing]", "-o", "other"), "does not exist"),
        # Said before the time that fitting takes, and before anything else.
        (("fit", "nothing", "-d", "folder[path=images]", "-o", "images"), "is no saved method"),
    ):
        ended = anobench(*words)
        assert ended.code == 2
        assert said in ended.err
        assert ended.err.count("\n") == 1


def test_maps_are_written_at_the_size_of_the_image(anobench: Invoke, here: Path) -> None:
    import tifffile

    folders(here)
    (here / "methods").mkdir()
    (here / "methods" / "own.py").write_text(
        "import torch\nfrom bench import Images, Method, Scores\n\n\nclass Own(Method):\n"
        "    def fit(self, train: Images) -> None:\n        self.level = 3.0\n\n"
        "    def score(self, test: Images) -> Scores:\n"
        "        maps = torch.cat(list(test.batches(2, size=(8, 8)))).float().mean(1) + self.level\n"
        "        return Scores(maps.amax((1, 2)), maps)\n"
    )
    words = ("fit", "own", "-d", "folder[path=images]", "--folds", 0, "-o", "model")
    assert anobench(*words).code == 0
    assert "--file own.py" in anobench("score", "model", "images/test").err
    found = anobench("score", "model", "images/test", "--file", "methods/own.py", "--maps", "maps")
    assert found.code == 0, found.err
    assert found.out.splitlines()[0] == "image,score,map"
    files = sorted(Path("maps").iterdir())
    assert len(files) == 4
    shown = tifffile.imread(files[0])
    assert (shown.shape, str(shown.dtype)) == ((64, 64), "float32")


@pytest.mark.parametrize("words", [("fit", "--help"), ("score", "--help")])
def test_help(words: tuple[str, ...], anobench: Invoke) -> None:
    assert anobench(*words).code == 0
