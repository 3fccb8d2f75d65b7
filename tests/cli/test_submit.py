"""``anobench submit`` and ``anobench verify``: from one archive into another, with somebody's own method."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.pack import PackedArchive, write_pack
from bench.report.verify import load_verified
from tests.cli.conftest import Invoke

SUITE = 'datasets = ["toy"]\nmethods = ["brightness", "constant"]\n'


@pytest.fixture
def received(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> Path:
    """Return the receiver's bench folder: it has the suite and the data, and not the method."""
    path = suite(SUITE)
    assert anobench("run", path, "--bench", toy, "--results", "sent").code == 0
    ended = anobench("submit", "brightness", "trial", "--bench", toy, "--results", "sent")
    assert ended.code == 0
    assert ended.out.startswith("trial-brightness.anobench: 2 cells of trial")
    assert "with methods/brightness.py" in ended.out
    # Its parameters say which of a suite's methods it is, defaults too, whatever the leaderboard calls it.
    by_selector = anobench("submit", "brightness[level=0]", "trial", "--bench", toy, "--results", "sent")
    assert by_selector.out == ended.out
    theirs = here / "theirs"
    (theirs / "suites").mkdir(parents=True)
    shutil.copytree(toy / "datasets", theirs / "datasets")
    (theirs / "suites" / "trial.toml").write_text('datasets = ["toy"]\nmethods = ["random"]\n')
    return theirs


