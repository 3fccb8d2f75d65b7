"""``anobench figure``: files, formats, names, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.figure import Form, _form, _name
from bench.core.errors import FigureError
from bench.report.figures.common import Choice
from bench.report.figures.kinds import KINDS
from tests.cli.conftest import Invoke

SUITE = """
title = "Trial"
datasets = ["toy"]
methods = ["brightness", "constant"]
contamination = [0.0, 0.1]
seeds = [0, 1]
"""


@pytest.fixture
def ran(toy: Path, suite: Callable[..., Path], anobench: Invoke) -> Path:
    ended = anobench("run", suite(SUITE), "--bench", toy)
    assert ended.code == 0, ended.err
    return Path("results")


def test_figures_of_a_run(ran: Path, toy: Path, anobench: Invoke) -> None:
    written = sorted(path.name for path in (ran / "figures").iterdir())
    assert written == ["trial-contamination.svg", "trial-heatmap.svg", "trial-pareto.svg"]
    # The method runs no more: a figure needs neither the adapters nor the data.
    for path in (toy / "methods").glob("*.py"):
        path.unlink()
    ended = anobench("figure", "trial", "roc", "--task", "toy/a", "--format", "pdf")
    assert ended.code == 0, ended.err
    path, words = ended.out.strip().split("\n")
    assert Path(path) == ran / "figures" / "trial-roc-toy-a.pdf"
    assert Path(path).read_bytes().startswith(b"%PDF")
    assert words.startswith("ROC curves on toy/a, clean. AUROC in points: brightness")
    options = ("--task", "toy/b", "-m", "brightness", "--rate", "0.1", "--seed", "1")
    ended = anobench("figure", "trial", "histogram", *options, "-o", "sub/image.png")
    assert ended.code == 0, ended.err
    assert Path("sub/image.png").read_bytes().startswith(b"\x89PNG")
    before = (ran / "figures" / "trial-pareto.svg").read_bytes()
    assert anobench("figure", "trial", "pareto").code == 0
    assert (ran / "figures" / "trial-pareto.svg").read_bytes() == before, "what the leaderboard shows"


def test_mistakes_are_messages(ran: Path, anobench: Invoke) -> None:
    del ran
    for words, said in (
        (("nosuch", "heatmap"), "has no run of the suite 'nosuch'"),
        (("trial", "hetmap"), "did you mean 'heatmap'"),
        (("trial", "roc"), "choose it with --task"),
        (("trial", "pareto", "--seed", "1"), "pareto takes no --seed"),
        (("trial", "heatmap", "-m", "bright"), "did you mean 'brightness'"),
        (("trial", "histogram", "--task", "toy/a"), "choose it with --method"),
        (("trial", "critical-difference"), "not enough data sets"),
        (("trial", "reproduction"), "no published AUROC"),
        (("trial", "heatmap", "--output", "image.jpg"), "ends in .svg, .pdf or .png"),
        (("trial", "heatmap", "--output", "image.svg", "--format", "pdf"), "do not agree"),
        (("trial", "heatmap", "--output", "results/figures"), "ends in .svg, .pdf or .png"),
    ):
        ended = anobench("figure", *words)
        assert ended.code == 2, words
        assert said in ended.err
        assert "Traceback" not in ended.err


def test_help_names_every_kind(anobench: Invoke) -> None:
    text = anobench("figure", "--help").out
    assert all(kind in text for kind in KINDS)


def test_formats_follow_the_file() -> None:
    assert _form(None, None) is Form.svg
    assert _form(Form.pdf, None) is Form.pdf
    assert _form(None, Path("a.PNG")) is Form.png
    with pytest.raises(FigureError):
        _form(None, Path("a"))


def test_names_tell_choices_apart_and_fit_a_folder() -> None:
    assert _name("s", "pareto", Choice(), "svg") == "s-pareto.svg"
    assert _name("s", "pareto", Choice(rate=0.1, time="cold"), "svg") == "s-pareto-0.1-cold.svg"
    long = [_name("s", "roc", Choice(methods=(f"m[{'x' * 300}={at}]",)), "svg") for at in range(2)]
    assert len(set(long)) == 2
    assert all(len(name) < 110 and "/" not in name for name in long)
