"""``anobench check --base``: the base from another revision, from a user's repository and from anobench's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.run import revision
from tests.cli.conftest import Invoke

SUITE = 'datasets = ["toy"]\nmethods = ["brightness", "constant"]\n'


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    ended = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


@pytest.fixture
def repository(toy: Path, suite: Callable[..., Path]) -> Path:
    """Return the toy bench folder, committed."""
    suite(SUITE)
    git(toy, "init", "-q", "-b", "main")
    git(toy, "add", "-A")
    git(toy, "commit", "-q", "-m", "first")
    return toy


def harm(folder: Path) -> None:
    adapter = folder / "methods" / "brightness.py"
    adapter.write_text(adapter.read_text().replace(".mean(1)", ".mean(1) * -1"))


def test_a_drop_since_a_revision(
    repository: Path, anobench: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the path of the suite, from elsewhere; the checkout and the base's records are gone afterwards."""
    path = repository / "suites" / "trial.toml"
    harm(repository)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert anobench("run", path, "--bench", repository, "--results", "mine").code == 0
    ended = anobench("check", path, "--base", "main", "--bench", repository, "--results", "mine", "--json")
    assert (ended.code, json.loads(ended.out)["verdict"]) == (1, "regression"), ended.err
    assert "running trial at main" in ended.err
    (worse,) = {each["method"] for each in json.loads(ended.out)["compared"] if each["finding"] == "worse"}
    assert worse == "brightness[level=0]"
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert not list(tmp_path.glob("anobench-base-*"))
    git(repository, "commit", "-a", "-q", "-m", "second")
    kept = ("--keep-base", "kept")
    same = anobench("check", path, "--base", "HEAD", "--bench", repository, "--results", "mine", *kept)
    assert (same.code, same.out.endswith("Verdict: fine.\n")) == (0, True), same.err
    again = anobench("check", path, "--against", "kept", "--results", "mine")
    assert (again.code, again.out.endswith("Verdict: fine.\n")) == (0, True)
    full = anobench("check", path, "--base", "HEAD", "--results", "mine", *kept)
    assert (full.code, "not an empty folder" in full.err) == (2, True)


def test_what_the_head_was_given_is_given_to_the_base(
    repository: Path, anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From inside the repository, by name, with other contamination than the suite's."""
    monkeypatch.chdir(repository)
    assert anobench("run", "trial", "--contamination", "0,0.1,source=test").code == 0
    ended = anobench("check", "trial", "--base", "HEAD", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["not_compared"]) == (0, []), ended.err
    assert {each["contamination"] for each in found["compared"]} == {0.0, 0.1}


def test_mistakes(
    repository: Path,
    anobench: Invoke,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = repository / "suites" / "trial.toml"
    anobench("run", path, "--bench", repository, "--results", "mine")
    given = ("--results", "mine")
    for words, says in (
        ((), "give either --against BASELINE (a pack or a folder) or --base REV"),
        (("--base", "main", "--against", "mine"), "give either"),
        (("--against", "mine", "--keep-base", "kept"), "goes with --base"),
        (("--base", "nowhere"), "has no such revision"),
        (("--base=--help",), "has no such revision"),
    ):
        ended = anobench("check", path, *words, *given)
        assert (ended.code, says in ended.err) == (2, True), ended.err
    new = repository / "suites" / "new.toml"
    new.write_text(SUITE)
    anobench("run", new, "--bench", repository, *given)
    ended = anobench("check", new, "--base", "main", *given)
    assert (ended.code, "this revision has no" in ended.err) == (2, True), ended.err
    outside = here / "trial.toml"
    outside.write_text(SUITE)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(here.parent))
    ended = anobench("check", outside, "--base", "main", *given)
    assert (ended.code, "is not in a git checkout" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("at", ["add", "remove", "both"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_end_during_git_leaves_no_entry_in_the_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: str, sent: signal.Signals
) -> None:
    """Ctrl-C once or twice, or a job that is cancelled, while the checkout is made or removed."""
    run = revision._git

    def disturbed(folder: Path, *words: str) -> str:
        said = run(folder, *words)
        if words[0] == "worktree" and at in (words[1], "both"):
            os.kill(os.getpid(), sent)
        return said

    monkeypatch.setattr(revision, "_git", disturbed)
    ending = contextlib.nullcontext() if at == "remove" else pytest.raises((KeyboardInterrupt, SystemExit))
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    checkout = revision.checked_out("main", repository, tmp_path / "code")
    with ending, revision.tidied_when_terminated(), checkout as made:
        assert (made.folder / "methods").is_dir()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert not (tmp_path / "code").exists()


def test_a_base_that_cannot_run(repository: Path, anobench: Invoke) -> None:
    path = repository / "suites" / "trial.toml"
    good = path.read_text()
    path.write_text(good.replace('"constant"', '"constamt"'))
    git(repository, "commit", "-a", "-q", "-m", "broken")
    path.write_text(good)
    anobench("run", path, "--bench", repository, "--results", "mine")
    ended = anobench("check", path, "--base", "main", "--bench", repository, "--results", "mine")
    assert ended.code == 2
    assert "--base main: its code cannot run this suite (it ended with exit status 2):" in ended.err
    assert "unknown method 'constamt'; did you mean 'constant'?" in ended.err
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_both_sides_timed_in_turn(
    repository: Path, anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One method became many times as slow: far beyond what two starts of both sides may differ by."""
    from bench.report.compare import speed
    from bench.run import interleaved

    path = repository / "suites" / "trial.toml"
    adapter = repository / "methods" / "brightness.py"
    adapter.write_text(
        "import time\n"
        + adapter.read_text().replace(
            "        return Scores",
            "        until = time.process_time() + 0.05\n"
            "        while time.process_time() < until:\n            pass\n        return Scores",
        )
    )
    for module in (speed, interleaved):
        monkeypatch.setattr(module, "LOOKS", (2,))
    assert anobench("run", path, "--bench", repository, "--results", "mine").code == 0
    given = ("--bench", repository, "--results", "mine", "--slower", "3", "--alpha", "0.2", "--json")
    ended = anobench("check", path, "--base", "main", *given)
    found = {each["method"]: each for each in json.loads(ended.out)["speed"]}
    assert found["brightness[level=0]"]["finding"] == "worse", ended.err
    assert found["brightness[level=0]"]["ratio"] > 10
    assert found["constant[level=0]"]["finding"] != "worse"
    assert ended.code in (1, 3)
    assert "methods are told after 2 starts of both sides" in ended.err


def test_a_side_that_cannot_be_timed(
    repository: Path, anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are compared all the same, and the gate does not open."""
    from bench.run import timer

    monkeypatch.setattr(timer, "PROTOCOL", 99)
    path = repository / "suites" / "trial.toml"
    anobench("run", path, "--bench", repository, "--results", "mine")
    given = ("--bench", repository, "--results", "mine", "--slower", "2")
    ended = anobench("check", path, "--base", "main", *given)
    assert ended.code == 3
    assert "not timed: main" in ended.err
    assert "cannot time cells: it times cells by protocol 1, not 99" in ended.out
    assert "0 worse" in ended.out