def altered(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the scores in a pack, and its records with them."""
    pack = PackedArchive(path)
    plan, records = pack.plan("trial"), pack.load_all(pack.keys())
    results = Archive(path.parent / "forged")
    results.write_plan(plan)
    for record in records.values():
        results.write(replace(record, metrics={}), change(pack.scores(record)), pack.truth(record))
    methods = pack.methods()
    write_pack(path, results, plan, load_verified(results, records), methods)


def test_a_method_of_ones_own_is_run_only_where_that_is_allowed(
    received: Path, anobench: Invoke, here: Path
) -> None:
    pack = "trial-brightness.anobench"
    (here / "trial-brightness.anobench").read_bytes()
    ended = anobench("verify", pack, "--bench", received)
    assert ended.code == 2
    for said in ("unknown method 'brightness'", "the pack holds methods/brightness.py", "--allow-code"):
        assert said in ended.err
    ended = anobench("verify", pack, "--show-code")
    assert (ended.code, "class ToyBrightness(Method)" in ended.out, "sha256 " in ended.out) == (0, True, True)
    ended = anobench("verify", pack, "--bench", received, "--allow-code", "--share", "50%", "--device", "cpu")
    assert "running methods/brightness.py of the pack, sha256 " in ended.err
    assert ended.code == 0, ended.out
    for said in ("VERIFIED", "drawn  1 of 2 cells", "run again", "Compared on the same platform class"):
        assert said in ended.out


def test_a_verified_pack_is_merged_and_its_row_says_so(received: Path, anobench: Invoke, here: Path) -> None:
    shutil.copy(here.parent / "toybench" / "methods" / "brightness.py", received / "suites")
    (received / "methods").mkdir()
    (received / "suites" / "brightness.py").rename(received / "methods" / "brightness.py")
    assert anobench("run", "trial", "--bench", received, "--results", "own").code == 0
    verify = (
        "verify",
        "trial-brightness.anobench",
        "--bench",
        received,
        "--results",
        "own",
        "--device",
        "cpu",
    )
    ended = anobench(*verify, "--merge", "--share", "50%")
    assert ended.code == 0
    assert "2 cells copied into own, 0 were there" in ended.err
    assert anobench("report", "trial", "--results", "own").code == 0
    page = (here / "own" / "trial.md").read_text()
    assert "brightness (submitted, 50 % rerun)" in page
    assert "random (submitted" not in page
    assert "submitted, 50 % rerun" in (here / "own" / "trial.json").read_text()
    assert "brightness (submitted, 50 % rerun)" in anobench("table", "trial", "--results", "own").out
    # The pages say it, not the sender's files: nothing of it is in records or plans.
    records = Archive(here / "own")
    assert "submitted" not in json.dumps([r.to_json() for r in records.load_all(records.keys()).values()])
    assert "mark" not in (here / "own" / "records" / "plans" / "trial.json").read_text()
    # Merged further it stays; run by oneself it goes.
    assert anobench("merge", "own", "--into", "more").code == 0
    anobench("report", "trial", "--results", "more")
    assert "brightness (submitted, 50 % rerun)" in (here / "more" / "trial.md").read_text()
    run = ("run", "trial", "--bench", received, "--results", "more", "-m", "brightness")
    (received / "suites" / "trial.toml").write_text(
        'datasets = ["toy"]\nmethods = ["random", "brightness"]\n'
    )
    assert anobench(*run, "--fresh").code == 0
    assert "submitted" not in (here / "more" / "trial.md").read_text()
    # What the receiver has run is compared without a rerun.
    ended = anobench(*verify[:-4], "--results", "more", "--device", "cpu", "--json")
    told = json.loads(ended.out)
    assert [each["rerun"] for each in told["comparisons"]] == [False, False]
    assert [each["same"] for each in told["comparisons"]] == [True, True]


def test_a_draw_can_be_done_again(received: Path, anobench: Invoke) -> None:
    verify = ("verify", "trial-brightness.anobench", "--bench", received, "--allow-code", "--json")
    first = json.loads(anobench(*verify, "--device", "cpu").out)
    again = json.loads(anobench(*verify, "--device", "cpu", "--seed-from", first["nonce"]).out)
    assert (first["drawn"], first["seed"]) == (again["drawn"], again["seed"])
    assert len(first["nonce"]) == 32


def test_forged_scores_are_found_and_not_merged(received: Path, anobench: Invoke, here: Path) -> None:
    altered(here / "trial-brightness.anobench", lambda scores: scores + 1e-3 * np.arange(len(scores)))
    verify = ("verify", "trial-brightness.anobench", "--bench", received, "--allow-code", "--device", "cpu")
    ended = anobench(*verify, "--merge", "--results", "own")
    assert ended.code == 1
    assert "CONTRADICTED" in ended.out
    assert "scores differ: submitted" in ended.out
    assert not (here / "own" / "records" / "submitted").exists()


def test_a_method_of_the_same_name_and_other_code(received: Path, anobench: Invoke, here: Path) -> None:
    """The receiver's own counts, whatever the pack holds: it is other code, and nobody is accused."""
    (received / "methods").mkdir()
    text = (here.parent / "toybench" / "methods" / "brightness.py").read_text()
    (received / "methods" / "brightness.py").write_text(text.replace("mean(1)", "sum(1)"))
    ended = anobench("verify", "trial-brightness.anobench", "--bench", received, "--allow-code")
    assert ended.code == 3
    assert "this suite does not plan it here: the code of its adapters differs" in ended.out
    assert "running methods/" not in ended.err


def test_a_cell_left_out_is_not_verified(received: Path, anobench: Invoke, here: Path) -> None:
    pack = PackedArchive(here / "trial-brightness.anobench")
    kept = dict(sorted(pack.load_all(pack.keys()).items())[:1])
    write_pack(here / "part.anobench", pack, pack.plan("trial"), kept, pack.methods())
    ended = anobench("verify", "part.anobench", "--bench", received, "--allow-code", "--device", "cpu")
    assert ended.code == 3
    assert "cannot tell: brightness[level=0] · toy/" in ended.out
    assert "the pack does not have it" in ended.out


@pytest.mark.usefixtures("received")
def test_mistakes(anobench: Invoke, toy: Path) -> None:
    ended = anobench("submit", "brightnes", "trial", "--results", "sent", "--bench", toy)
    assert (ended.code, "did you mean 'brightness'" in ended.err) == (2, True)
    ended = anobench("submit", "brightness[level=7]", "trial", "--results", "sent", "--bench", toy)
    assert (ended.code, "has no method 'brightness[level=7]'; did you mean" in ended.err) == (2, True)
    for share in ("0%", "120%", "much"):
        ended = anobench("verify", "trial-brightness.anobench", "--share", share)
        assert (ended.code, "expected a share of the cells" in ended.err) == (2, True)
    ended = anobench("verify", "nowhere.anobench")
    assert (ended.code, "nowhere.anobench: there is no such file" in ended.err) == (2, True)
    ended = anobench("verify", "trial-brightness.anobench", "--suite", "nothing")
    assert (ended.code, "unknown suite 'nothing'" in ended.err) == (2, True)
    path = toy / "methods" / "brightness.py"
    path.write_text(path.read_text().replace("mean(1)", "sum(1)"))
    ended = anobench("submit", "brightness", "trial", "--results", "sent", "--bench", toy)
    assert (ended.code, "has changed since these results were made" in ended.err) == (2, True)
