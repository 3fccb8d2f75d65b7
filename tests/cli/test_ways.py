"""Ways of the command line: names of runs, a backbone for all, --out, documentation, a run that starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.core.archive import Archive
from bench.run import progress
from bench.run.progress import Snapshot, announced
from tests.cli.conftest import Invoke


def test_runs_of_selectors_have_names(anobench: Invoke, here: Path) -> None:
    for name, words in {
        "one": ("-m", "random"),
        "adhoc": ("-m", "random"),
        "übung-2": ("-m", "dn2[k=[1,2]]"),
    }.items():
        named = () if name == "adhoc" else ("--name", name)
        ended = anobench(
            "run", "-d", "digits[task=3]", *words, "--backbone", "pixels", *named, "--executor", "inline"
        )
        assert ended.code == 0, ended.err
        assert f"leaderboard: results/{name}.md" in ended.out
    assert {path.stem for path in (here / "results").glob("*.csv")} == {"one", "adhoc", "übung-2"}
    page = (here / "results" / "übung-2.md").read_text(encoding="utf-8")
    assert "dn2[k=1]" in page
    assert 'backbone = "pixels"' in page
    assert anobench("status", "one").code == 0


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "a b", "x.toml", "README", "index", "quickstart", "-x"]
)
def test_a_name_that_is_no_files_or_taken_is_refused(anobench: Invoke, here: Path, name: str) -> None:
    ended = anobench("run", "-d", "digits", "-m", "random", f"--name={name}")
    assert ended.code == 2
    assert "--name" in ended.err
    assert not list(here.iterdir())


def test_a_backbone_for_methods_that_name_none(suite: Callable[..., Path], anobench: Invoke) -> None:
    path = suite('datasets = ["digits[task=3]"]\nmethods = ["dn2", "kde[backbone=hog]"]\nbackbone = "hog"\n')
    assert anobench("run", path, "-b", "pixels[size=4]", "--name", "small", "--executor", "inline").code == 0
    plan = Archive(Path("results")).plan("small")
    assert {row.label: row.backbone for row in plan.rows} == {
        "dn2": "pixels[size=4]",
        "kde[backbone=hog]": "hog",
    }
    assert "# --backbone pixels[size=4]" in plan.suite_text
    ended = anobench("run", path, "--backbone", "nonsense")
    assert ended.code == 2
    assert "nonsense" in ended.err
    same = bench.run(
        datasets="digits[task=3]", methods="dn2", backbone="pixels[size=4]", name="python", show=False
    )
    assert same.plan.suite == "python"
    assert same.cells[0] in {entry.cell for entry in plan.entries}


def test_every_result_can_go_to_a_file(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness"]\n')
    assert anobench("run", path, "--bench", toy, "--executor", "inline").code == 0
    for at, words in enumerate(
        (
            ("export", "trial"),
            ("table", "trial"),
            ("diff", "results", "results"),
            ("published", "dn2"),
            ("list", "methods", "dn2"),
            ("data", "ls"),
            ("data", "ls", "digits"),
        )
    ):
        shown = anobench(*words)
        written = anobench(*words, ("--out", "-o")[at % 2], here / "out" / f"{at}.txt")
        assert shown.code == written.code == 0, shown.err
        assert written.out == ""
        text = (here / "out" / f"{at}.txt").read_text(encoding="utf-8")
        assert text.split() == shown.out.split(), words
    assert anobench("page", "--out", "page.html").code == 0
    assert (here / "page.html").read_text(encoding="utf-8").startswith("<!")
    for option in ("--out", "--output", "-o"):
        assert anobench("figure", "trial", "heatmap", option, "f.pdf").code == 0
        assert (here / "f.pdf").exists()
        (here / "f.pdf").unlink()


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("methods", "dn2", ("Neighbours; DN2 uses 2", "k: a whole number above 0; by default 2")),
        ("methods", "kde", ("bandwidth :", "'scott' or 'median'")),
        ("datasets", "textures", ("size: a whole number above 0; by default 64",)),
        ("all", "folder", ("path: text", "columns ``path,split,label,mask``")),
    ],
)
def test_one_name_is_shown_with_its_documentation(
    anobench: Invoke, what: str, name: str, words: tuple[str, ...]
) -> None:
    ended = anobench("list", what, name)
    assert ended.code == 0
    for word in words:
        assert word in ended.out
    assert words[-1] not in anobench("list", what, f"{name[:-1]}?").out, "a pattern gives a list"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_complete(anobench: Invoke, name: str) -> None:
    ended = anobench("--show-completion", name)
    if "_ANOBENCH_COMPLETE" not in ended.out:  # the shell is found out, not given
        pytest.skip("typer needs to find the shell out here")
    assert "anobench" in ended.out


def test_status_tells_of_a_run_that_starts_and_takes_a_file(
    anobench: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ANNOUNCE_AFTER", 0.0)
    # Locks belong to a process: what this one holds looks free to it.
    monkeypatch.setattr("bench.run.claims.lives", lambda *_: True)
    root = here / "results" / "records"
    with announced(root, "trial"):
        while not list(root.glob("status/trial-*.json")):
            pass
        snapshot = Snapshot.from_json(next(root.glob("status/trial-*.json")).read_text())
        assert snapshot.doing.startswith("planning")
        for given in ("trial", "suites/trial.toml"):
            ended = anobench("status", given)
            assert ended.code == 3
            assert "planning: reading data and weights" in ended.out
    assert not list(root.glob("status/*"))
    assert anobench("status", "trial").code == 2, "nothing runs, and nothing was run"


def test_a_run_that_is_planned_at_once_leaves_nothing(here: Path) -> None:
    with announced(here / "records", "trial"):
        pass
    assert not list(here.iterdir())


def test_status_shows_which_data_sets_are_finished(
    toy: Path, suite: Callable[..., Path], anobench: Invoke
) -> None:
    path = suite('datasets = ["toy", "toy[n=10,name=Few]"]\nmethods = ["brightness"]\n')
    assert anobench("run", path, "--bench", toy, "-d", "toy[n=10]", "--executor", "inline").code == 3
    ended = anobench("status", path)
    assert "  toy: not finished" in ended.out
    assert "  Few: finished" in ended.out
