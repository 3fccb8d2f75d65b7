"""The main job through the command line: a suite in, records and a leaderboard out, nothing twice."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

GOOD = """
title = "Trial"
datasets = ["toy"]
methods = ["brightness", "constant"]
contamination = [0.0, 0.1]
seeds = [0, 1]
"""


def records(results: Path) -> dict[str, dict[str, object]]:
    return {path.stem: json.loads(path.read_text()) for path in (results / "records").glob("??/*.json")}


def test_a_suite_runs_to_a_leaderboard_and_a_second_run_computes_nothing(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    first = anobench("run", suite(GOOD), "--bench", toy)
    assert first.code == 0
    assert "failed" not in first.err
    made = records(here / "results")
    # Deterministic methods, contaminated from the test set: two draws at each rate, two tasks, two methods.
    assert len(made) == 2 * 2 * 2 * 2
    assert all(record["status"] == "ok" for record in made.values())
    page = (here / "results" / "trial.md").read_text()
    assert "brightness" in page
    times = {path: path.stat().st_mtime_ns for path in (here / "results").rglob("*.*z")}
    again = anobench("run", suite(GOOD), "--bench", toy)
    assert again.code == 0
    assert records(here / "results") == made
    assert {path: path.stat().st_mtime_ns for path in (here / "results").rglob("*.*z")} == times


def test_fresh_computes_again_and_gives_the_same_bytes(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    anobench("run", suite(GOOD), "--bench", toy)
    scores = {path.name: path.read_bytes() for path in (here / "results").rglob("*.npz")}
    table = (here / "results" / "trial.csv").read_bytes()
    # The truth about a test set is written once; scores lie in folders of two letters.
    times = {path: path.stat().st_mtime_ns for path in (here / "results" / "records").glob("??/*.npz")}
    assert times
    anobench("run", suite(GOOD), "--bench", toy, "--fresh")
    assert {path.name: path.read_bytes() for path in (here / "results").rglob("*.npz")} == scores
    assert (here / "results" / "trial.csv").read_bytes() == table
    assert all(path.stat().st_mtime_ns > before for path, before in times.items())


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("makes_nan", "20 of 20 scores are NaN"),
        ("miscounts", "expected 20 scores of shape (20,), got shape (19,)"),
        ("crashes", "the planted failure"),
    ],
)
def test_a_failing_method_leaves_the_rest_intact(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path, method: str, reason: str
) -> None:
    path = suite(f'datasets = ["toy"]\nmethods = ["brightness", "{method}"]\n')
    ended = anobench("run", path, "--bench", toy)
    assert ended.code == 1
    assert reason in ended.err
    assert "Traceback" not in ended.err
    by_method = [(r["cell"]["method"], r["status"]) for r in records(here / "results").values()]
    assert sorted(by_method) == [("brightness", "ok")] * 2 + [(method, "failed")] * 2
    page = (here / "results" / "trial.md").read_text()
    assert reason in page
    assert "failed" in page


def test_a_failed_cell_is_a_result_until_it_is_retried(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy[task=a]"]\nmethods = ["flaky"]\n')
    # The failure lies outside the adapter's code, so that the cell stays the same cell.
    (toy / "methods" / "flaky.py").write_text(
        "from bench import Method, Scores\nfrom pathlib import Path\n"
        "class Flaky(Method):\n"
        "    def fit(self, train):\n        pass\n"
        "    def score(self, test):\n"
        "        Path('ready').read_text()\n        return Scores([0.0] * len(test))\n"
    )
    assert anobench("run", path, "--bench", toy).code == 1
    planned = anobench("run", path, "--bench", toy, "--dry-run")
    assert "1 of 1 cells are done (1 failed), 0 to run." in planned.out
    planned = anobench("run", path, "--bench", toy, "--dry-run", "--retry-failed")
    assert "0 of 1 cells are done (0 failed), 1 (1 of them again) to run." in planned.out
    (here / "ready").write_text("")
    assert anobench("run", path, "--bench", toy).code == 1
    ended = anobench("run", path, "--bench", toy, "--retry-failed")
    assert ended.code == 0
    assert [r["status"] for r in records(here / "results").values()] == ["ok"]


def test_constant_scores_are_legal_and_flagged(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    ended = anobench("run", suite('datasets = ["toy"]\nmethods = ["constant"]\n'), "--bench", toy)
    assert ended.code == 0
    for record in records(here / "results").values():
        assert record["metrics"]["auroc"] == 0.5
        assert record["flags"] == ["constant scores"]
    assert "constant scores" in (here / "results" / "trial.md").read_text()


def test_a_cell_that_takes_too_long_is_recorded(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy[task=a]"]\nmethods = ["slow"]\nlimits = { cell_seconds = 0.2 }\n')
    assert anobench("run", path, "--bench", toy).code == 1
    (record,) = records(here / "results").values()
    assert record["error"]["kind"] == "timeout"
    assert "0.2 s" in record["error"]["reason"]


def test_changing_code_or_parameters_makes_new_cells_and_keeps_the_old(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy[task=a]"]\nmethods = ["brightness"]\n')
    anobench("run", path, "--bench", toy)
    before = set(records(here / "results"))
    adapter = toy / "methods" / "brightness.py"
    text = adapter.read_text()
    adapter.write_text('"""Another docstring."""\n# and a comment\n' + text.split("\n", 1)[1])
    anobench("run", path, "--bench", toy)
    assert set(records(here / "results")) == before
    adapter.write_text(text.replace(".mean(1)", ".sum(1)"))
    anobench("run", path, "--bench", toy)
    after = set(records(here / "results"))
    assert before < after
    suite('datasets = ["toy[task=a]"]\nmethods = ["brightness[level=1]"]\n')
    anobench("run", path, "--bench", toy)
    assert len(records(here / "results")) == len(after) + 1


def test_an_adapter_that_fails_to_import_is_named_and_stops_nothing_else(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    body = "from bench import Method, Scores\nimport no_such_module\nclass Broken(Method):\n    pass\n"
    (toy / "methods" / "broken.py").write_text(body)
    (toy / "methods" / "misspelt.py").write_text("from bench import Method\nclass Broken(Method:\n    pass\n")
    path = suite('datasets = ["toy"]\nmethods = ["broken", "misspelt", "brightness"]\n')
    ended = anobench("run", path, "--bench", toy)
    assert ended.code == 1
    assert "2 cells are left out: the method broken needs no_such_module" in ended.err
    assert f"{toy}/methods/misspelt.py, line 2" in ended.err
    statuses = [(r["cell"]["method"], r["status"]) for r in records(here / "results").values()]
    assert statuses.count(("brightness", "ok")) == 2
    assert len(statuses) == 4


def test_a_data_set_that_fails_to_import_is_named_and_stops_nothing_else(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    (toy / "datasets" / "lost.py").write_text(
        "from bench import Dataset\nimport lost_module\nclass L(Dataset):\n    pass\n"
    )
    ended = anobench("run", suite('datasets = ["lost", "toy"]\nmethods = ["brightness"]\n'), "--bench", toy)
    assert ended.code == 1
    assert f"{toy}/datasets/lost.py, line 2" in ended.err
    assert len(records(here / "results")) == 2
    assert "lost_module" in (here / "results" / "trial.md").read_text()


def test_selectors_on_the_command_line_make_a_suite(toy: Path, anobench: Invoke, here: Path) -> None:
    ended = anobench("run", "-d", "toy[task=b]", "-m", "b*[level=3]", "-m", "constant", "--bench", toy)
    assert ended.code == 0, ended.err
    cells = [record["cell"] for record in records(here / "results").values()]
    assert sorted((c["task"], c["method"], c["params"]["level"]) for c in cells) == [
        ("b", "brightness", 3),
        ("b", "constant", 0),
    ]
    assert (here / "results" / "adhoc.md").exists()


def test_selectors_pick_a_part_of_a_suite(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness[level=1]", "brightness[level=2]", "constant"]\n')
    ended = anobench("run", path, "--bench", toy, "-m", "brightness[level=2]", "-d", "toy[task=a]")
    assert ended.code == 3, "the rest of the suite is missing"
    (record,) = records(here / "results").values()
    assert (record["cell"]["task"], record["cell"]["params"]) == ("a", {"level": 2})
    assert "missing" in (here / "results" / "trial.md").read_text()
    again = anobench("run", path, "--bench", toy, "-m", "brightness[level=2]", "-d", "toy[task=a]")
    assert again.code == 3, "that part is there already; the rest is still missing"
    assert len(records(here / "results")) == 1
    for words, says in (
        (
            ("-m", "mine"),
            "matches no cell of this suite; available: brightness, constant; a method of your own runs on "
            "the same data by: anobench run -d toy -m mine",
        ),
        (("-m", "constnat"), "did you mean 'constant'?"),
        (("-m", "brightness[level=3]"), "it has brightness, constant, with other parameters"),
        (("-d", "tyo"), "did you mean 'toy'? Available: toy"),
    ):
        ended = anobench("run", path, "--bench", toy, *words)
        assert (ended.code, says in ended.err) == (2, True), ended.err
    assert anobench("run", path, "--bench", toy).code == 0


def test_the_working_directory_is_a_bench_folder(
    toy: Path, anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy)
    assert anobench("run", "-d", "toy", "-m", "constant", "--results", "elsewhere").code == 0
    assert (toy / "elsewhere" / "adhoc.md").exists()


def test_dry_run_shows_the_plan_and_writes_nothing(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite(GOOD)
    ended = anobench("run", path, "--bench", toy, "--dry-run")
    assert ended.code == 0
    assert "0 of 16 cells are done" in ended.out
    assert "16 cells have no past timing" in ended.out
    assert not (here / "results").exists()
    anobench("run", path, "--bench", toy)
    suite(GOOD.replace('"toy"', '"toy[n=30]"'))
    ended = anobench("run", path, "--bench", toy, "--dry-run")
    assert "About 0 s for 16 cells" in ended.out


def test_export_is_tidy(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness[level=2]", "crashes"]\n')
    anobench("run", path, "--bench", toy)
    ended = anobench("export", "trial")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert ",".join(rows[0]) == (
        "suite,dataset,task,method,params,backbone,contamination,seed,metric,value,status"
    )
    assert len(rows) == 2 * 2 * 4
    good = [row for row in rows if row["method"] == "brightness"]
    assert {row["params"] for row in good} == {"level=2"}
    assert all(0 <= float(row["value"]) <= 1 for row in good)
    assert {(row["value"], row["status"]) for row in rows if row["method"] == "crashes"} == {("", "failed")}
    assert anobench("export", "trial", "--out", "table.csv").out == ""
    assert (here / "table.csv").read_text() == ended.out


def test_report_needs_neither_data_nor_adapters(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    anobench("run", suite(GOOD), "--bench", toy)
    page = (here / "results" / "trial.md").read_text()
    (here / "results" / "trial.md").unlink()
    (toy / "datasets" / "toy.py").unlink()
    assert anobench("report", "trial").code == 0
    assert (here / "results" / "trial.md").read_text() == page
    assert anobench("report", "trail").code == 2


def test_an_unreadable_record_is_reported_skipped_and_kept(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["brightness"]\n')
    anobench("run", path, "--bench", toy)
    torn, whole = sorted((here / "results" / "records").glob("??/*.json"))
    torn.write_text(torn.read_text()[:100])
    ended = anobench("report", "trial")
    assert ended.code == 3
    assert str(torn.name) in ended.err
    assert torn.read_text().startswith("{")
    before = whole.read_bytes()
    assert anobench("run", path, "--bench", toy).code == 0
    assert whole.read_bytes() == before
    assert json.loads(torn.read_text())["status"] == "ok"
    assert len(torn.with_name(torn.name + ".unreadable").read_text()) == 100


KILLED = """
datasets = ["toy[n=5]", "toy[n=6]", "toy[n=7]", "toy[n=8]"]
methods = ["dn2[backbone=pixels[size=4]]", "kmeans_distance[k=2,backbone=pixels[size=4]]", "random", "waits"]
contamination = [0.0, 0.2]
seeds = [0, 1, 2]
"""


WAITS = (
    "import time\nfrom pathlib import Path\nfrom bench import Method, Scores\n"
    "class Waits(Method):\n"
    "    def fit(self, train):\n"
    "        while not Path('dont').exists():\n            Path('waiting').touch()\n"
    "            time.sleep(60)\n"
    "    def score(self, test):\n        return Scores(list(range(len(test))))\n"
)


def until_it_waits(running: subprocess.Popen[str], here: Path) -> None:
    deadline = time.monotonic() + 120
    # A worker may begin with it before another has finished a cell.
    while not ((here / "waiting").exists() and any(here.glob("*/records/??/*.npz"))):
        assert running.poll() is None
        assert time.monotonic() < deadline, "no method began to wait"
        time.sleep(0.05)


@pytest.mark.parametrize("executor", ["inline", "pool"])
def test_control_c_leaves_a_resumable_archive(
    toy: Path,
    suite: Callable[..., Path],
    process: Callable[..., subprocess.Popen[str]],
    here: Path,
    executor: str,
) -> None:
    (toy / "methods" / "waits.py").write_text(WAITS)
    path = suite('datasets = ["toy"]\nmethods = ["constant", "waits"]\n')
    running = process("run", path, "--bench", toy, "--executor", executor, "--workers", 1)
    until_it_waits(running, here)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    assert "Ctrl-C again stops them" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "1 of 4 cells are kept" in said
    assert "Run the same command again" in said
    assert "Traceback" not in said
    assert [r["status"] for r in records(here / "results").values()] == ["ok"]


@pytest.mark.parametrize("executor", ["inline", "auto"])
def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(
    toy: Path,
    suite: Callable[..., Path],
    anobench: Invoke,
    process: Callable[..., subprocess.Popen[str]],
    here: Path,
    executor: str,
) -> None:
    # The method tells when it runs and then never ends, unless it is told not to wait.
    (toy / "methods" / "waits.py").write_text(WAITS)
    path = suite(KILLED)
    running = process("run", path, "--bench", toy, "--results", "killed", "--executor", executor)
    until_it_waits(running, here)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    # Not what it was just writing: a hidden file, which the next run sweeps.
    kept = {p: p.read_bytes() for p in (here / "killed" / "records").glob("??/[!.]*")}
    assert kept
    assert not (here / "killed" / "trial.md").exists()
    (here / "dont").write_text("")
    assert anobench("run", path, "--bench", toy, "--results", "killed").code == 0
    assert {p: p.read_bytes() for p in kept} == kept, "finished cells are not computed again"
    assert anobench("run", path, "--bench", toy, "--results", "whole").code == 0
    assert (here / "killed" / "trial.csv").read_bytes() == (here / "whole" / "trial.csv").read_bytes()
    scores = [{p.name: p.read_bytes() for p in (here / r).rglob("*.npz")} for r in ("killed", "whole")]
    assert scores[0] == scores[1]
